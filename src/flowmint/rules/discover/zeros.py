"""Implications between zeros: ``when B = 0 then A = 0``, and columns that are 0 in the same rows.

How many rows would have ``A != 0`` and ``B = 0`` by chance needs no permutation: in each class it is the product of the
two counts over the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.evidence import (
    LEAST_OF_CLASS,
    LEAST_ROWS,
    MOST_BROKEN,
    Finding,
    enough,
    is_particular,
)
from flowmint.rules.discover.training import is_zero
from flowmint.rules.language import Column, Compare, Exactly, Number, When

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from flowmint.rules.discover.training import Training
    from flowmint.rules.evaluate import Booleans, Floats
    from flowmint.rules.language import Condition

Pair = tuple[str, str]


def find_zeros(training: Training, names: Sequence[str], implied: Iterable[Pair]) -> list[Finding]:
    """Find columns that are 0 wherever another is.

    Args:
        training: The rows.
        names: The columns to relate.
        implied: Pairs (A, B) for which ``when B = 0 then A = 0`` follows from other rules.

    Returns:
        As few implications as tell them all.
    """
    if not names:
        return []
    counts = _Counts.of(training, names)
    tried = len(names) * (len(names) - 1)
    holds = np.zeros_like(counts.broken, dtype=bool)
    for one, other in np.argwhere((counts.broken <= MOST_BROKEN * counts.live[:, None]) & (counts.expected >= 1)):
        broken, expected = counts.broken[one, other], counts.expected[one, other]
        could = min(counts.live[one], counts.zero[other])
        holds[one, other] = one != other and could >= LEAST_ROWS and enough(broken, could, expected, tried=tried)
    known = np.zeros_like(holds)
    for low, high in implied:
        if low in names and high in names:
            known[names.index(low), names.index(high)] = True
    return _basis(names, holds, known, counts, training)


@dataclass(frozen=True)
class _Counts:
    """Rows with A != 0 and B = 0, for each pair of columns [A, B].

    Attributes:
        expected: How many there would be by chance.
        broken: How many there are.
        classes: In how many classes chance would give some.
        live: How many rows have A != 0 [A].
        zero: How many rows have B = 0 [B].
    """

    expected: Floats
    broken: Floats
    classes: npt.NDArray[np.int64]
    live: npt.NDArray[np.int64]
    zero: npt.NDArray[np.int64]

    @classmethod
    def of(cls, training: Training, names: Sequence[str]) -> _Counts:
        """Count."""
        values = training.taken(names)
        zero = is_zero(values)
        live = np.isfinite(values) & ~zero
        size = np.maximum(training.per_class(np.ones((training.rows, 1), dtype=bool)), 1)
        lives, zeros = training.per_class(live), training.per_class(zero) / size
        classes = np.zeros((len(names), len(names)), dtype=np.int64)
        for of_class, share in zip(lives, zeros, strict=True):
            classes += np.outer(of_class, share) >= LEAST_OF_CLASS
        broken = np.rint((live.T.astype(np.float32) @ zero.astype(np.float32)).astype(np.float64))
        return cls(lives.T @ zeros, broken, classes, live.sum(axis=0), zero.sum(axis=0))


def _basis(
    names: Sequence[str], holds: Booleans, known: Booleans, counts: _Counts, training: Training
) -> list[Finding]:
    """Leave out what follows: one rule for columns that are 0 together, and no implication through a third column."""

    def finding(condition: Condition, *pairs: tuple[int, int]) -> Finding:
        particular = any(
            is_particular(counts.broken[pair], int(counts.classes[pair]), training, implication=True) for pair in pairs
        )
        expected = float(min(counts.expected[pair] for pair in pairs))
        return Finding(kind="zero", condition=condition, expected=expected, particular=particular)

    # columns are 0 together only where no row is an exception: else each would pass its own on
    sure = holds & (counts.broken == 0)
    together = sure & sure.T
    leader = [int(np.flatnonzero(row | (np.arange(len(names)) == index))[0]) for index, row in enumerate(together)]
    findings = []
    for index, first in enumerate(leader):
        if first != index and not (known[index, first] and known[first, index]):
            rule = Exactly(_zero(names[index]), _zero(names[first]))
            findings.append(finding(rule, (index, first), (first, index)))
    heads = sorted(set(leader))
    reach = holds | known
    for one, other in permutations(heads, 2):
        between = any(reach[one, head] and reach[head, other] for head in heads if head not in (one, other))
        if holds[one, other] and not known[one, other] and not between:
            findings.append(finding(When(_zero(names[other]), _zero(names[one])), (one, other)))
    return findings


def _zero(name: str) -> Condition:
    return Compare("=", Column(name), Number(0))
