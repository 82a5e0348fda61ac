"""AdamW's step (Loshchilov & Hutter 2019) and the one-cycle schedule (Smith & Topin 2018) that paces it.

The step is torch's own, called as the function that `torch.optim.AdamW` calls: the class, like torch's schedules, loads
torch's compiler when it is made, which takes a second of a fit that takes twenty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.optim.adamw import adamw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

RISE = 0.15
"""The share of the steps in which the learning rate rises."""

FIRST, LAST = 25.0, 1e4
"""How many times higher the highest learning rate is than the first, and the first than the last."""

MOMENTUM = (0.95, 0.85)
"""Decay of the average gradient: at the lowest learning rate, and at the highest."""


@dataclass(frozen=True)
class Pace:
    """How fast a step goes.

    Attributes:
        rate: The learning rate.
        momentum: Decay of the average gradient.
    """

    rate: float
    momentum: float


def one_cycle(step: int, *, steps: int, highest: float) -> Pace:
    """Tell how fast a step of a training goes: as `torch.optim.lr_scheduler.OneCycleLR` does, to the last bit.

    Args:
        step: The step, from 0.
        steps: Steps of the training.
        highest: The highest learning rate.

    Returns:
        The learning rate, which rises and falls as a cosine, and the momentum, which falls and rises.
    """
    steps = max(steps, 2)
    first, slow, quick = highest / FIRST, *MOMENTUM
    peak, end = RISE * steps - 1, float(steps - 1)
    if step <= peak:
        share = step / peak
        return Pace(_between(first, highest, share), _between(slow, quick, share))
    share = (step - peak) / (end - peak)
    return Pace(_between(highest, first / LAST, share), _between(quick, slow, share))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


class AdamW:
    """What AdamW knows of weights.

    Args:
        weights: The weights, whose gradients are set before each step.
        weight_decay: Decoupled weight decay.
        memory: Decay of the average squared gradient.

    Attributes:
        means: Averages of the gradients.
        squares: Averages of the squared gradients.
    """

    def __init__(self, weights: Sequence[Tensor], *, weight_decay: float, memory: float) -> None:
        self._weights, self._decay, self._memory = list(weights), weight_decay, memory
        self.means = [torch.zeros_like(weight) for weight in self._weights]
        self.squares = [torch.zeros_like(weight) for weight in self._weights]
        self._steps = [torch.zeros((), device=weight.device) for weight in self._weights]

    @torch.no_grad()
    def step(self, pace: Pace) -> None:
        """Follow the gradients once; weights without one stay."""
        own = zip(self._weights, self.means, self.squares, self._steps, strict=True)
        moved = [(each[0], each[0].grad, *each[1:]) for each in own if each[0].grad is not None]
        if not moved:
            return
        weights, gradients, means, squares, steps = (list(part) for part in zip(*moved, strict=True))
        adamw(
            weights,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=pace.momentum,
            beta2=self._memory,
            lr=pace.rate,
            weight_decay=self._decay,
            eps=1e-8,
            maximize=False,
        )

    def restore(self, steps: int) -> None:
        """Be after so many steps; means and squares are set by whoever kept them."""
        for count in self._steps:
            count.fill_(float(steps))
