"""Sharpness: how far a class's minted rows keep away from the class that it is most mistaken for.

A network that saw few rows of a class blurs it into its neighbours: one column in a hundred takes a neighbour's
value, and a detector that learns such rows raises false alarms. Two corrections sharpen a class, both of one number,
its sharpness h:

* guidance (Ho & Salimans 2022, eq. 6, with a class in place of no class): ``D = D_c + h · (D_c - D_a)``, where
  ``D_c`` is the clean point predicted for the class and ``D_a`` for the class that it is most mistaken for;
* temperature: sampling starts from noise of standard deviation ``1 - h / 5``.

Both cost recall where a class truly looks like its neighbour, as a man in the middle does. So h follows how well the
class can be told from the others by its own training rows: with s the mean probability that a random forest gives the
class's rows, each judged by the trees that did not see it, and n the rows, ``h = (2s - 0.4) · min(1, 25 / n)``, from
0 to 1. In tables with columns of names it is ``(2s - 0.2) · min(1, 25 / n)``: numbers blur into near ones, but a name
into any other. Less than 0.05 is not worth a second evaluation of the network; the largest class and classes of more
than 500 rows need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from flowmint.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating[Any]]
    Codes = npt.NDArray[np.int64]

FEW_ROWS = 25
"""Up to so many rows a class is sharpened fully."""

MANY_ROWS = 500
"""Classes of more rows are left as they are."""

LEAST = 0.05
"""Less sharpness than this is none."""

FOREST_ROWS = 5_000
"""Rows that the forest learns from, shared evenly among the classes; a class keeps `MANY_ROWS` where it has them."""

TREES = 200


@dataclass(frozen=True)
class Sharpness:
    """How much each class is sharpened.

    Attributes:
        strength: h of each class [classes], from 0.
        away: For each class the number of the class that it is most mistaken for [classes].
    """

    strength: tuple[float, ...]
    away: tuple[int, ...]

    @classmethod
    def measure(
        cls,
        points: Matrix,
        codes: Codes,
        *,
        classes: int,
        seed: int,
        named: bool = False,
        given: float | None = None,
        counts: Codes | None = None,
    ) -> Self:
        """Apply the rule.

        Args:
            points: Encoded rows [rows, columns].
            codes: The class of each [rows].
            classes: How many classes there are.
            seed: Seed of the forest and of the rows that it sees.
            named: Whether the table has columns of names.
            given: The sharpness of every class but the largest, instead of the rule's.
            counts: Rows of each class [classes], where these are drawn from more.

        Returns:
            The sharpness of every class.
        """
        counts = np.bincount(codes, minlength=classes) if counts is None else counts
        largest = int(counts.argmax())
        rare = (counts <= MANY_ROWS) | (given is not None)
        rare[largest] = False
        strength, away = np.zeros(classes), np.full(classes, largest)
        if rare.any() and given != 0:
            own, mistaken = separability(points, codes, classes=classes, seed=seed)
            few = np.minimum(1.0, FEW_ROWS / counts)
            rule = np.clip((2 * own - (0.2 if named else 0.4)) * few, 0.0, 1.0)
            rule[rule < LEAST] = 0.0
            strength = np.where(rare, rule if given is None else given, 0.0)
            away = np.where(rare, mistaken, largest)
        return cls(tuple(strength.tolist()), tuple(away.tolist()))

    @classmethod
    def from_json(cls, obj: Mapping[str, Any], *, classes: int) -> Self:
        """Rebuild what a model folder holds.

        Raises:
            ModelError: It is no sharpness of so many classes.
        """
        strength, away = obj["strength"], obj["away"]
        sound = (
            isinstance(strength, list)
            and isinstance(away, list)
            and len(strength) == len(away) == classes
            and all(isinstance(h, float) and 0 <= h <= 10 for h in strength)
            and all(type(code) is int and 0 <= code < classes for code in away)
        )
        if not sound:
            message = "its sharpness is not that of its classes"
            raise ModelError(message)
        return cls(tuple(strength), tuple(away))

    def temperature(self, code: int) -> float:
        """Standard deviation of the noise that sampling of a class starts from."""
        return max(1 - self.strength[code] / 5, 0.0)


def separability(
    points: Matrix, codes: Codes, *, classes: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Tell how well each class is told from the others by rows that were not learnt.

    A random forest in which every class weighs the same (Breiman 2001) gives each row its probabilities by the trees
    whose bootstrap sample lacked it.

    Args:
        points: Encoded rows [rows, columns].
        codes: The class of each [rows], every class present.
        classes: How many classes there are.
        seed: Seed of the forest and of the rows that it sees.

    Returns:
        For each class the mean probability of its own rows [classes], and the other class to which they get the
        highest mean probability [classes].
    """
    rng = np.random.default_rng(seed)
    most = max(FOREST_ROWS // classes, MANY_ROWS)
    kept = np.concatenate([rng.permutation(np.flatnonzero(codes == code))[:most] for code in range(classes)])
    kept.sort()
    forest = RandomForestClassifier(
        TREES, class_weight="balanced_subsample", oob_score=True, random_state=seed % 2**32
    ).fit(points[kept], codes[kept])
    given = forest.oob_decision_function_
    mean = np.stack([given[codes[kept] == code].mean(axis=0) for code in range(classes)])
    own = mean.diagonal().copy()
    np.fill_diagonal(mean, -1.0)
    return own, mean.argmax(axis=1)
