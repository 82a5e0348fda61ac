"""Nearest neighbours of many points among many others, piece by piece, so that memory stays small.

Distances are computed pair by pair and not by the faster product of matrices, whose rounding would
make rows that equal each other lie a little apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Matrix = npt.NDArray[np.float64]
    Indices = npt.NDArray[np.int64]

PIECE = 4_000_000
"""Distances that are held at once."""


def kth_distances(points: Matrix, others: Matrix, k: int) -> Matrix:
    """Give the distances of each point to its nearest others.

    Args:
        points: Points [n, dimensions].
        others: Other points [m, dimensions], m ≥ k.
        k: How many neighbours.

    Returns:
        Distances [n, k], the nearest first.
    """
    found = [np.sort(np.partition(d, k - 1, axis=1)[:, :k], axis=1) for d in _pieces(points, others)]
    return np.concatenate(found)


def nearest_others(points: Matrix, others: Matrix) -> tuple[Indices, Matrix]:
    """Find the nearest other of each point.

    Args:
        points: Points [n, dimensions].
        others: Other points [m, dimensions].

    Returns:
        Which it is [n] and how far away [n].
    """
    which, distances = [], []
    for piece in _pieces(points, others):
        index = piece.argmin(axis=1)
        which.append(index)
        distances.append(piece[np.arange(len(piece)), index])
    return np.concatenate(which), np.concatenate(distances)


def _pieces(points: Matrix, others: Matrix) -> Iterator[Matrix]:
    rows = max(PIECE // max(len(others), 1), 1)
    for start in range(0, len(points), rows):
        yield cdist(points[start : start + rows], others)
