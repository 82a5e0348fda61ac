"""The training loop averages weights, reports steps, and leaves global randomness alone."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch import nn

from flowmint.diffusion.train import ClassRows, Opponent, Training, WeightedRows, build, train, without_weights


class Counter:
    def __init__(self) -> None:
        self.steps = 0

    def advance(self, amount: int) -> None:
        self.steps += amount


def make(seed: int = 0) -> nn.Module:
    return build(lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), seed=seed, device=torch.device("cpu"))


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def fit(module: nn.Module, steps: int = 300) -> Counter:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(5))
    y = x.sum(dim=1, keepdim=True)
    counter = Counter()

    def loss() -> torch.Tensor:
        return ((module(x) - y) ** 2).mean()

    train(module, loss, training=Training(steps, 1e-2), stage=counter)
    return counter


def test_training_lowers_the_loss_and_reports_every_step():
    module = make()
    counter = fit(module)
    assert counter.steps == 300
    x = torch.randn(50, 3)
    assert ((module(x) - x.sum(dim=1, keepdim=True)) ** 2).mean() < 0.1
    assert not module.training


@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_trainings_work(steps):
    module = make()
    before = weights(module)
    assert fit(module, steps).steps == steps
    assert not torch.equal(weights(module), before)


def test_the_same_seed_gives_the_same_weights_and_another_others():
    assert torch.equal(weights(make(1)), weights(make(1)))
    assert not torch.equal(weights(make(1)), weights(make(2)))


def test_training_twice_gives_the_same_weights():
    one, two = make(), make()
    fit(one, 20)
    fit(two, 20)
    assert torch.equal(weights(one), weights(two))


def test_global_randomness_is_left_alone():
    before = torch.random.get_rng_state()
    fit(make(), 5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rows_are_drawn_in_proportion_to_their_weights():
    batches = WeightedRows(torch.tensor([1.0, 0.0, 3.0]).double().cumsum(0), torch.Generator().manual_seed(0))
    shares = torch.bincount(batches.draw(20_000), minlength=3) / 20_000
    assert shares.tolist() == pytest.approx([0.25, 0.0, 0.75], abs=0.02)


def test_rows_are_drawn_by_class():
    labels = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 1, 1])
    source = ClassRows.of(labels, classes=2, power=0.0, generator=torch.Generator().manual_seed(0))
    classes = source.draw_classes(20_000)
    rows = source.draw_rows(classes)
    assert classes.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(labels[rows], classes)
    shares = torch.bincount(rows, minlength=10) / 20_000
    assert shares[labels == 0].tolist() == pytest.approx([0.25] * 2, abs=0.02)
    assert shares[labels == 1].tolist() == pytest.approx([0.0625] * 8, abs=0.02)


def test_an_opponent_takes_its_turns_and_neither_moves_the_other():
    module, rival, log = make(0), make(1), []

    def note(name: str) -> torch.Tensor:
        log.append((name, weights(module), weights(rival)))
        x = torch.ones(8, 3)
        return ((module(x) - rival(x)) ** 2).mean() * (1 if name == "module" else -1)

    opponent = Opponent(rival, lambda: note("rival"), turns=2, learning_rate=1e-2)
    counter = Counter()
    training = Training(3, 1e-2, average=0.0)
    train(module, lambda: note("module"), training=training, stage=counter, opponent=opponent)
    assert [name for name, _, _ in log] == ["rival", "rival", "module"] * 3
    assert counter.steps == 3
    for (name, own, other), (_, own_after, other_after) in itertools.pairwise(log):
        assert torch.equal(own, own_after) == (name == "rival")
        assert torch.equal(other, other_after) == (name == "module")
    assert not rival.training


COMPILER = """
import sys
from torch import nn
from flowmint.diffusion.train import without_weights

with without_weights():
    module = nn.Sequential(nn.Linear(3, 4), nn.EmbeddingBag(9, 4), nn.Embedding(9, 4), nn.LayerNorm(4))
print({str(weight.device) for weight in module.parameters()}, "torch._dynamo" in sys.modules)
"""


def test_a_module_without_weights_takes_no_memory_and_loads_no_compiler():
    done = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "{'meta'} False"


def test_modules_get_weights_again_afterwards():
    with without_weights():
        nn.Linear(3, 4)
    assert torch.isfinite(nn.Linear(3, 4).weight).all()
    assert nn.Linear(300, 4).weight.std() > 0
