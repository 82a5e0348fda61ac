"""Sharpness: how far a class's minted rows keep away from the class that it is most mistaken for.

A network that saw few rows of a class blurs it into its neighbours: one column in a hundred takes a neighbour's
value, and a detector that learns such rows raises false alarms. Two corrections sharpen a class, both of one number,
its sharpness h:

* guidance (Ho & Salimans 2022, eq. 6, with a class in place of no class): ``D = D_c + h · (D_c - D_a)``, where
  ``D_c`` is the clean point predicted for the class and ``D_a`` for the class that it is most mistaken for;
* temperature: sampling starts from noise of standard deviation ``1 - h / 5``.

Both cost recall: rows of the class that look like none of the few that were learnt from are minted less. That is a
loss where a class truly looks like its neighbour, as a man in the middle does, and where nothing else looks like it,
as with a flood, whose blurred rows raise no alarm. So h follows how well the class can be told from the others by its
own training rows, up to a point: with s the mean probability that a random forest gives the class's rows, each judged
by the trees that did not see it, and n the rows, ``h = min(2s - 0.4, 1 - s) · min(1, 25 / n)``, and half of that in
tables with columns of names, where rows are chosen besides (see `flowmint.generators.strictness`). Less than 0.05 is
not worth a second evaluation of the network; the largest class and classes of more than 500 rows need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from flowmint.errors import ModelError
from flowmint.generators.separability import FEW_ROWS, rare_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowmint.generators.separability import Codes, Separability

LEAST = 0.05
"""Less sharpness than this is none."""


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
    def none(cls, classes: int) -> Self:
        """Leave so many classes as they are."""
        return cls((0.0,) * classes, (0,) * classes)

    @classmethod
    def rule(cls, found: Separability, counts: Codes, *, named: bool, given: float | None = None) -> Self:
        """Apply the rule.

        Args:
            found: How well each class is told from the others.
            counts: Rows of each class [classes].
            named: Whether the table has columns of names.
            given: The sharpness of every class but the largest, instead of the rule's.

        Returns:
            The sharpness of every class.
        """
        few = np.minimum(1.0, FEW_ROWS / counts)
        rule = np.minimum(2 * found.own - 0.4, 1 - found.own) * few * (0.5 if named else 1.0)
        rule[rule < LEAST] = 0.0
        largest = int(counts.argmax())
        rare = rare_classes(counts) if given is None else np.arange(len(counts)) != largest
        strength = np.where(rare, rule if given is None else given, 0.0)
        away = np.where(rare, found.mistaken, largest)
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
