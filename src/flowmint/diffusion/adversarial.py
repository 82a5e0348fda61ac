"""A generator of rows and its critic: the Wasserstein GAN with gradient penalty, conditional on the class.

The generator answers like the autoencoder's decoder: logits over each column's cells and positions inside. What it
chooses is drawn with Gumbel noise and passed on as zeros and ones, with the gradient of the softmax (Jang et al. 2017),
so that the critic always sees rows that could be real. The critic sees each column as the autoencoder does, as a number
and as its cell, and judges a few rows of one class together (PacGAN, Lin et al. 2018), which betrays a generator that
repeats itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from flowmint.diffusion.backbone import CONDITION, Block

if TYPE_CHECKING:
    from flowmint.diffusion.autoencoder import Cells

TAIL = 1e-4
"""How near to 0 and 1 a number on the unit line may come before it becomes a normal one."""


class RowGenerator(nn.Module):
    """Noise and a class to what a row may be.

    Args:
        counts: Number of cells of each column.
        classes: Number of classes.
        noise_dim: Dimensions of the noise.
        width: Units of the hidden layers.
        blocks: Residual blocks.
    """

    def __init__(self, *, counts: tuple[int, ...], classes: int, noise_dim: int, width: int, blocks: int) -> None:
        super().__init__()
        self.counts = counts
        self.enter = nn.Linear(noise_dim, width)
        self.label = nn.Embedding(classes, CONDITION)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, sum(counts))
        self.positions = nn.Linear(width, len(counts))

    def forward(self, noise: Tensor, label: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Map noise to what a row may be.

        Args:
            noise: Standard normal [n, noise_dim].
            label: Classes, int64 [n or 1].

        Returns:
            For each column the logits of its cells [n, cells], and positions inside the chosen
            cell from 0 to 1 [n, columns].
        """
        condition = nn.functional.silu(self.label(label))
        hidden = self.enter(noise)
        for block in self.blocks:
            hidden = block(hidden, condition)
        hidden = nn.functional.silu(self.norm(hidden))
        return self.logits(hidden).split(self.counts, dim=1), torch.sigmoid(self.positions(hidden))


class Critic(nn.Module):
    """Tells real rows from generated ones, some of one class at a time.

    Args:
        inputs: Numbers that describe one row.
        classes: Number of classes.
        width: Units of the hidden layers.
        pack: Rows that are judged together.
    """

    def __init__(self, *, inputs: int, classes: int, width: int, pack: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs * pack, width)
        self.label = nn.Embedding(classes, CONDITION)
        self.block = Block(width)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, 1)

    def forward(self, packs: Tensor, label: Tensor) -> Tensor:
        """Judge packs of rows.

        Args:
            packs: Rows of one class beside each other [n, pack · inputs].
            label: Classes, int64 [n].

        Returns:
            Scores [n], larger for what looks real.
        """
        hidden = self.block(self.enter(packs), nn.functional.silu(self.label(label)))
        scores: Tensor = self.leave(nn.functional.silu(self.norm(hidden)))
        return scores[:, 0]


@dataclass(frozen=True)
class View:
    """How the critic sees a row: a number for each column, then zeros and ones for its cells.

    Attributes:
        offsets: Where each column's cells begin among all cells [columns].
        numbers: The number that stands for each cell, in its column [cells, columns].
        reach: How far positions move it, 0 in cells of one value [cells, columns].
    """

    offsets: Tensor
    numbers: Tensor
    reach: Tensor

    @classmethod
    def of(cls, cells: Cells) -> View:
        """Make the view of rows that are cut into cells."""
        count, columns = sum(cells.counts), len(cells.counts)
        offsets = torch.tensor((0, *cells.counts[:-1]), device=cells.edges[0].device).cumsum(0)
        numbers = torch.zeros((count, columns), device=offsets.device)
        reach = torch.zeros_like(numbers)
        for index, (edges, shared) in enumerate(zip(cells.edges, cells.shared, strict=True)):
            normal = torch.special.ndtri(edges.clamp(TAIL, 1 - TAIL)).float()
            own = slice(int(offsets[index]), int(offsets[index]) + len(shared))
            numbers[own, index] = normal[:-1] + normal.diff() * ~shared / 2
            reach[own, index] = normal.diff() * shared
        return cls(offsets, numbers, reach)

    @property
    def width(self) -> int:
        """How many numbers describe a row."""
        return sum(self.numbers.shape)

    def see(self, chosen: Tensor, positions: Tensor) -> Tensor:
        """Describe rows.

        Args:
            chosen: Zeros and ones, one 1 in each column's cells [n, cells].
            positions: Positions inside the chosen cells [n, columns].

        Returns:
            The view [n, width].
        """
        return torch.cat([chosen @ self.numbers + (chosen @ self.reach) * positions, chosen], dim=1)

    def see_cells(self, cells: Tensor, positions: Tensor) -> Tensor:
        """Describe rows whose cells are numbered: int64 [n, columns] and positions [n, columns] to [n, width]."""
        chosen = torch.zeros((len(cells), len(self.numbers)), device=cells.device)
        return self.see(chosen.scatter_(1, cells + self.offsets, 1.0), positions)


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
