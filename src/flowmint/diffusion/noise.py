"""Noise schedules: how much of the data and how much noise there is at time t.

A noisy point is ``x_t = alpha(t) · x + sigma(t) · eps`` with ``eps`` standard normal. A schedule
says what ``alpha`` and ``sigma`` are, how training draws times, and which times a sampler visits;
everything else is derived from ``alpha`` and ``sigma``, so any schedule works with any solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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
    """

    location: float = 0.0
    scale: float = 1.0

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
        """Evenly spaced times [steps + 1], from almost 1 (``alpha`` must not vanish) to 0."""
        return torch.linspace(1, 0, steps + 1).clamp(max=1 - 1e-3)


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
