"""A generator of rows and its critic: the Wasserstein GAN with gradient penalty, conditional on the class.

The generator answers with a standard normal number for each column of numbers, and with logits over the cells of each
column of names, as CTGAN does (Xu et al. 2019). A name is drawn with Gumbel noise and passed on as zeros and ones, with
the gradient of the softmax (Jang et al. 2017), so that the critic always sees names as they are in real rows. The
critic judges a few rows of one class together (PacGAN, Lin et al. 2018), which betrays a generator that repeats itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowmint.diffusion.backbone import CONDITION, Block


class ClassBlocks(nn.Module):
    """Residual blocks that the class alone modulates.

    Args:
        classes: Number of classes.
        width: Units of the residual stream.
        blocks: How many.
    """

    def __init__(self, *, classes: int, width: int, blocks: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, CONDITION)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Pass a residual stream [n, width] of classes, int64 [n or 1], and activate what comes out [n, width]."""
        condition = nn.functional.silu(self.label(label))
        for block in self.blocks:
            x = block(x, condition)
        return nn.functional.silu(self.norm(x))


class RowGenerator(nn.Module):
    """Noise and a class to what a row may be.

    Args:
        numbers: Columns of numbers.
        counts: Number of cells of each column of names.
        classes: Number of classes.
        noise_dim: Dimensions of the noise.
        width: Units of the hidden layers.
        blocks: Residual blocks.
    """

    def __init__(
        self, *, numbers: int, counts: tuple[int, ...], classes: int, noise_dim: int, width: int, blocks: int
    ) -> None:
        super().__init__()
        self.parts = (numbers, *counts)
        self.enter = nn.Linear(noise_dim, width)
        self.blocks = ClassBlocks(classes=classes, width=width, blocks=blocks)
        self.leave = nn.Linear(width, sum(self.parts))

    def forward(self, noise: Tensor, label: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map noise to what a row may be.

        Args:
            noise: Standard normal [n, noise_dim].
            label: Classes, int64 [n or 1].

        Returns:
            Numbers on the scale of a standard normal [n, numbers], and for each column of names the logits of
            its cells [n, cells].
        """
        numbers, *logits = self.leave(self.blocks(self.enter(noise), label)).split(self.parts, dim=1)
        return numbers, tuple(logits)


class Critic(nn.Module):
    """Tells real rows from generated ones, some of one class at a time.

    Args:
        inputs: Numbers that describe one row.
        classes: Number of classes.
        width: Units of the hidden layers.
        blocks: Residual blocks.
        pack: Rows that are judged together.
    """

    def __init__(self, *, inputs: int, classes: int, width: int, blocks: int, pack: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs * pack, width)
        self.blocks = ClassBlocks(classes=classes, width=width, blocks=blocks)
        self.leave = nn.Linear(width, 1)

    def forward(self, packs: Tensor, label: Tensor) -> Tensor:
        """Judge packs of rows.

        Args:
            packs: Rows of one class beside each other [n, pack · inputs].
            label: Classes, int64 [n].

        Returns:
            Scores [n], larger for what looks real.
        """
        scores: Tensor = self.leave(self.blocks(self.enter(packs), label))
        return scores[:, 0]


def choose(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gumbel noise to logits [n, cells]: where the result is largest is a draw from them."""
    return logits - torch.empty_like(logits).exponential_(generator=generator).clamp(min=1e-20).log()


def choose_softly(logits: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw from logits as zeros and ones that pass on the gradient of a softmax (straight-through Gumbel-softmax).

    Args:
        logits: Logits [n, cells].
        temperature: Of the softmax: the lower, the truer and the noisier its gradient.
        generator: Source of the noise.

    Returns:
        One 1 in each row [n, cells].
    """
    soft = torch.softmax(choose(logits, generator) / temperature, dim=1)
    hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
    return hard + soft - soft.detach()


def critic_loss(
    critic: Critic, *, real: Tensor, minted: Tensor, label: Tensor, penalty: float, generator: torch.Generator
) -> Tensor:
    """Minus the estimated Wasserstein distance, and a penalty on slopes other than 1 (Gulrajani et al. 2017, eq. 3).

    Args:
        critic: The critic.
        real: Packs of real rows [n, pack · inputs].
        minted: Packs of generated rows, without gradient [n, pack · inputs].
        label: Classes, int64 [n].
        penalty: Weight of the penalty.
        generator: Source of the points between real and minted where the slope is measured.

    Returns:
        A scalar.
    """
    scores = critic(torch.cat([minted, real]), torch.cat([label, label]))
    share = torch.rand((len(real), 1), generator=generator, device=real.device)
    between = torch.lerp(real, minted, share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, label).sum(), between, create_graph=True)
    distance = scores[len(real) :].mean() - scores[: len(real)].mean()
    loss: Tensor = penalty * ((slope.norm(dim=1) - 1) ** 2).mean() - distance
    return loss
