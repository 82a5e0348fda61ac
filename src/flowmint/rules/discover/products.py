"""Products: ``A = k * B * C``, the ratios that say the same, squares ``A = k * B^2``, and ``A * B = k``.

For each column a few dozen rows with distinct values are divided by the product of every pair of the others; where the
quotient is the same in nearly all of them, it is the factor of a candidate. Ratios are products for another column, but
are not defined where the divisor is 0: each way to write a relation is tried, the product first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.evidence import accept
from flowmint.rules.discover.express import SPREAD_SHARE, compare, scaled, simplify
from flowmint.rules.discover.training import SEED
from flowmint.rules.language import Binary, Column, Number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flowmint.rules.discover.evidence import Finding
    from flowmint.rules.discover.training import Codes, Training
    from flowmint.rules.evaluate import Floats
    from flowmint.rules.language import Condition

ROWS = 48
"""Rows in which a candidate is looked for."""

LEAST = 6
"""Fewest rows with distinct values other than 0."""

DEFINED = 0.3
"""Share of the rows in which there must be a factor: elsewhere a value is missing, or the divisor of a ratio is 0."""

AGREE = 0.9
"""Share of these rows that must have the same factor."""

SAME = 2e-5
"""How far factors may differ, as a share: values with few digits give rough ones."""

HALF = 0.505
"""How far a rounded value may be off, in units."""


@dataclass(frozen=True)
class _Proposal:
    """A relation between columns whose product, each to a power, is constant.

    Attributes:
        complexity: How hard it is to read: squares first, then products, then rounded ones.
        exponents: Power of each column.
        ways: How it can be written, as (the column that follows, the condition).
    """

    complexity: tuple[int, bool]
    exponents: tuple[tuple[str, int], ...]
    ways: tuple[tuple[str, Condition], ...]


def find_products(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find columns that are products, ratios or squares of others.

    Args:
        training: The rows.
        names: The columns to relate, none of which follows from one other.

    Returns:
        Equalities of which none follows from the others, squares and exact ones first.
    """
    pairs = list(combinations_with_replacement(range(len(names)), 2))
    tried = 3 * len(names) * len(pairs)
    proposed: list[_Proposal] = []
    for name in names:
        rows = _rows(training, name)
        if len(rows) >= LEAST:
            values = training.taken(names)[rows]
            proposed += _propose(values, names, name, pairs)
            if 0 < training.unit_of(name) <= SPREAD_SHARE * float(np.nanstd(training.at(name))):
                proposed += _propose_rounded(values, names, name, training.unit_of(name))
    return _independent(sorted(proposed, key=lambda each: (each.complexity, each.exponents)), training, names, tried)


def _rows(training: Training, name: str) -> Codes:
    """Choose rows with distinct values of a column other than 0."""
    values = training.at(name)
    rows = np.random.default_rng(SEED).permutation(np.flatnonzero(np.isfinite(values) & (values != 0)))
    first = np.sort(np.unique(values[rows], return_index=True)[1])
    some = rows[first[:ROWS]]
    return some if len(some) >= ROWS or len(some) < LEAST else np.union1d(some, rows[: ROWS - len(some)])


def _propose(values: Floats, names: Sequence[str], target: str, pairs: list[tuple[int, int]]) -> Iterator[_Proposal]:
    """Divide a column by the product of every pair of others."""
    place = names.index(target)
    one, other = np.array(pairs).T
    for index, factor in _constant(values[:, [place]] / (values[:, one] * values[:, other])):
        left, right = (names[column] for column in pairs[index])
        if target not in (left, right):
            exponents = Counter({target: 1})
            exponents.subtract((left, right))
            ways = _ways(target, left, right, factor)
            yield _Proposal((int(left != right), factor != 1), tuple(sorted(exponents.items())), ways)
    for index, factor in _constant(values * values[:, [place]]):
        if index > place:
            way = compare("=", Binary("*", Column(target), Column(names[index])), Number(factor))
            yield _Proposal((0, factor != 1), ((target, 1), (names[index], 1)), ((names[index], way),))


def _constant(factors: Floats) -> Iterator[tuple[int, float]]:
    """Give columns that are nearly constant, and their simple values."""
    finite = np.isfinite(factors) & (factors != 0)
    usable = np.flatnonzero((finite.mean(axis=0) >= DEFINED) & (finite.sum(axis=0) >= LEAST))
    middle = np.nanmedian(np.where(finite, factors, np.nan)[:, usable], axis=0)
    agree = (np.abs(factors[:, usable] - middle) <= SAME * np.abs(middle)).sum(axis=0)
    for place in np.flatnonzero(agree >= AGREE * finite[:, usable].sum(axis=0)):
        yield int(usable[place]), simplify(float(middle[place]))


def _ways(target: str, one: str, other: str, factor: float) -> tuple[tuple[str, Condition], ...]:
    """Write a product in every way, as (column that follows, condition)."""
    a, b, c = Column(target), Column(one), Column(other)
    if one == other:
        return ((target, compare("=", a, scaled(factor, Binary("^", b, Number(2))))),)
    return (
        (target, compare("=", a, scaled(factor, Binary("*", b, c)))),
        (one, compare("=", b, scaled(1 / factor, Binary("/", a, c)))),
        (other, compare("=", c, scaled(1 / factor, Binary("/", a, b)))),
    )


def _propose_rounded(values: Floats, names: Sequence[str], target: str, unit: float) -> Iterator[_Proposal]:
    """Propose ``A = B / C`` for a column that is rounded to a unit."""
    column = values[:, [names.index(target)]]
    for place, divisor in enumerate(names):
        near = (np.abs(values / values[:, [place]] - column) <= HALF * unit).mean(axis=0) >= AGREE
        for name, fits in zip(names, near, strict=True):
            if fits and len({name, divisor, target}) == 3:
                way = compare("=", Column(target), Binary("/", Column(name), Column(divisor)), HALF * unit)
                exponents = ((target, 1), (name, -1), (divisor, 1))
                yield _Proposal((2, False), tuple(sorted(exponents)), ((target, way),))


def _independent(proposed: Sequence[_Proposal], training: Training, names: Sequence[str], tried: int) -> list[Finding]:
    """Accept what there is evidence for and what does not follow, in logarithms, from what was accepted before."""
    findings: list[Finding] = []
    kept: list[Floats] = []
    for proposal in proposed:
        powers = dict(proposal.exponents)
        row = np.array([powers.get(name, 0) for name in names], dtype=np.float64)
        if np.linalg.matrix_rank(np.array([*kept, row])) == len(kept):
            continue
        accepted = (accept("product", way, training, tried=tried, target=target) for target, way in proposal.ways)
        finding = next((each for each in accepted if each is not None), None)
        if finding is not None:
            findings.append(finding)
            kept.append(row)
    return findings
