"""Separability: how well classes can be told from each other by rows that were not learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flowmint.generators.forest import Forest

if TYPE_CHECKING:
    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating[Any]]
    Codes = npt.NDArray[np.int64]
    Each = npt.NDArray[np.float64]

FEW_ROWS = 25
"""Up to so many rows a class is corrected fully."""

MANY_ROWS = 500
"""Classes of more rows are left as they are."""

FOREST_ROWS = 5_000
"""Rows that the forest learns from, shared evenly among the classes; a class keeps `MANY_ROWS` where it has them."""


@dataclass(frozen=True)
class Separability:
    """How well each class is told from the others.

    A random forest in which every class weighs the same gives each of its rows probabilities by the trees whose
    bootstrap sample lacked it.

    Attributes:
        forest: The forest.
        own: The mean probability of each class's own rows [classes].
        mistaken: The other class to which they get the highest mean probability [classes].
        precision: Average precision with which the probability of a class finds its rows among all [classes].
    """

    forest: Forest
    own: Each
    mistaken: Codes
    precision: Each

    @classmethod
    def measure(cls, points: Matrix, codes: Codes, *, classes: int, seed: int) -> Separability:
        """Grow the forest and ask it.

        Args:
            points: Rows, names spread [rows, columns].
            codes: The class of each [rows], every class present.
            classes: How many classes there are.
            seed: Seed of the forest and of the rows that it sees.

        Returns:
            How well each class is told from the others.
        """
        from sklearn.metrics import average_precision_score

        rng = np.random.default_rng(seed)
        most = max(FOREST_ROWS // classes, MANY_ROWS)
        kept = np.concatenate([rng.permutation(np.flatnonzero(codes == code))[:most] for code in range(classes)])
        kept.sort()
        forest, given = Forest.fit(points[kept], codes[kept], seed=seed)
        mine = [codes[kept] == code for code in range(classes)]
        mean = np.stack([given[rows].mean(axis=0) for rows in mine])
        own = mean.diagonal().copy()
        np.fill_diagonal(mean, -1.0)
        return cls(
            forest=forest,
            own=own,
            mistaken=mean.argmax(axis=1),
            precision=np.array([average_precision_score(rows, given[:, code]) for code, rows in enumerate(mine)]),
        )


def rare_classes(counts: Codes) -> npt.NDArray[np.bool_]:
    """Tell which classes have so few rows that what is minted of them needs correction [classes]."""
    rare = counts <= MANY_ROWS
    rare[counts.argmax()] = False
    return rare
