"""Solvers: the few steps from noise to data along the probability-flow ordinary differential equation.

With ``D`` the predicted clean point, a step from time ``t`` to ``s`` along the exact solution for
constant ``D`` is ``x_s = (sigma_s / sigma_t) · x_t + (alpha_s - alpha_t · sigma_s / sigma_t) · D``
(DDIM, Song et al. 2021; DPM-Solver++, Lu et al. 2022, eq. 8). The solvers differ in their ``D``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from flowmint.diffusion.noise import Schedule

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Clean points [n, d] from noisy points [n, d] and one time [1]."""


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


SOLVERS: dict[str, Callable[[Denoise, Tensor, Tensor, Schedule], Tensor]] = {
    "euler": euler,
    "heun": heun,
    "dpm_solver": dpm_solver,
}
"""The solvers by the names that settings use."""
