"""The network inside the denoiser: a residual perceptron modulated by noise level and class.

Each block normalises its input, shifts and scales it by what the noise level and the class ask for
(adaptive layer norm, Peebles & Xie 2023), and adds a gated two-layer perceptron. The modulation is
computed for as many rows as there are distinct (level, class) pairs given: one, when sampling.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

WAVES = 16
"""Frequencies that a noise level is spread over."""

CONDITION = 64
"""Units of the embedded noise level and class."""


class Block(nn.Module):
    """One residual block of the backbone.

    Args:
        width: Units of the residual stream.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(CONDITION, 3 * width)
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Add this block's part to the residual stream.

        Args:
            x: Residual stream [n, width].
            condition: Embedded level and class [n or 1, CONDITION].

        Returns:
            Residual stream [n, width].
        """
        shift, scale, gate = self.modulation(condition).chunk(3, dim=-1)
        if len(condition) == 1:  # sampling: one pass over the rows instead of three
            hidden = nn.functional.layer_norm(x, (x.shape[-1],), 1 + scale[0], shift[0])
        else:
            hidden = self.norm(x) * (1 + scale) + shift
        hidden = self.leave(nn.functional.silu(self.enter(hidden)))
        return torch.addcmul(x, 1 + gate, hidden)


class Backbone(nn.Module):
    """Residual perceptron over points, conditional on noise level and class.

    Args:
        dimensions: Dimensions of a point.
        classes: Number of classes.
        width: Units of the residual stream.
        blocks: Number of residual blocks.
    """

    def __init__(self, *, dimensions: int, classes: int, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(dimensions, width)
        self.level = nn.Sequential(nn.Linear(2 * WAVES, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION))
        self.label = nn.Embedding(classes, CONDITION)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, dimensions)

    def forward(self, x: Tensor, level: Tensor, label: Tensor) -> Tensor:
        """Map scaled noisy points to the denoiser's raw output.

        Args:
            x: Points [n, dimensions].
            level: Logarithm of the noise-to-data ratio [n or 1].
            label: Classes, int64 [n or 1].

        Returns:
            Raw output [n, dimensions].
        """
        kind = self.enter.weight.dtype
        condition = nn.functional.silu(self.level(waves(level).to(kind)) + self.label(label))
        hidden = self.enter(x.to(kind))
        for block in self.blocks:
            hidden = block(hidden, condition)
        output: Tensor = self.leave(nn.functional.silu(self.norm(hidden)))
        return output.to(x.dtype)


def waves(level: Tensor) -> Tensor:
    """Spread noise levels over sines and cosines of rising frequency.

    Args:
        level: Logarithms of noise-to-data ratios [n], about -8 to 8.

    Returns:
        Features [n, 2 · WAVES].
    """
    steps = torch.arange(WAVES, device=level.device) / (WAVES - 1)
    angles = level[:, None] * (math.pi / 16) * 32**steps
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
