"""Solvers: the few steps from noise to data along the probability-flow ordinary differential equation, and DDPM's many.

With ``D`` the predicted clean point, a step from time ``t`` to ``s`` along the exact solution for
constant ``D`` is ``x_s = (sigma_s / sigma_t) · x_t + (alpha_s - alpha_t · sigma_s / sigma_t) · D``
(DDIM, Song et al. 2021; DPM-Solver++, Lu et al. 2022, eq. 8). The solvers differ in their ``D``. `ancestral` draws
from the distribution of ``x_s`` instead, with new noise in each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowmint.diffusion.noise import Schedule

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Clean points [n, d] from noisy points [n, d] and one time [1]."""

Solver = Callable[[Denoise, Tensor, Tensor, "Schedule"], Tensor]
"""Clean points [n, d] by a denoiser from noise [n, d] along times [steps + 1] of a schedule."""


def step(x: Tensor, clean: Tensor, t: Tensor, s: Tensor, schedule: Schedule) -> Tensor:
    """Move from time ``t`` to ``s`` as if the clean point were known.

    Args:
        x: Noisy points [n, d] at time ``t``.
        clean: Clean points [n, d].
        t: Present time, a scalar.
        s: Next time, a scalar.
        schedule: The noise schedule.

    Returns:
        Points [n, d] at time ``s``.
    """
    ratio = schedule.sigma(s) / schedule.sigma(t)
    return ratio * x + (schedule.alpha(s) - schedule.alpha(t) * ratio) * clean


def euler(denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule) -> Tensor:
    """First order: one evaluation a step (DDIM).

    Args:
        denoise: The denoiser for one class.
        x: Noise [n, d] at the grid's first time.
        grid: Times [steps + 1].
        schedule: The noise schedule.

    Returns:
        Clean points [n, d].
    """
    for t, s in itertools.pairwise(grid):
        x = step(x, denoise(x, t[None]), t, s, schedule)
    return x


def heun(denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule) -> Tensor:
    """Second order, two evaluations a step: the clean point is the mean of both ends' guesses.

    Arguments and result are those of `euler`; the last step is of first order.
    """
    for t, s in itertools.pairwise(grid[:-1]):
        here = denoise(x, t[None])
        there = denoise(step(x, here, t, s, schedule), s[None])
        x = step(x, (here + there) / 2, t, s, schedule)
    return step(x, denoise(x, grid[-2][None]), grid[-2], grid[-1], schedule)


def dpm_solver(denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule) -> Tensor:
    """Second order, one evaluation a step: DPM-Solver++(2M), Lu et al. 2022, algorithm 2.

    Arguments and result are those of `euler`; the first and the last step are of first order.
    """
    levels = torch.log(schedule.alpha(grid[:-1]) / schedule.sigma(grid[:-1]))
    before = None
    for index, (t, s) in enumerate(itertools.pairwise(grid)):
        clean = denoise(x, t[None])
        guess = clean
        if before is not None and index + 2 < len(grid):
            share = (levels[index + 1] - levels[index]) / (levels[index] - levels[index - 1]) / 2
            guess = clean + share * (clean - before)
        x = step(x, guess, t, s, schedule)
        before = clean
    return x


def adams(denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule) -> Tensor:
    """Second order, one evaluation a step: Adams and Bashforth's two-step rule along straight lines.

    Whatever the schedule, ``y = x / (alpha + sigma)`` at the time ``r = sigma / (alpha + sigma)`` is a rectified flow,
    ``y = (1 - r) · D + r · eps``: it moves with the velocity ``eps - D = (y - D) / r``, which changes little. The rule
    goes straight on by this step's velocity and half its change since the last step (Hairer, Nørsett & Wanner 1993,
    III.1, for uneven steps). With as many steps it ends nearer to the exact solution than `dpm_solver`
    (`benchmarks/speed.py` measures how much).

    Arguments and result are those of `euler`; the first step is of first order.
    """
    *_, end = adams_path(denoise, x, grid, schedule)
    return end


def adams_path(denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule) -> Iterator[Tensor]:
    """Go the way of `adams`, and tell where it is at each time but the first.

    Yields:
        Points [n, d]; the last are clean.
    """
    total = schedule.alpha(grid) + schedule.sigma(grid)
    times = schedule.sigma(grid) / total
    y, before = x / total[0], torch.zeros_like(x)
    for index, (r, s) in enumerate(itertools.pairwise(times)):
        velocity = (y - denoise(y * total[index], grid[index][None])) / r
        bend = (s - r) / (r - times[index - 1]) / 2 if index else torch.zeros_like(r)
        y = y + (s - r) * torch.lerp(before, velocity, 1 + bend)
        before = velocity
        yield y * total[index + 1]


def ancestral(denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule, *, generator: torch.Generator) -> Tensor:
    """Draw each step at random: the classic sampler (DDPM, Ho et al. 2020, algorithm 2), made for about 1,000 steps.

    ``x_s`` is normal around ``a · x_t + b · D``, given that ``D`` is clean; with ``r = alpha_t / alpha_s`` and
    ``v = sigma_t² - r² · sigma_s²``, ``a = r · sigma_s² / sigma_t²``, ``b = alpha_s · v / sigma_t²``, and its variance
    is ``v · sigma_s² / sigma_t²`` (Ho et al., eq. 7, for any schedule: Kingma et al. 2021, eq. 32).

    Args:
        denoise: The denoiser for one class.
        x: Noise [n, d] at the grid's first time.
        grid: Times [steps + 1].
        schedule: The noise schedule.
        generator: Source of each step's noise.

    Returns:
        Clean points [n, d].
    """
    for t, s in itertools.pairwise(grid):
        clean = denoise(x, t[None])
        ratio = schedule.alpha(t) / schedule.alpha(s)
        kept = (schedule.sigma(s) / schedule.sigma(t)) ** 2
        variance = schedule.sigma(t) ** 2 - (ratio * schedule.sigma(s)) ** 2
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        mean = ratio * kept * x + schedule.alpha(s) * variance / schedule.sigma(t) ** 2 * clean
        x = mean + (variance * kept).clamp(min=0).sqrt() * noise
    return x


SOLVERS: dict[str, Solver] = {
    "euler": euler,
    "heun": heun,
    "dpm_solver": dpm_solver,
    "adams": adams,
}
"""The solvers without chance by the names that settings use."""


def find_solver(name: str, generator: torch.Generator) -> Solver:
    """Find a solver by the name that settings use.

    Args:
        name: A name in `SOLVERS`, or ``ancestral``.
        generator: Source of the noise that ``ancestral`` draws in each step.

    Returns:
        The solver.
    """
    return partial(ancestral, generator=generator) if name == "ancestral" else SOLVERS[name]
