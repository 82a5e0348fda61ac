"""Workers: each computes with one thread, whichever library computes."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json
import sklearn.ensemble  # loaded before the worker begins, as a job that is sent to it does
from flowmint.evaluate.compare import workers


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

    def send(self, outcome):
        print(json.dumps(outcome))


workers.run_job = look
workers.serve(Pipe())
"""


def test_a_worker_computes_with_one_thread():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [outcome["job"] for outcome in outcomes] == ["first", "second"]
    for outcome in outcomes:
        assert outcome["pools"]
        assert set(outcome["pools"]) == {1}
        assert outcome["trees"] == 1
        assert outcome["torch"] == 1
