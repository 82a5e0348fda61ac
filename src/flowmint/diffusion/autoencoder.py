"""The autoencoder: rows of the unit cube to short latent vectors and back, by cells.

A column is cut into cells (see `Cells`). The encoder sees each column twice: as a standard normal
number and as a learnt vector of its cell. The decoder answers with logits over each column's cells
and a position inside the chosen one; cross-entropy on cells trains far better than squared error,
and what is decoded is a value that exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

EDGE = 1e-6
"""Share of a cell that positions keep from its edges."""


@dataclass(frozen=True)
class Cells:
    """How each column's unit line is cut.

    Attributes:
        edges: For each column, the bounds of its cells [cells + 1], from 0 to 1.
        shared: For each column, whether each cell holds more than one value [cells].
    """

    edges: tuple[Tensor, ...]
    shared: tuple[Tensor, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of cells of each column."""
        return tuple(len(edges) - 1 for edges in self.edges)

    def locate(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Find each point's cell and its position inside.

        Args:
            uniform: Points of the unit cube [n, columns].

        Returns:
            Cells, int64 [n, columns], and positions from 0 to 1 [n, columns].
        """
        cells = torch.empty(uniform.shape, dtype=torch.int64, device=uniform.device)
        positions = torch.empty_like(uniform)
        for index, edges in enumerate(self.edges):
            points = uniform[:, index].contiguous()
            cell = (torch.searchsorted(edges, points, right=True) - 1).clamp(0, len(edges) - 2)
            cells[:, index] = cell
            positions[:, index] = (points - edges[cell]) / (edges[cell + 1] - edges[cell])
        return cells, positions.clamp(0, 1)

    def is_shared(self, cells: Tensor) -> Tensor:
        """Tell which cells hold several values: 1 or 0 [n, columns] for cells [n, columns]."""
        return torch.stack([shared[cells[:, i]] for i, shared in enumerate(self.shared)], dim=1).float()

    def place(self, cells: Tensor, positions: Tensor) -> Tensor:
        """Give the points of the unit cube at positions inside cells; the inverse of `locate`.

        A point never lies on an edge, which belongs to the next cell: a decoder's position may be 1, and in cells
        of a single value, where positions are not trained, often is.
        """
        inside = torch.where(self.is_shared(cells) > 0, positions.clamp(EDGE, 1 - EDGE), 0.5)
        columns = []
        for index, edges in enumerate(self.edges):
            low, high = edges[cells[:, index]], edges[cells[:, index] + 1]
            columns.append(low + (high - low) * inside[:, index])
        return torch.stack(columns, dim=1)


class Autoencoder(nn.Module):
    """Rows ↔ latents.

    Args:
        counts: Number of cells of each column.
        latent_dim: Dimensions of a latent.
        width: Units of the hidden layers.
    """

    def __init__(self, *, counts: tuple[int, ...], latent_dim: int, width: int) -> None:
        super().__init__()
        self.counts = counts
        self._starts: Tensor | None = None
        self.numbers = nn.Linear(len(counts), width)
        self.cells = nn.EmbeddingBag(sum(counts), width, mode="sum")
        self.encoder = nn.Sequential(
            nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, latent_dim)
        )
        self.decoder = nn.Sequential(nn.Linear(latent_dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.logits = nn.Linear(width, sum(counts))
        self.positions = nn.Linear(width, len(counts))

    def encode(self, normal: Tensor, cells: Tensor) -> Tensor:
        """Map rows to latents.

        Args:
            normal: Standard normal columns [n, columns].
            cells: Cells, int64 [n, columns].

        Returns:
            Latents [n, latent_dim].
        """
        if self._starts is None or self._starts.device != cells.device:  # once: no batch waits for the host
            self._starts = torch.tensor((0, *self.counts[:-1]), device=cells.device).cumsum(0)
        hidden = self.numbers(normal) + self.cells(cells + self._starts)
        latents: Tensor = self.encoder(hidden)
        return latents

    def decode(self, latents: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Map latents to what the row may be.

        Args:
            latents: Latents [n, latent_dim].

        Returns:
            For each column the logits of its cells [n, cells], and positions inside the chosen
            cell from 0 to 1 [n, columns].
        """
        hidden = self.decoder(latents)
        logits = self.logits(hidden).float()  # of all columns at once, where products are in bfloat16
        return logits.split(self.counts, dim=1), torch.sigmoid(self.positions(hidden))

    def choose(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Map latents to rows: the most likely cell of each column, and the position inside.

        Args:
            latents: Latents [n, latent_dim].

        Returns:
            Cells, int64 [n, columns], and positions from 0 to 1, float64 [n, columns].
        """
        hidden = self.decoder(latents.to(self.logits.weight.dtype))
        logits = self.logits(hidden).T.contiguous()
        cells = torch.stack([most_likely(column) for column in torch.split(logits, list(self.counts))], dim=1)
        return cells, torch.sigmoid(self.positions(hidden)).double()


def most_likely(logits: Tensor) -> Tensor:
    """Find each point's first largest logit.

    Comparing whole rows of points is faster than `torch.argmax`, which goes from point to point.

    Args:
        logits: A row for each cell [cells, n].

    Returns:
        Cells, int64 [n].
    """
    count = len(logits)
    kind = torch.uint8 if count < 256 else torch.int16
    ranks = torch.arange(count, 0, -1, dtype=kind, device=logits.device)[:, None]
    first = count - ((logits == logits.amax(dim=0)) * ranks).amax(dim=0).long()
    return first.clamp(max=count - 1)  # where logits are no numbers


def reconstruction_loss(
    logits: tuple[Tensor, ...],
    positions: Tensor,
    *,
    cells: Tensor,
    targets: Tensor,
    shared: Tensor,
    weights: tuple[float, ...],
) -> Tensor:
    """Cross-entropy of the cells plus squared error of the positions in cells of several values.

    Args:
        logits: For each column, logits of its cells [n, cells].
        positions: Decoded positions [n, columns].
        cells: True cells, int64 [n, columns].
        targets: True positions [n, columns].
        shared: Whether the true cell holds several values, 0 or 1 [n, columns].
        weights: How much each column's cells count [columns].

    Returns:
        A scalar, the mean over rows and columns.
    """
    entropies = [
        nn.functional.cross_entropy(column, true, reduction="sum")
        for column, true in zip(logits, cells.unbind(dim=1), strict=True)
    ]
    # a step of a small network is many small operations: none is worth a factor of 1
    entropies = [each if weight == 1 else weight * each for weight, each in zip(weights, entropies, strict=True)]
    error = 4 * (shared * (positions - targets) ** 2).sum()
    return (torch.stack(entropies).sum() + error) / cells.numel()
