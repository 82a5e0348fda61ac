"""Solvers carry noise to the distribution whose denoiser is known exactly."""

from __future__ import annotations

import math

import pytest
import torch

from flowmint.diffusion.noise import RectifiedFlow, VarianceExploding, VariancePreserving
from flowmint.diffusion.sample import SOLVERS, find_solver, step

MEAN, SPREAD = 2.0, 0.5
STEPS = (20, 40, 80, 2000)
SCHEDULES = [RectifiedFlow(), VarianceExploding(), VariancePreserving()]


def denoise_normal(schedule):
    """The clean point's expectation given a noisy one, for data that is normal: known in closed form."""

    def denoise(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
        return MEAN + gain * (x - alpha * MEAN)

    return denoise


def draw(schedule, solver: str, steps: int) -> torch.Tensor:
    grid = schedule.grid(steps)
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    start = schedule.alpha(grid[0]) * MEAN + noise * math.hypot(
        schedule.sigma(grid[0]), schedule.alpha(grid[0]) * SPREAD
    )
    solve = find_solver(solver, torch.Generator().manual_seed(1))
    return solve(denoise_normal(schedule), start, grid, schedule)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_every_solver_reaches_a_normal_distribution(solver, schedule):
    points = draw(schedule, solver, 40)
    assert points.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert points.std().item() == pytest.approx(SPREAD, abs=0.05)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_ancestral_sampling_reaches_a_normal_distribution_in_many_steps(schedule):
    points = draw(schedule, "ancestral", 1000)
    assert points.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert points.std().item() == pytest.approx(SPREAD, abs=0.02)


def test_ancestral_noise_comes_from_its_generator_alone():
    schedule, x = VariancePreserving(), torch.zeros(50, 1)
    before = torch.random.get_rng_state()
    one, same, other = (
        find_solver("ancestral", torch.Generator().manual_seed(seed))(
            denoise_normal(schedule), x, schedule.grid(5), schedule
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_second_order_beats_first_order_with_as_many_steps():
    errors = {
        solver: abs(draw(RectifiedFlow(), solver, steps).std().item() - SPREAD)
        for solver, steps in (("euler", 10), ("heun", 10), ("dpm_solver", 10), ("adams", 10))
    }
    assert errors["adams"] < errors["euler"]
    assert errors["dpm_solver"] < errors["euler"]
    assert errors["heun"] < errors["euler"]


def test_adams_comes_nearer_with_more_steps_at_the_rate_of_its_order():
    schedule = RectifiedFlow(shift=1.0)
    noise = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    solve = find_solver("adams", torch.Generator())
    ends = {steps: solve(denoise_normal(schedule), noise, schedule.grid(steps).double(), schedule) for steps in STEPS}
    errors = [(ends[steps] - ends[STEPS[-1]]).abs().mean().item() for steps in STEPS[:-1]]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_adams_follows_straight_lines_exactly():
    schedule, x = RectifiedFlow(), torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    grid = schedule.grid(4)
    clean = torch.full_like(x, 2.0)
    solve = find_solver("adams", torch.Generator())
    assert torch.allclose(solve(lambda *_: clean, x, grid, schedule), clean, atol=1e-5)


def test_a_step_to_time_zero_is_the_clean_point():
    x, clean = torch.randn(4, 2), torch.randn(4, 2)
    schedule = RectifiedFlow()
    assert torch.equal(step(x, clean, torch.tensor(0.5), torch.tensor(0.0), schedule), clean)


def test_one_evaluation_gives_the_denoisers_first_guess():
    schedule = RectifiedFlow()
    grid = schedule.grid(1)
    x = torch.randn(5, 1)
    denoise = denoise_normal(schedule)
    for solver in SOLVERS.values():
        assert torch.allclose(solver(denoise, x, grid, schedule), denoise(x, grid[:1]), rtol=0, atol=1e-6)
