"""Products: ``A = k * B * C``, the ratios that say the same, squares ``A = k * B^2``, and ``A * B = k``.

For each column a few dozen rows with distinct values are divided by the product of every pair of the others; where the
quotient is the same in nearly all of them, it is the factor of a candidate. Ratios are products for another column, but
are not defined where the divisor is 0: each way to write a relation is tried, the product first.
"""

from __future__ import annotations

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

AGREE = 0.9
"""Share of the rows that must have the same factor."""

Exponents = dict[str, int]


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
    proposed: list[tuple[tuple[int, int, list[str]], Exponents, list[tuple[str, Condition]]]] = []
    for target, name in enumerate(names):
        rows = _rows(training, name)
        if len(rows) >= LEAST:
            values = training.matrix[np.ix_(rows, [training.names.index(other) for other in names])]
            proposed += _propose(values, names, target, pairs)
            proposed += _propose_rounded(values, names, target, training)
    return _independent(sorted(proposed, key=lambda each: each[0]), training, names, tried)


def _rows(training: Training, name: str) -> Codes:
    """Choose rows with distinct values of a column other than 0."""
    values = training.at(name)
    rows = np.random.default_rng(SEED).permutation(np.flatnonzero(np.isfinite(values) & (values != 0)))
    first = np.sort(np.unique(values[rows], return_index=True)[1])
    some = rows[first[:ROWS]]
    return some if len(some) >= ROWS or len(some) < LEAST else np.union1d(some, rows[: ROWS - len(some)])


def _propose(values: Floats, names: Sequence[str], target: int, pairs: list[tuple[int, int]]) -> Iterator:
    one, other = np.array(pairs).T
    with np.errstate(all="ignore"):
        factors = values[:, [target]] / (values[:, one] * values[:, other])
        single = values * values[:, [target]]
    for index, factor in _constant(factors):
        left, right = pairs[index]
        if target in (left, right):
            continue
        exponents = {names[target]: 1}
        for column in (left, right):
            exponents[names[column]] = exponents.get(names[column], 0) - 1
        ways = _ways(names[target], names[left], names[right], factor)
        yield (0 if left == right else 1, factor != 1, sorted(exponents)), exponents, ways
    for index, factor in _constant(single):
        if index > target:
            a, b = names[target], names[index]
            way = compare("=", Binary("*", Column(a), Column(b)), Number(factor))
            yield (0, factor != 1, [a, b]), {a: 1, b: 1}, [(b, way)]


def _constant(factors: Floats) -> Iterator[tuple[int, float]]:
    """Give columns that are nearly constant, and their simple values."""
    finite = np.isfinite(factors) & (factors != 0)
    usable = np.flatnonzero(finite.mean(axis=0) >= AGREE)
    middle = np.nanmedian(np.where(finite, factors, np.nan)[:, usable], axis=0)
    agree = (np.abs(factors[:, usable] - middle) <= 2e-5 * np.abs(middle)).mean(axis=0)
    for place in np.flatnonzero(agree >= AGREE):
        yield int(usable[place]), simplify(float(middle[place]))


def _ways(target: str, one: str, other: str, factor: float) -> list[tuple[str, Condition]]:
    """Write a product in every way, as (column that follows, condition)."""
    a, b, c = Column(target), Column(one), Column(other)
    if one == other:
        return [(target, compare("=", a, scaled(factor, Binary("^", b, Number(2)))))]
    ways = [(target, compare("=", a, scaled(factor, Binary("*", b, c))))]
    for left, right in ((b, c), (c, b)):
        ways.append((left.name, compare("=", left, scaled(1 / factor, Binary("/", a, right)))))
    return ways


def _propose_rounded(values: Floats, names: Sequence[str], target: int, training: Training) -> Iterator:
    """Propose ``A = B / C`` for a rounded column."""
    unit = training.unit[training.names.index(names[target])]
    column = values[:, target]
    if not 0 < unit <= SPREAD_SHARE * float(np.nanstd(training.at(names[target]))):
        return
    for divisor in range(len(names)):
        with np.errstate(all="ignore"):
            off = np.abs(values / values[:, [divisor]] - column[:, None])
        for number in np.flatnonzero((off <= 0.505 * unit).mean(axis=0) >= AGREE):
            if target not in (number, divisor) and number != divisor:
                ratio = Binary("/", Column(names[number]), Column(names[divisor]))
                way = compare("=", Column(names[target]), ratio, 0.505 * unit)
                exponents = {names[target]: 1, names[number]: -1, names[divisor]: 1}
                yield (2, False, sorted(exponents)), exponents, [(names[target], way)]


def _independent(proposed: list, training: Training, names: Sequence[str], tried: int) -> list[Finding]:
    """Accept what there is evidence for and what does not follow, in logarithms, from what was accepted before."""
    findings: list[Finding] = []
    kept: list[Floats] = []
    for _, exponents, ways in proposed:
        row = np.array([exponents.get(name, 0) for name in names], dtype=np.float64)
        if np.linalg.matrix_rank(np.array([*kept, row])) == len(kept):
            continue
        for target, condition in ways:
            finding = accept("product", condition, training, tried=tried, target=target)
            if finding is not None:
                findings.append(finding)
                kept.append(row)
                break
    return findings
