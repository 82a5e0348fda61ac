"""A solver that is fitted to one denoiser: a handful of steps, each an affine map of all that was seen before it.

Some points are carried along the exact solution with many small steps. Least squares then tell, for each of the few
large steps but the last, which affine map of the noise and of the clean points that were predicted so far ends nearest
to it. This is a non-stationary solver (Shaul et al. 2024, arXiv 2403.01329) with matrices in place of numbers, which
have a closed form, since each step is fitted to the exact solution at its own end. Such a step is exact where data are
normal, of whatever covariance: there the solution is an affine map of the noise.

- The first step sees the noise alone, and takes no evaluation: what a denoiser predicts from noise is nearly an affine
  map of it.
- The last step is that of `flowmint.diffusion.sample.adams`: an average over all that may follow, as least squares
  give, would blur what rows settle on there.
- Where the exact solution is that of another denoiser, one that is sharpened, the steps lead along it anyway. Only the
  last prediction is moved by what it lacks, an affine map too: two networks in one evaluation become one.

Nothing is trained, and nothing need be saved.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowmint.diffusion.noise import even_grid
from flowmint.diffusion.sample import adams_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.diffusion.noise import Schedule
    from flowmint.diffusion.sample import Denoise

BLOCK = 128
"""Dimensions that a map mixes; more are split into blocks, each with a map of its own."""

MEMORY = 4
"""Predictions that a step looks back on."""

SMALL_STEPS = 4
"""Small steps of the exact solution for each large one."""

POINTS = 8
"""Points that are followed for each row of the largest map."""

LEAST_POINTS = 256
"""Points that are followed at least."""

RIDGE = 1e-4
"""What is added to the features' covariance, in units of the data's variance: networks round their answers."""


@dataclass(frozen=True)
class Affine:
    """A map of features to points, block by block.

    Attributes:
        weights: For each block a matrix [features · width, width].
        shift: Added to the points [d].
    """

    weights: tuple[Tensor, ...]
    shift: Tensor

    @classmethod
    def fit(cls, features: Sequence[Tensor], targets: Tensor) -> Affine:
        """Find the map whose squared error is least.

        Args:
            features: What it sees, each [n, d].
            targets: Where it shall end [n, d].

        Returns:
            The map.
        """
        middles = [feature.mean(dim=0) for feature in features]
        weights = []
        for number, target in enumerate(torch.split(targets.double(), BLOCK, dim=1)):
            seen = _block([f - m for f, m in zip(features, middles, strict=True)], number).double()
            square = seen.T @ seen + RIDGE * len(seen) * torch.eye(seen.shape[1], device=seen.device)
            weights.append(torch.linalg.solve(square, seen.T @ (target - target.mean(dim=0))).float())
        shift = targets.mean(dim=0) - cls(tuple(weights), torch.zeros_like(middles[0]))([m[None] for m in middles])[0]
        return cls(tuple(weights), shift)

    def __call__(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, each [n, d], to points [n, d]."""
        shifts = torch.split(self.shift, BLOCK)
        parts = [
            torch.addmm(shift, _block(features, number), weight)
            for number, (shift, weight) in enumerate(zip(shifts, self.weights, strict=True))
        ]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class FittedSolver:
    """Steps that were fitted to one denoiser, one class and one grid of times.

    Attributes:
        maps: What each step but the last does; the first sees noise alone.
        push: What the last prediction lacks; None where the exact solution is that of the same denoiser.
    """

    maps: tuple[Affine, ...]
    push: Affine | None = None

    def __call__(self, denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule) -> Tensor:
        """Carry noise to clean points, with one evaluation a step but the first.

        Arguments and result are those of `flowmint.diffusion.sample.euler`; the grid is that of fitting.
        """
        seen, velocities = [x], []
        for t, move in zip(grid[1:-1], self.maps, strict=True):
            points = move(seen)
            clean = denoise(points, t[None])
            seen = _recent([*seen, clean])
            velocities.append(_velocity(points, clean, t, schedule))
        end = clean
        if len(velocities) > 1:
            here, earlier = (_share(t, schedule) for t in (grid[-2], grid[-3]))
            bend = here / (earlier - here) / 2
            end = clean - here * bend * (velocities[-1] - velocities[-2])
        return end if self.push is None else end + self.push(seen)


def fitted_grid(schedule: Schedule, evaluations: int) -> Tensor:
    """Choose the times of a fitted solver, between which noise fades evenly.

    Args:
        schedule: A noise schedule.
        evaluations: How often the denoiser shall be evaluated.

    Returns:
        Times [evaluations + 2] down to 0: the first step takes no evaluation.
    """
    return even_grid(schedule, evaluations + 1)


def points_to_follow(dimensions: int, evaluations: int) -> int:
    """Tell how many points fitting takes.

    Args:
        dimensions: Their dimensions.
        evaluations: Evaluations of the solver.

    Returns:
        So many that each coefficient is known well.
    """
    return max(POINTS * min(evaluations + 1, MEMORY + 1) * min(dimensions, BLOCK), LEAST_POINTS)


def fit_solver(
    denoise: Denoise, x: Tensor, grid: Tensor, schedule: Schedule, *, exact: Denoise | None = None
) -> FittedSolver:
    """Fit a solver.

    Args:
        denoise: The denoiser for one class that the solver shall be used with.
        x: Noise [n, d] at the grid's first time, see `points_to_follow`.
        grid: Times down to 0, see `fitted_grid`.
        schedule: The noise schedule.
        exact: The denoiser whose exact solution is followed; ``denoise`` if absent.

    Returns:
        The solver for this denoiser and this grid.
    """
    follow, inner = exact or denoise, grid[:-1]
    small = [torch.linspace(0, 1, SMALL_STEPS + 1)[:-1] * (s - t) + t for t, s in itertools.pairwise(inner.cpu())]
    fine = torch.cat([*small, inner[-1:].cpu()]).to(grid.device)
    ends = itertools.islice(adams_path(follow, x, fine, schedule), SMALL_STEPS - 1, None, SMALL_STEPS)
    seen, maps, points = [x], [], x
    for t, end in zip(inner[1:], ends, strict=True):
        maps.append(Affine.fit(seen, end))
        points = maps[-1](seen)
        seen = _recent([*seen, denoise(points, t[None])])
    push = Affine.fit(seen, exact(points, inner[-1:]) - seen[-1]) if exact else None
    return FittedSolver(tuple(maps), push)


def _share(t: Tensor, schedule: Schedule) -> Tensor:
    """Share of noise at a time."""
    return schedule.sigma(t) / (schedule.alpha(t) + schedule.sigma(t))


def _velocity(points: Tensor, clean: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """Velocity along the straight lines of `flowmint.diffusion.sample.adams` [n, d]."""
    return (points / (schedule.alpha(t) + schedule.sigma(t)) - clean) / _share(t, schedule)


def _recent(seen: list[Tensor]) -> list[Tensor]:
    """Keep the noise and the last predictions."""
    return [seen[0], *seen[1:][-MEMORY:]]


def _block(features: Sequence[Tensor], number: int) -> Tensor:
    """Put one block of every feature side by side [n, features · width]."""
    return torch.cat([feature[:, number * BLOCK : (number + 1) * BLOCK] for feature in features], dim=1)
