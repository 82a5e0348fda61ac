"""Jobs run side by side, each process with one thread, and what goes wrong in one leaves the others alone."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from flowmint.processes import run_jobs

WORK = """
import os
import signal


def double(job):
    return 2 * job


def refuse(job):
    if job == 2:
        raise ValueError("two is no job")
    return job


class Unsendable(Exception):
    def __reduce__(self):
        raise TypeError("no")


def refuse_oddly(job):
    raise Unsendable("odd")


def die(job):
    if job == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 1:
        os._exit(7)
    return "done"
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Functions that a new process can import."""
    name = f"work_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


def tell(job, told):
    return told


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_gives_its_result(work, workers):
    assert sorted(run_jobs(work.double, range(4), workers=workers, lost=tell)) == [(0, 0), (1, 2), (2, 4), (3, 6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised_where_it_came_from(work, workers):
    with pytest.raises(ValueError, match="two is no job"):
        list(run_jobs(work.refuse, range(4), workers=workers, lost=tell))


def test_an_error_that_cannot_travel_is_told_in_words(work):
    with pytest.raises(RuntimeError, match="Unsendable: odd"):
        list(run_jobs(work.refuse_oddly, range(2), workers=2, lost=tell))


def test_a_process_that_dies_loses_its_job_alone(work):
    results = dict(run_jobs(work.die, range(4), workers=2, lost=tell))
    assert results == {
        0: "was killed, most likely for its memory",
        1: "ended with status 7",
        2: "done",
        3: "done",
    }


def test_no_jobs_start_no_process(work):
    assert list(run_jobs(work.double, [], workers=3, lost=tell)) == []


THREADS = """
import json
import sklearn.ensemble  # loaded before the worker begins, as a job that is sent to it does
from flowmint.processes import serve


def look(job):
    import torch
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
    from threadpoolctl import threadpool_info

    pools = [pool["num_threads"] for pool in threadpool_info()]
    return {"pools": pools, "trees": _openmp_effective_n_threads(), "torch": torch.get_num_threads(), "job": job}


class Pipe:
    jobs = ["first", "second"]

    def recv(self):
        if not self.jobs:
            raise EOFError
        return self.jobs.pop(0)

    def send(self, result):
        print(json.dumps(result))


serve(Pipe(), look)
"""


def test_a_process_computes_with_one_thread_whichever_library_computes():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["job"] for result in results] == ["first", "second"]
    for result in results:
        assert result["pools"]
        assert set(result["pools"]) == {1}
        assert result["trees"] == 1
        assert result["torch"] == 1
