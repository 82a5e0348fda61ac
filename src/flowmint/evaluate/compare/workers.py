"""Jobs side by side: processes that each take one job after another, and may die without ending the rest."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, cast

from flowmint.evaluate.compare.cell import Job, Outcome, run_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess


@dataclass
class _Worker:
    """A process, the pipe to it, and what it works on."""

    process: SpawnProcess
    pipe: Connection
    job: Job

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def run_jobs(jobs: Sequence[Job], *, workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Run jobs and give each outcome as it comes.

    With one worker, jobs run in this process. With more, each worker is a process of its own with one
    thread; one that dies, killed for its memory, fails its job alone. Leaving the loop ends all of them.

    Args:
        jobs: What to do.
        workers: How many run at once.

    Yields:
        Each job with its outcome.
    """
    if workers == 1:
        for job in jobs:
            yield job, run_job(job)
        return
    waiting = deque(jobs)
    busy: list[_Worker] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(_start(waiting.popleft()))
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                job, outcome = worker.job, _receive(worker)
                if worker.process.is_alive() and outcome is not None and waiting:
                    worker.job = waiting.popleft()
                    worker.pipe.send(worker.job)
                else:
                    busy.remove(worker)
                    worker.stop()
                yield job, outcome if outcome is not None else _died(worker)
    finally:
        for worker in busy:
            worker.stop()


def _start(job: Job) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
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


def _receive(worker: _Worker) -> Outcome | None:
    """Take a worker's outcome; None if it died."""
    try:
        return cast("Outcome", worker.pipe.recv())
    except (EOFError, ConnectionError):
        worker.process.join()
        return None


def _died(worker: _Worker) -> Outcome:
    code = worker.process.exitcode
    killed = code == -getattr(signal, "SIGKILL", 9)
    told = "was killed, most likely for its memory" if killed else f"ended with status {code}"
    error = f"its process {told}; give fewer rows, or fewer --workers"
    return Outcome(replace(worker.job.empty, error=error))


def serve(pipe: Connection) -> None:
    """Do what comes through a pipe, with one thread, until it is closed; Ctrl-C is the parent's to heed.

    Args:
        pipe: Brings jobs, takes outcomes.
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
        pipe.send(run_job(job))
