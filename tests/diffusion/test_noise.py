"""Schedules begin at noise, end at data, and draw reproducible times."""

from __future__ import annotations

import pytest
import torch

from flowmint.diffusion.noise import RectifiedFlow, VarianceExploding, VariancePreserving, even_grid

SCHEDULES = [RectifiedFlow(), VarianceExploding(), VariancePreserving()]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 15])
def test_the_grid_falls_from_noise_to_none(schedule, steps):
    grid = schedule.grid(steps)
    assert grid.shape == (steps + 1,)
    assert (grid.diff() < 0).all()
    assert schedule.sigma(grid[-1]) == 0
    assert schedule.sigma(grid[0]) > 0.9 * schedule.sigma(grid).max()
    assert (schedule.alpha(grid) > 0).all()


@every_schedule
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_noise_fades_evenly_between_the_times_of_an_even_grid(schedule, steps):
    grid, own = even_grid(schedule, steps), schedule.grid(steps)
    shares = schedule.sigma(grid) / (schedule.alpha(grid) + schedule.sigma(grid))
    assert grid.shape == (steps + 1,)
    assert grid[[0, -1]].tolist() == pytest.approx(own[[0, -1]].tolist(), abs=1e-6)
    assert torch.allclose(-shares.diff(), shares[0] / steps, atol=1e-3)


@every_schedule
def test_drawn_times_are_reproducible_and_noisy(schedule):
    one, two = (schedule.draw(1000, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert (schedule.sigma(one) > 0).all()
    assert len(one.unique()) > 900


def test_rectified_flow_is_a_straight_line():
    t = torch.linspace(0, 1, 5)
    schedule = RectifiedFlow()
    assert torch.equal(schedule.alpha(t) + schedule.sigma(t), torch.ones(5))


def test_variance_preserving_is_the_published_schedule_of_1000_steps():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    published = (1 - betas).cumprod(0)
    schedule, t = VariancePreserving(), torch.arange(1, 1001, dtype=torch.float64) / 1000
    assert torch.allclose(schedule.alpha(t) ** 2, published, atol=1e-3, rtol=0)
    assert torch.allclose(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones(1000, dtype=torch.float64))
