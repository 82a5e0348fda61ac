"""What tests share."""

from __future__ import annotations

import os
import pickle
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# tests run beside each other on few cores, and torch's threads would wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a process of pytest-xdist begins with the width of a terminal that nobody looks at
os.environ.pop("COLUMNS", None)

# a shell that starts tests in the background has them, and what they start, ignore an interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes depends on the machine, which is no property of the code
settings.register_profile("flowmint", deadline=None)
settings.load_profile("flowmint")

ROOT = Path(__file__).parents[1]


def travelled(thing):
    """What arrives where a thing is sent to: processes and clusters send what is pickled."""
    return pickle.loads(pickle.dumps(thing))  # noqa: S301 - made in the line itself


@pytest.fixture
def elsewhere():
    """A runner of `flowmint.flows.stream` whose jobs and results travel, as those of a cluster do."""

    def run(work, jobs):
        for job in jobs:
            yield travelled(travelled(work)(travelled(job)))

    return run


class Watch:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, str]] = []
        self.done: list[int] = []

    @contextmanager
    def stage(self, name: str, *, total: int, unit: str) -> Iterator[Watch]:
        """Open a stage."""
        self.stages.append((name, total, unit))
        yield self

    def advance(self, amount: int) -> None:
        """Remember a report."""
        self.done.append(amount)


@pytest.fixture
def watch() -> Watch:
    """What to give as progress, to see what is reported."""
    return Watch()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public intrusion-detection data."""
    folder = Path(os.environ.get("FLOWMINT_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "flows").is_dir():
        pytest.skip(f"no real data in {folder}; set FLOWMINT_DATA to the folder that holds it")
    return folder
