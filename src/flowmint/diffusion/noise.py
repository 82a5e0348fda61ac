"""Noise schedules: how much of the data and how much noise there is at time t.

A noisy point is ``x_t = alpha(t) · x + sigma(t) · eps`` with ``eps`` standard normal. A schedule
says what ``alpha`` and ``sigma`` are, how training draws times, and which times a sampler visits;
everything else is derived from ``alpha`` and ``sigma``, so any schedule works with any solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

FINE = 1000
"""Times that a schedule is looked up at, to find those between."""


class Schedule(Protocol):
    """Data and noise shares over time, for training and for sampling."""

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the data at time ``t``, same shape as ``t``."""

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at time ``t``, same shape as ``t``."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw training times [count]."""

    def grid(self, steps: int) -> Tensor:
        """Times [steps + 1] that a sampler visits, from all noise to no noise."""


@dataclass(frozen=True)
class RectifiedFlow:
    """Straight lines from data to noise (Liu et al. 2023), ``alpha = 1 - t``, ``sigma = t``.

    Training times are logit-normal (Esser et al. 2024, eq. 19).

    Attributes:
        location: Mean of the logit of a training time.
        scale: Standard deviation of the logit of a training time.
        shift: How strongly the sampler's times gather near 1, where rows take shape (Esser et al. 2024, eq. 23).
    """

    location: float = 0.0
    scale: float = 1.0
    shift: float = 1.5

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the data at time ``t``."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at time ``t``."""
        return t

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw logit-normal times [count]."""
        normal = torch.randn(count, generator=generator, device=generator.device)
        return torch.sigmoid(self.location + self.scale * normal)

    def grid(self, steps: int) -> Tensor:
        """Shifted times [steps + 1], from almost 1 (``alpha`` must not vanish) to 0."""
        even = torch.linspace(1 - 1e-3, 0, steps + 1)
        return self.shift * even / (1 + (self.shift - 1) * even)


@dataclass(frozen=True)
class VarianceExploding:
    """Noise added to unscaled data (EDM, Karras et al. 2022), ``alpha = 1``, ``sigma = t``.

    Attributes:
        location: Mean of the logarithm of a training noise level (``P_mean``).
        scale: Standard deviation of that logarithm (``P_std``).
        lowest: Smallest noise level that sampling visits before zero.
        highest: Noise level that sampling starts from.
        bend: How strongly the sampler's levels gather near zero (``rho``, eq. 5).
    """

    location: float = -0.6
    scale: float = 1.2
    lowest: float = 0.01
    highest: float = 20.0
    bend: float = 7.0

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the data at time ``t``: always all of it."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at time ``t``."""
        return t

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw log-normal noise levels [count]."""
        normal = torch.randn(count, generator=generator, device=generator.device)
        return torch.exp(self.location + self.scale * normal)

    def grid(self, steps: int) -> Tensor:
        """Noise levels [steps + 1] of eq. 5, the last of them 0."""
        share = torch.linspace(0, 1, steps)
        low, high = self.lowest ** (1 / self.bend), self.highest ** (1 / self.bend)
        return torch.cat([(high + share * (low - high)) ** self.bend, torch.zeros(1)])


@dataclass(frozen=True)
class VariancePreserving:
    """The classic schedule (DDPM, Ho et al. 2020), ``alpha² + sigma² = 1``.

    Data fades at a rate that rises linearly with time. Ho et al. state it for 1,000 discrete steps, with variances
    ``beta`` from 0.0001 to 0.02; this is its continuous form (Song et al. 2021, eq. 33), with rates a thousand times
    as large: on a grid of 1,000 steps both differ by less than one part in a thousand.

    Attributes:
        lowest: Rate of fading at time 0 (``beta_min``).
        highest: Rate of fading at time 1 (``beta_max``).
    """

    lowest: float = 0.1
    highest: float = 20.0

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the data at time ``t``."""
        return torch.exp(self._faded(t) / 2)

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at time ``t``."""
        return torch.sqrt(-torch.expm1(self._faded(t)))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw evenly distributed times [count]; none is 0, where there is nothing to learn."""
        return 1 - (1 - 1e-3) * torch.rand(count, generator=generator, device=generator.device)

    def grid(self, steps: int) -> Tensor:
        """Evenly spaced times [steps + 1] from 1 to 0."""
        return torch.linspace(1, 0, steps + 1)

    def _faded(self, t: Tensor) -> Tensor:
        """Logarithm of ``alpha²``."""
        return -t * (self.lowest + t * (self.highest - self.lowest) / 2)


def even_grid(schedule: Schedule, steps: int) -> Tensor:
    """Choose times between which noise fades evenly.

    Args:
        schedule: A noise schedule.
        steps: How many steps they bound.

    Returns:
        Times [steps + 1], from the first to the last that the schedule's own grid visits, at which the share of noise,
        ``sigma / (alpha + sigma)``, falls in equal steps.
    """
    times = schedule.grid(FINE).flip(0)
    shares = (schedule.sigma(times) / (schedule.alpha(times) + schedule.sigma(times))).numpy()
    wanted = np.linspace(shares[-1], shares[0], steps + 1)
    return torch.from_numpy(np.interp(wanted, shares, times.numpy())).float()
