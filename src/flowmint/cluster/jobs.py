"""Jobs on all processors of a cluster, by Ray Data: a data set of jobs, one a block, mapped to their results.

A job that is lost with its process or node is done again, so that jobs must be able to be: what they write goes beside
and is renamed.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flowmint.cluster.connection import connected
from flowmint.errors import FlowmintError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Job = TypeVar("Job")
Result = TypeVar("Result")
Value = TypeVar("Value")

RETRIES = 10
"""How often a job is done again when its node or its process is lost."""


@dataclass(frozen=True)
class Cluster:
    """Does jobs on all processors of a Ray cluster; the `flowmint.flows.stream.Runner` of tables that it reads.

    Attributes:
        address: A Ray cluster: ``auto`` for the one that this machine belongs to, ``local`` to start one here, or
            where it is.
    """

    address: str = "auto"

    def __call__(self, work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Do jobs and give their results in the jobs' order.

        Args:
            work: Does a job; it travels once.
            jobs: What to do.

        Yields:
            The results.

        Raises:
            SettingError: Ray or the cluster is not there.
            FlowmintError: What a job raised, or one was lost again and again.
        """
        ahead: dict[int, Result] = {}
        wanted = 0
        for number, result in self.as_they_come(work, jobs):
            ahead[number] = result
            while wanted in ahead:
                yield ahead.pop(wanted)
                wanted += 1

    def as_they_come(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], *, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Do jobs and give each result, with the job's number, as soon as it is there.

        Args:
            work: Does a job; it travels once.
            jobs: What to do.
            gpu: Whether each job takes a GPU, not only a processor.

        Yields:
            The jobs' numbers, from 0, and the results.

        Raises:
            FlowmintError: As for calling it.
        """
        if not jobs:
            return
        with connected(self.address) as ray, _quiet(ray):
            begun = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Begun).remote(1 + RETRIES)
            rows = [{"number": number, "job": _Sealed(job)} for number, job in enumerate(jobs)]
            done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                partial(_do, work, begun), num_cpus=1, num_gpus=1 if gpu else 0
            )
            for row in done.iter_rows():
                result = row["result"].value
                if isinstance(result, FlowmintError):
                    raise result
                yield int(row["number"]), result


class _Begun:
    """Counts how often each job was begun, in a process of its own: Ray Data would do one anew for ever."""

    def __init__(self, most: int) -> None:
        self._most, self._times = most, Counter[int]()

    def again(self, number: int) -> str | None:
        """Count one more time; give what there is to say where it is one too many."""
        self._times[number] += 1
        if self._times[number] <= self._most:
            return None
        return (
            f"a job was lost {self._most} times with its process or node, most likely for memory; repeat the command "
            "to go on"
        )


@dataclass(frozen=True)
class _Sealed(Generic[Value]):
    """Something that Ray Data shall carry as it is, and not take for a list or a number of its own."""

    value: Value


def _do(work: Callable[[Any], Any], begun: Any, row: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - Ray has no types
    """Do a job in a process of a node; what the user can mend is its result."""
    import ray

    result: object
    if refused := ray.get(begun.again.remote(row["number"])):
        result = FlowmintError(refused)
    else:
        try:
            result = work(row["job"].value)
        except FlowmintError as error:
            result = error
    return {"number": row["number"], "result": _Sealed(result)}


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:  # noqa: ANN401
    """Keep Ray Data from drawing bars and writing lines of its own."""
    import ray.data

    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    shown, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        context.enable_progress_bars = shown
        logger.setLevel(level)
