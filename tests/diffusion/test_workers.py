"""Workers end with the same weights, go on from the first one's checkpoint, and one alone trains as ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from flowmint.diffusion import workers

WORKER = """
import sys, os
import torch
from torch import nn
from flowmint.diffusion import workers
from flowmint.diffusion.train import Training, build, train
from flowmint.progress import SILENT

class Keep:
    def __init__(self): self.kept = {}
    def recall(self, like, *, steps): return self.kept.get("last")
    def offer(self, step, copy):
        if step == 7: self.kept["last"] = (step, copy())

def learn(keep):
    module = build(lambda: nn.Linear(3, 1), seed=0, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(5)
    drawn = []
    def loss():
        x = torch.randn(workers.share(10), 3, generator=generator)
        drawn.append(x)
        return ((module(x) - x.sum(dim=1, keepdim=True)) ** 2).mean()
    with SILENT.stage("", total=0, unit="") as stage:
        training = Training(60, 1e-2, tolerance=float(sys.argv[2]))
        train(module, loss, training=training, stage=stage, generator=generator, keep=keep)
    return torch.cat([w.detach().flatten() for w in module.parameters()]), torch.cat(drawn)

torch.set_num_threads(1)
with workers.joined("cpu") as first:
    keep = Keep() if first else None
    weights, drawn = learn(keep)
    again, later = learn(keep)
    torch.save({"weights": weights, "drawn": drawn, "again": again, "later": later, "count": workers.count()},
               f"{sys.argv[1]}/{workers.number()}.pt")
"""


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["all steps", "few steps"])
def results(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29617", "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(request.param)], env={**common, "RANK": str(rank)}
        )
        for rank in range(2)
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_workers_end_with_the_same_weights(results):
    assert results[0]["count"] == 2
    assert torch.equal(results[0]["weights"], results[1]["weights"])


def test_workers_draw_shares_of_their_own(results):
    one, other = (result["drawn"] for result in results)
    assert len(one) == len(other)
    assert len(one) in {60 * 5, 11 * 5}  # two strips after the first, of three steps each, and a quarter of them more
    assert not torch.equal(one, other)


def test_all_workers_go_on_from_what_the_first_one_kept(results):
    for result in results:
        assert torch.equal(result["again"], result["weights"])
        assert torch.equal(result["later"], result["drawn"][7 * 5 :])


def test_one_worker_alone_changes_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    generator = torch.Generator().manual_seed(3)
    before, gradient = generator.get_state(), torch.ones(2)
    with workers.joined("cpu") as first:
        assert first
        assert (workers.count(), workers.number(), workers.share(7)) == (1, 0, 7)
        workers.reseed(generator, seed=1, step=2)
        workers.average([gradient])
    assert torch.equal(generator.get_state(), before)
    assert gradient.tolist() == [1, 1]
