"""Torch's AdamW and its one-cycle schedule, to the last bit, without what torch loads with them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowmint.diffusion.adamw import MOMENTUM, AdamW, Pace, one_cycle


@given(steps=st.integers(1, 60), highest=st.floats(1e-6, 1e-1))
def test_the_cycle_is_that_of_torch(steps, highest):
    optimiser = torch.optim.AdamW([torch.zeros(1)], lr=highest, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=highest, total_steps=max(steps, 2), pct_start=0.15, cycle_momentum=True
    )
    for step in range(steps):
        (group,) = optimiser.param_groups
        assert one_cycle(step, steps=steps, highest=highest) == Pace(group["lr"], group["betas"][0])
        optimiser.step()
        schedule.step()


def test_the_cycle_ends_slower_than_it_began_and_with_the_momentum_of_its_start():
    paces = [one_cycle(step, steps=1000, highest=1e-2) for step in range(1000)]
    assert max(pace.rate for pace in paces) == pytest.approx(1e-2)
    assert paces[0].rate == pytest.approx(1e-2 / 25)
    assert paces[-1].rate == pytest.approx(1e-2 / 25 / 1e4)
    assert paces[0].momentum == paces[-1].momentum == MOMENTUM[0]


def test_steps_are_those_of_torch():
    made = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=made) for shape in ((7, 5), (5,), (3, 3))]
    theirs = [weight.clone() for weight in ours]
    own = AdamW(ours, weight_decay=1e-2, memory=0.99)
    torchs = torch.optim.AdamW(theirs, weight_decay=1e-2, fused=True)
    for step in range(20):
        pace = Pace(1e-2 / (step + 1), 0.9 - step / 100)
        torchs.param_groups[0].update(lr=pace.rate, betas=(pace.momentum, 0.99))
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn(one.shape, generator=made)
            one.grad = other.grad = None if (number, step % 3) == (1, 0) else gradient  # no gradient: it stays
        own.step(pace)
        torchs.step()
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.equal(one, other)
        assert torch.equal(own.means[place], torchs.state[other]["exp_avg"])
        assert torch.equal(own.squares[place], torchs.state[other]["exp_avg_sq"])


def test_fitting_does_not_load_torchs_compiler():
    code = """
import sys
import polars as pl
from flowmint.generators import make_generator
rows = pl.DataFrame({"x": range(20), "y": [i * i % 7 for i in range(20)]})
make_generator("latent_diffusion", settings={"effort": 0.01}).fit(rows, pl.Series("Label", ["a", "b"] * 10))
print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
