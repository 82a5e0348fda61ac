"""Rows as cells: what the generators that decode through cells share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowmint.diffusion.autoencoder import Cells
from flowmint.encode.cells import cell_edges

if TYPE_CHECKING:
    from flowmint.encode.encoder import Encoder
    from flowmint.encode.support import Support


def draw_mixed(shape: torch.Size, count: int, *, share: float, generator: torch.Generator) -> Tensor:
    """Draw rows, some of whose columns come from other rows.

    Args:
        shape: Rows and columns to draw from.
        count: How many rows.
        share: Share of columns that come from another row each.
        generator: Source of randomness, on the device of the result.

    Returns:
        For each row and column the row to take it from, int64 [count, columns].
    """
    rows, columns = shape
    device = generator.device
    own = torch.randint(rows, (count, 1), generator=generator, device=device).expand(count, columns)
    if not share:
        return own
    others = torch.randint(rows, (count, columns), generator=generator, device=device)
    mixed = torch.rand((count, columns), generator=generator, device=device) < share
    return torch.where(mixed, others, own)


def numbers_of(support: Support) -> int:
    """Tell how many dimensions of a latent a column is worth: one, and log2 of its values more for names."""
    return 1 + math.ceil(math.log2(support.states)) if support.is_categorical and support.states > 2 else 1


def cut(encoder: Encoder, cells: int, device: torch.device) -> Cells:
    """Cut each modelled column of an encoder into cells.

    Args:
        encoder: A fitted encoder.
        cells: Cells of equal share.
        device: Where the bounds shall lie.

    Returns:
        The cells.
    """
    pairs = [cell_edges(support, cells=cells) for support in encoder.modelled]
    return Cells(
        edges=tuple(torch.from_numpy(edges).to(device) for edges, _ in pairs),
        shared=tuple(torch.from_numpy(shared).to(device) for _, shared in pairs),
    )
