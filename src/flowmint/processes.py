"""Jobs side by side: processes that each do one job after another, and may die without ending the rest."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass
class _Worker(Generic[Job]):
    """A process, the pipe to it, and what it works on."""

    process: SpawnProcess
    pipe: Connection
    job: Job

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


@dataclass(frozen=True)
class _Raised:
    """What a job raised instead of giving a result."""

    error: BaseException


def run_jobs(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, lost: Callable[[Job, str], Result]
) -> Iterator[tuple[Job, Result]]:
    """Do jobs and give each result as it comes.

    With one worker, jobs are done in this process. With more, each worker is a process of its own with one
    thread; one that dies, killed for its memory, loses its job alone. Leaving the loop ends all of them.

    Args:
        work: Does a job; a function that a new process can import. A job that raises ends the loop with its error.
        jobs: What to do.
        workers: How many run at once.
        lost: Gives the result of a job whose process died, told how in words.

    Yields:
        Each job with its result.
    """
    if workers == 1:
        for job in jobs:
            yield job, work(job)
        return
    waiting = deque(jobs)
    busy: list[_Worker[Job]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(_start(work, waiting.popleft()))
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                job, (result, died) = worker.job, _receive(worker)
                if died is None and waiting and worker.process.is_alive():
                    worker.job = waiting.popleft()
                    worker.pipe.send(worker.job)
                else:
                    busy.remove(worker)
                    worker.stop()
                if isinstance(result, _Raised):
                    raise result.error
                yield job, result if died is None else lost(job, died)
    finally:
        for worker in busy:
            worker.stop()


def _start(work: Callable[[Job], Any], job: Job) -> _Worker[Job]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, work), daemon=True)
    with _interrupts_ignored():
        process.start()
    theirs.close()
    ours.send(job)
    return _Worker(process, ours, job)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let a process be born deaf to Ctrl-C, which a terminal sends to all: it is for the parent to heed."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's alone
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _receive(worker: _Worker[Any]) -> tuple[Any, str | None]:
    """Take a worker's result, or how it died."""
    try:
        return worker.pipe.recv(), None
    except (EOFError, ConnectionError):
        worker.process.join()
    code = worker.process.exitcode
    killed = code == -getattr(signal, "SIGKILL", 9)
    return None, "was killed, most likely for its memory" if killed else f"ended with status {code}"


def serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """Do what comes through a pipe, with one thread, until it is closed; Ctrl-C is the parent's to heed.

    Args:
        pipe: Brings jobs, takes results.
        work: Does a job.
    """
    import torch  # noqa: PLC0415 - in the worker alone
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # threads of two workers that share cores wait for each other: boosted trees then take ten times as long
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
    threadpool_limits(1)  # for those that are here
    torch.set_num_threads(1)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            result = work(job)
        except Exception as error:  # noqa: BLE001 - raised again where the job came from
            result = _Raised(error)
        _send(pipe, result)


def _send(pipe: Connection, result: object) -> None:
    """Send a result; what it raised is told in words where it cannot travel."""
    try:
        pipe.send(result)
    except Exception:
        if not isinstance(result, _Raised):
            raise
        told = "".join(traceback.format_exception(result.error))
        pipe.send(_Raised(RuntimeError(told)))
