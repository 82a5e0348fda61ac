"""The spread form of a table: numbers as standard normals, each name as zeros and a one.

It is what networks and forests see that know nothing of names: no name is nearer to one than to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from flowmint.encode.encoder import Encoder
    from flowmint.encode.support import Support

    Matrix = npt.NDArray[np.float32]

MOST_SPREAD = 256
"""Categorical columns with more values than this stay one number."""


def width(support: Support) -> int:
    """Tell how many dimensions a column takes: one, or one for each category."""
    few = support.is_categorical and 2 < support.states <= MOST_SPREAD
    return support.states if few else 1


def dimensions(encoder: Encoder) -> int:
    """Tell how many dimensions a row takes, at least one."""
    return max(sum(map(width, encoder.modelled)), 1)


def spread(encoder: Encoder, table: pl.DataFrame, *, seed: int | None) -> Matrix:
    """Spread rows.

    Args:
        encoder: A fitted encoder.
        table: Rows with its columns.
        seed: Seed of the draws inside each value's interval; None for its middle.

    Returns:
        float32 [rows, dimensions].
    """
    normal = encoder.encode(table, seed=seed)
    parts = []
    for index, support in enumerate(encoder.modelled):
        if width(support) == 1:
            parts.append(normal[:, index : index + 1])
        else:
            codes = support.codes(table[support.column.name])
            parts.append(np.eye(support.states, dtype=np.float32)[codes])
    return np.concatenate(parts, axis=1)


def uniform(encoder: Encoder, points: Matrix) -> npt.NDArray[np.float64]:
    """Tell where the rows of points lie, for `Encoder.decode_uniform`: the inverse of `spread`.

    Args:
        encoder: A fitted encoder.
        points: Spread rows [rows, dimensions]; the largest number of a column's names it.

    Returns:
        Points of the unit cube [rows, modelled columns].
    """
    columns, start = np.empty((len(points), len(encoder.modelled))), 0
    for index, support in enumerate(encoder.modelled):
        part = points[:, start : start + width(support)]
        start += width(support)
        if width(support) == 1:
            columns[:, index] = ndtr(part[:, 0].astype(np.float64))
        else:
            codes = part.argmax(axis=1)
            columns[:, index] = (support.edges[codes] + support.edges[codes + 1]) / 2
    return columns
