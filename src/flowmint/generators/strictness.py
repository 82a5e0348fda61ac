"""Strictness: how strictly minted rows of a class are chosen by how much they look like it.

A name that is wrong makes a row of another class, and networks that saw few rows of a class take a wrong name now and
then: numbers blur into near ones, but a name into any other. So in tables with columns of names `CANDIDATES` times as
many rows are minted as are wanted, and kept with a probability in proportion to ``p^k``, where p is how likely a random
forest of the real rows takes a row for one of its class, and k the class's strictness (rejection by a discriminator,
Azadi et al. 2019, with a classifier of real rows in its place).

Chosen rows are more typical, and where a class truly looks like others, typical rows teach a detector too little. So k
follows how well the class can be told from the others: with a the average precision with which the forest finds the
class's own rows, each judged by trees that did not see it, and n the rows, k is ``10 · (a - 0.5)``, from 0 to 4, times
``min(1, 25 / n)``. The largest class and classes of more than 500 rows need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from flowmint.errors import ModelError
from flowmint.generators.forest import Forest
from flowmint.generators.separability import FEW_ROWS, rare_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from flowmint.generators.separability import Codes, Separability

CANDIDATES = 4
"""How many rows are minted for each that is kept."""

LEAST_AT, MOST_AT, MOST = 0.5, 0.9, 4.0
"""Average precisions at which strictness begins and is full, and what it is then."""


@dataclass(frozen=True)
class Strictness:
    """How strictly rows of each class are chosen, and by what.

    Attributes:
        power: k of each class [classes], from 0.
        forest: Tells how likely rows are of a class; None where nothing is chosen.
    """

    power: tuple[float, ...]
    forest: Forest | None = None

    @classmethod
    def none(cls, classes: int) -> Self:
        """Take rows of so many classes as they come."""
        return cls((0.0,) * classes)

    @classmethod
    def rule(cls, found: Separability, counts: Codes, *, named: bool, given: float | None = None) -> Self:
        """Apply the rule.

        Args:
            found: How well each class is told from the others.
            counts: Rows of each class [classes].
            named: Whether the table has columns of names.
            given: The strictness of every class but the largest and those of many rows, instead of the rule's.

        Returns:
            The strictness of every class.
        """
        few = np.minimum(1.0, FEW_ROWS / counts)
        rule = MOST * np.clip((found.precision - LEAST_AT) / (MOST_AT - LEAST_AT), 0.0, 1.0) * few * named
        power = np.where(rare_classes(counts), rule if given is None else given, 0.0)
        return cls(tuple(power.tolist()), found.forest if power.any() else None)

    def choose(
        self, points: npt.NDArray[np.float32], code: int, rows: int, *, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Choose among candidates, more likely those that look more like their class.

        The rows with the largest ``k · log p + g``, where g is Gumbel noise, are drawn without replacement in
        proportion to ``p^k`` (Kool et al. 2019).

        Args:
            points: Candidates, names spread [candidates, columns].
            code: Their class.
            rows: How many to choose.
            rng: Source of the draws.

        Returns:
            Their numbers in rising order [rows].
        """
        if self.forest is None:
            return np.arange(rows)
        likely = self.forest.likely(points, code)
        least = 1 / (2 * len(self.forest.roots))  # what no tree votes for may still be
        noisy = self.power[code] * np.log(np.maximum(likely, least)) + rng.gumbel(size=len(likely))
        return np.sort(np.argpartition(-noisy, rows - 1)[:rows])

    def to_state(self) -> tuple[dict[str, npt.NDArray[Any]], list[float]]:
        """Give what a model folder holds: arrays by name, and each class's strictness."""
        return {} if self.forest is None else self.forest.to_arrays("forest"), list(self.power)

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]], power: object, *, classes: int, columns: int) -> Self:
        """Rebuild what a model folder holds.

        Args:
            arrays: Arrays by name.
            power: Each class's strictness.
            classes: How many classes there are.
            columns: How many numbers describe a row, names spread.

        Raises:
            ModelError: It is no strictness of so many classes, or the forest is missing or damaged.
        """
        if (
            not isinstance(power, list)
            or len(power) != classes
            or not all(isinstance(k, float) and 0 <= k <= 100 for k in power)
        ):
            message = "its strictness is not that of its classes"
            raise ModelError(message)
        forest = Forest.from_arrays(arrays, "forest", columns=columns, classes=classes) if any(power) else None
        return cls(tuple(power), forest)
