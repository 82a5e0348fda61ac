"""A training winds down where its loss hardly falls, and nowhere else."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flowmint.diffusion.knee import CALM, STRIPS, WIND_DOWN, Knee
from flowmint.diffusion.train import Training, build, train

STEPS = 400
STRIP = STEPS // STRIPS
KNEE = (CALM + 1) * STRIP  # the first strip has none before it
CPU = torch.device("cpu")


class Counter:
    def __init__(self) -> None:
        self.steps = 0

    def advance(self, amount: int) -> None:
        self.steps += amount


class Keep:
    """Keeps the state after one step."""

    def __init__(self, step: int) -> None:
        self.step, self.kept = step, None

    def recall(self, like, *, steps):
        assert steps == STEPS
        assert self.kept is None or like.keys() == self.kept[1].keys()
        return self.kept

    def offer(self, step, copy):
        if step == self.step:
            self.kept = step, copy()


def heard(losses, *, tolerance=0.01):
    knee = Knee(STEPS, tolerance, CPU)
    for step, loss in enumerate(losses, start=1):
        knee.hear(step, torch.tensor(loss))
    return knee


def test_a_loss_that_falls_is_followed_to_the_end():
    knee = heard([0.999**step for step in range(STEPS)])  # 2 % a strip
    assert (knee.found, knee.end()) == (0, STEPS)
    assert [knee.place(step) for step in (0, 1, 399)] == [0, 1, 399]


@pytest.mark.parametrize("loss", [0.0, 3.0, -2.0])
def test_a_loss_that_stays_ends_the_training_early(loss):
    knee = heard([loss] * KNEE)
    assert (knee.found, knee.end()) == (KNEE, KNEE + round(WIND_DOWN * KNEE))


def test_one_strip_of_little_progress_is_not_enough():
    levels = [1.0, 1.0, 0.9, 0.9, 0.8, 0.8]
    assert heard(list(itertools.chain.from_iterable([level] * STRIP for level in levels))).found == 0


def test_a_loss_that_is_no_number_ends_nothing():
    assert heard([float("nan")] * STEPS).found == 0


@given(steps=st.integers(1, 20_000), found=st.integers(1, 20_000))
def test_the_rest_of_the_cycle_is_run_through_without_a_jump_back(steps, found):
    knee = Knee(steps, 0.01, CPU)
    knee.restore(torch.tensor([0.0, 1.0, CALM, min(found, steps)], dtype=torch.float64))
    places = [knee.place(step) for step in range(knee.end() + 1)]
    assert places[0] == 0
    assert places[-1] == steps
    assert all(after >= before for before, after in itertools.pairwise(places))


def learn(tolerance, *, steps=STEPS, keep=None):
    module = build(lambda: nn.Linear(3, 1), seed=0, device=CPU)
    generator, counter, batches = torch.Generator().manual_seed(5), Counter(), []

    def loss():
        x = torch.randn(16, 3, generator=generator)
        batches.append(x)
        return ((module(x) - x.sum(dim=1, keepdim=True)) ** 2).mean() + 1

    training = Training(steps, 3e-2, tolerance=tolerance)
    train(module, loss, training=training, stage=counter, generator=generator, keep=keep)
    assert counter.steps == steps
    return len(batches), torch.cat([weight.detach().flatten() for weight in module.parameters()])


def test_a_training_that_has_learnt_ends_early_and_tells_all_its_steps():
    taken, weights = learn(0.01)
    assert KNEE < taken < STEPS
    assert weights.tolist() == pytest.approx([1, 1, 1, 0], abs=0.05)


def test_a_knee_that_is_not_found_changes_nothing():
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    results = []
    for tolerance in (0.0, 1e-9):
        module, counter = build(lambda: nn.Linear(3, 1), seed=0, device=CPU), Counter()
        training = Training(60, 1e-3, tolerance=tolerance)
        train(
            module,
            lambda net=module: ((net(x) - x.sum(dim=1, keepdim=True)) ** 2).mean(),
            training=training,
            stage=counter,
        )
        results.append(module.weight.detach())
    assert torch.equal(*results)


def test_a_training_that_was_interrupted_ends_where_it_would_have():
    taken, whole = learn(0.01)
    for step in (STRIP + 3, taken - 2, taken):
        keep = Keep(step)
        learn(0.01, keep=keep)
        left, weights = learn(0.01, keep=keep)
        assert left == taken - step
        assert torch.equal(weights, whole)
