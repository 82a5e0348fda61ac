"""Two trainings side by side, each on one core: steps of small networks are too short to share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

import torch

from flowmint.diffusion import workers
from flowmint.generators.chunks import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowmint.generators.trainer import Trainer
    from flowmint.progress import Progress, Stage


def pays(*, device: torch.device) -> bool:
    """Tell whether there is a second core to train on: workers would mix up whose gradients they average."""
    return device.type == "cpu" and torch.get_num_threads() > 1 and workers.count() == 1


@contextmanager
def beside(work: Callable[[Trainer], None], trainer: Trainer, *, thread: bool) -> Iterator[None]:
    """Do work beside a ``with`` block, and end when both are done.

    Args:
        work: What to do, told the trainer to use.
        trainer: The trainer of the block.
        thread: Whether to work in a thread of its own, block and thread on one core each; otherwise the work is done
            after the block. Either gives the same result.

    Raises:
        BaseException: What the block raised, once the work has stopped after its step; else what the work raised.
    """
    if not thread:
        yield
        work(trainer)
        return
    stop = Event()
    watched = replace(trainer, progress=_Stoppable(trainer.progress, stop))
    with one_thread(), ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        done = pool.submit(work, watched)
        try:
            yield
            done.result()
        finally:
            stop.set()


class _Stopped(BaseException):
    """Ends work that nobody waits for."""


@dataclass(frozen=True)
class _Stoppable:
    """A progress whose stages end the work once they are to stop."""

    progress: Progress
    stop: Event

    @contextmanager
    def stage(self, name: str, *, total: int, unit: str) -> Iterator[_StoppableStage]:
        """Open a stage."""
        with self.progress.stage(name, total=total, unit=unit) as stage:
            yield _StoppableStage(stage, self.stop)


@dataclass(frozen=True)
class _StoppableStage:
    """A stage that ends the work once it is to stop."""

    stage: Stage
    stop: Event

    def advance(self, amount: int) -> None:
        """Report what is done, or stop."""
        if self.stop.is_set():
            raise _Stopped
        self.stage.advance(amount)
