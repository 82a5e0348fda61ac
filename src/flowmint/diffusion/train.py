"""The one training loop, and how a network is built and initialised from a seed.

AdamW with a one-cycle learning rate (Smith & Topin 2018), gradients clipped, and an exponential
moving average of the weights, which is what remains in the module afterwards.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowmint.progress import Stage

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Training:
    """How long and how fast to train.

    Attributes:
        steps: Number of optimiser steps.
        batch_rows: Rows drawn for each step.
        learning_rate: Highest learning rate of the cycle.
        weight_decay: AdamW's decoupled weight decay.
        average: Decay of the moving average of the weights, 0 for none.
    """

    steps: int
    batch_rows: int
    learning_rate: float
    weight_decay: float = 1e-3
    average: float = 0.995


def train(module: nn.Module, loss: Callable[[], Tensor], *, training: Training, stage: Stage) -> None:
    """Train a module in place.

    Args:
        module: What to train; ends with the averaged weights, in evaluation mode.
        loss: Draws a batch and returns its mean loss; all its randomness comes from generators
            that the caller seeded.
        training: Length and speed.
        stage: Told after each step.
    """
    averaged = deepcopy(module)
    weights: list[Tensor] = list(module.parameters())
    averages: list[Tensor] = list(averaged.parameters())
    optimiser = torch.optim.AdamW(
        weights, lr=training.learning_rate, weight_decay=training.weight_decay, betas=(0.9, 0.99), fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=training.learning_rate, total_steps=max(training.steps, 2), pct_start=0.15
    )
    module.train()
    for index in range(training.steps):
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss())
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        if index + 1 < training.steps:
            schedule.step()
        decay = min(training.average, (1 + index) / (10 + index)) if training.average else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - decay)
        stage.advance(1)
    module.load_state_dict(averaged.state_dict())
    module.eval()


def build(factory: Callable[[], Module], *, seed: int, device: torch.device) -> Module:
    """Build a module whose weights depend on the seed alone; the global generator is not touched.

    Args:
        factory: Makes the module.
        seed: Seed of the initial weights.
        device: Where the weights shall lie.

    Returns:
        The module: linear layers uniform in ±1/√inputs, embeddings standard normal times 0.5.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        module = factory()
    module = module.to_empty(device="cpu")
    for part in module.modules():
        _initialise(part, generator)
    return module.to(device)


@torch.no_grad()
def _initialise(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, nn.Linear):
        bound = 1 / math.sqrt(part.in_features)
        part.weight.uniform_(-bound, bound, generator=generator)
        part.bias.uniform_(-bound, bound, generator=generator)
    elif isinstance(part, nn.Embedding | nn.EmbeddingBag):
        part.weight.normal_(0, 0.5, generator=generator)
    elif isinstance(part, nn.LayerNorm) and part.elementwise_affine:
        part.weight.fill_(1)
        part.bias.zero_()


@dataclass(frozen=True)
class WeightedRows:
    """Draws row numbers in proportion to weights.

    Attributes:
        cumulative: Rising sums of the weights [rows].
        generator: Source of randomness.
    """

    cumulative: Tensor
    generator: torch.Generator

    def draw(self, count: int) -> Tensor:
        """Draw ``count`` row numbers with replacement, int64 [count]."""
        points = torch.rand(count, generator=self.generator, device=self.cumulative.device, dtype=torch.float64)
        rows = torch.searchsorted(self.cumulative, points * self.cumulative[-1], right=True)
        return rows.clamp(max=len(self.cumulative) - 1)
