"""Orderings ``A <= B`` and what goes with them: ``A >= k * B``, ``A * B >= 1``, and when two columns meet.

That one column lies above another says little where they never come near each other. An ordering is a rule where rows
crowd at the boundary and none crosses it: of many distinct pairs of values the distance is 0 or hardly more, and were
there no rule, about as many would lie on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.evidence import (
    LEAST_ROWS,
    MOST_BROKEN,
    Finding,
    accept,
    classes_of,
    enough,
    is_particular,
)
from flowmint.rules.discover.express import compare, scaled
from flowmint.rules.discover.training import FLOAT_ERROR, SEED, is_zero
from flowmint.rules.language import Binary, Column, Compare, Exactly, Number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flowmint.rules.discover.training import Training
    from flowmint.rules.evaluate import Booleans, Floats

NEAR = 0.01
"""How near to the boundary counts, as a share of the spread of the distances."""

SAMPLE = 1000
"""Rows in which a pair of columns is looked at first."""

SAMPLE_BROKEN = 0.02
"""Share of them that may break an ordering."""

NEAR_VALUES = 3
"""Fewest distinct pairs of values near the boundary."""


def find_orderings(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find pairs of columns of which one is never above the other.

    Args:
        training: The rows.
        names: The columns to compare.

    Returns:
        All orderings for which there is evidence, also those that follow from two others.
    """
    tried = len(names) * (len(names) - 1)
    found = (_try_ordering(training, low, high, 1.0, tried) for low, high in _plausible(training, names))
    return [finding for finding in found if finding is not None]


def _plausible(training: Training, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give pairs (A, B) with A <= B in nearly all rows of a sample."""
    values = _sample(training, names)
    for index, low in enumerate(names):
        above = (values[:, [index]] > values + FLOAT_ERROR * np.abs(values) + 1e-9).mean(axis=0)
        yield from (
            (low, other) for other, share in zip(names, above, strict=True) if share <= SAMPLE_BROKEN and other != low
        )


def _sample(training: Training, names: Sequence[str]) -> Floats:
    return training.taken(names)[np.random.default_rng(SEED).permutation(training.rows)[:SAMPLE]]


def _try_ordering(training: Training, low: str, high: str, factor: float, tried: int) -> Finding | None:
    """Accept ``factor * low <= high`` if rows crowd at the boundary, and would cross it by chance."""
    one, other = factor * training.at(low), training.at(high)
    known = np.isfinite(one) & np.isfinite(other)
    crossed = known & (one > other + FLOAT_ERROR * np.maximum(np.abs(one), np.abs(other)) + 1e-9)
    broken = int(crossed.sum())
    if known.sum() < LEAST_ROWS or broken > MOST_BROKEN * known.sum() or not is_near(one[known], other[known]):
        return None
    expected = _crossings(training, one, other, known)
    if not enough(broken, float(known.sum()), float(expected.sum()), tried=tried, drawn=True):
        return None
    condition = compare("<=", scaled(factor, Column(low)), Column(high))
    particular = is_particular(broken, int(classes_of(expected)), training)
    return Finding(kind="order", condition=condition, expected=float(expected.sum()), particular=particular)


def _crossings(training: Training, low: Floats, high: Floats, known: Booleans) -> Floats:
    """Count, for each class, the rows that would cross the boundary by chance.

    Only rows where neither column has its least value are permuted: that ``A`` is 0 where ``B`` is 0 is an implication,
    and would feign an ordering between columns of quite different size.
    """
    rows = np.flatnonzero(known & (low > low[known].min()) & (high > high[known].min()))
    classes = training.classes[rows]
    order = np.lexsort((np.random.default_rng(SEED).random(len(rows)), classes))
    back = np.empty_like(order)
    back[np.argsort(classes, kind="stable")] = order
    crossed = np.zeros((training.rows, 1), dtype=bool)
    crossed[rows, 0] = low[rows] > high[rows][back] * (1 + FLOAT_ERROR) + 1e-9
    return training.per_class(crossed)[:, 0]


def is_near(low: Floats, high: Floats) -> bool:
    """Tell whether rows crowd just below a boundary, away from the ends of both columns.

    Args:
        low: One column [rows], finite.
        high: The column that bounds it [rows], finite.

    Returns:
        Whether enough rows, with enough distinct values, lie there.
    """
    inside = (low > low.min()) & (high > high.min()) & (high < high.max())
    low, apart = low[inside], (high - low)[inside]
    least = FLOAT_ERROR * np.abs(high[inside])
    if len(apart) < LEAST_ROWS:
        return False
    clear = np.abs(apart)[np.abs(apart) > least]
    near = np.abs(apart) <= np.maximum(least, NEAR * float(np.median(clear)) if len(clear) else 0.0)
    return int(near.sum()) >= LEAST_ROWS and len(np.unique(low[near].round(9))) >= NEAR_VALUES


def order_parts(finding: Finding) -> tuple[str, str, float]:
    """Take an ordering apart: the lower column, the higher one, the factor of the lower."""
    condition = finding.condition
    assert isinstance(condition, Compare)  # noqa: S101 - this module makes no other orderings of two columns
    factor = 1.0
    if isinstance(condition.left, Binary) and isinstance(condition.left.left, Number):
        factor = condition.left.left.value
    low, high = finding.columns
    return low, high, factor


def reduce_orderings(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out orderings that follow from two others (transitive reduction), of which factors are multiplied.

    Args:
        findings: Orderings.

    Returns:
        Those that are needed. What is particular to the data set proves nothing that is not.
    """
    parts = [order_parts(finding) for finding in findings]
    left = dict(enumerate(findings))
    for index, finding in enumerate(findings):
        proofs = [parts[i] for i, f in left.items() if i != index and (finding.particular or not f.particular)]
        if _follows(parts[index], proofs):
            del left[index]
    return list(left.values())


def _follows(wanted: tuple[str, str, float], proofs: Sequence[tuple[str, str, float]]) -> bool:
    """Tell whether an ordering follows from two others, or from a wider factor."""
    low, high, factor = wanted
    above = {(middle, first) for start, middle, first in proofs if start == low}
    below = {(start, second) for start, end, second in proofs if end == high}
    through = ((first, second) for middle, first in above for start, second in below if middle == start)
    return any(first * second >= factor for first, second in through) or any(
        middle == high and first >= factor for middle, first in above
    )


def find_meetings(training: Training, orderings: Sequence[Finding], names: Sequence[str]) -> list[Finding]:
    """Find columns that are 0 exactly where the two columns of an ordering meet.

    Args:
        training: The rows.
        orderings: Orderings, the implied ones included.
        names: Columns that may be 0 there.

    Returns:
        Rules such as ``Std = 0 exactly when Max = Min``, one for each column: that of the widest ordering.
    """
    tried = len(names) ** 2 * (len(names) - 1) // 2
    wide = sorted((finding.columns for finding in orderings), key=lambda pair: (-_width(training, *pair), pair))
    meetings = [_Meeting.of(training, *pair) for pair in wide]
    findings = []
    for name in names:
        if is_zero(training.at(name)).sum() >= LEAST_ROWS:
            found = (_try_meeting(training, name, meeting, tried) for meeting in meetings)
            findings += list(islice((finding for finding in found if finding is not None), 1))
    return findings


@dataclass(frozen=True)
class _Meeting:
    """Where two columns meet.

    Attributes:
        low: The lower column.
        high: The higher column.
        known: Where both are finite [rows].
        meet: Where they are equal [rows].
        inside: Where the lower is not at its least value and the higher not at its highest [rows]: they meet at an end
            because they end there.
    """

    low: str
    high: str
    known: Booleans
    meet: Booleans
    inside: Booleans

    @classmethod
    def of(cls, training: Training, low: str, high: str) -> _Meeting:
        """Compare two columns."""
        one, other = training.at(low), training.at(high)
        apart = np.abs(other - one)
        inside = (one > np.nanmin(one)) & (other < np.nanmax(other))
        return cls(low, high, np.isfinite(apart), apart <= FLOAT_ERROR * np.abs(other) + 1e-9, inside)


def _try_meeting(training: Training, name: str, meeting: _Meeting, tried: int) -> Finding | None:
    """Accept ``name = 0 exactly when high = low`` if, inside, chance would break it either way."""
    values = training.at(name)
    zero, known = is_zero(values), np.isfinite(values) & meeting.known
    broken = int((zero != meeting.meet)[known].sum())
    if name in (meeting.low, meeting.high) or broken > MOST_BROKEN * zero.sum():
        return None
    inside = known & meeting.inside
    flags = (inside, inside & zero, inside & ~zero, inside & meeting.meet, inside & ~meeting.meet)
    size, zeros, others, meets, parts = training.per_class(np.column_stack(flags)).T
    expected = np.minimum(zeros * parts, others * meets) / np.maximum(size, 1)
    if not enough(broken, float(known.sum()), float(expected.sum()), tried=tried):
        return None
    condition = Exactly(Compare("=", Column(name), Number(0)), Compare("=", Column(meeting.high), Column(meeting.low)))
    particular = is_particular(broken, int(classes_of(expected)), training)
    return Finding(kind="zero", condition=condition, expected=float(expected.sum()), particular=particular)


def _width(training: Training, low: str, high: str) -> float:
    return float(np.nanmean(training.at(high) - training.at(low)))


def find_proportions(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find columns that are at least a multiple of another: ``20 * TCP <= Header_Length``.

    Args:
        training: The rows.
        names: Columns to compare, of which those without negative values are.

    Returns:
        The proportions for which there is evidence, with factors above 1. A factor is the extreme of what was seen, and
        so all of them are particular to the data set.
    """
    positive = [name for name in names if np.nanmin(training.at(name)) >= 0]
    tried = len(positive) * (len(positive) - 1)
    findings = []
    for share, whole in _plausible(training, positive):
        factor = _factor(training.at(share), training.at(whole))
        finding = None if factor is None else _try_ordering(training, share, whole, factor, tried)
        if finding is not None:
            findings.append(replace(finding, particular=True))
    return findings


def _factor(share: Floats, whole: Floats) -> float | None:
    """Find the least quotient of two columns, if it is a whole number above 1 that several values attain."""
    with np.errstate(all="ignore"):
        quotients = whole / share
    usable = np.isfinite(quotients) & (share > 0)
    if usable.sum() < LEAST_ROWS:
        return None
    least = float(quotients[usable].min())
    factor = float(np.rint(least))
    attained = usable & (np.abs(quotients - least) <= FLOAT_ERROR * abs(least))
    fits = 1 < factor < 1000 and abs(factor - least) <= FLOAT_ERROR * least
    inner = attained & (share < np.nanmax(share))
    if not fits or inner.sum() < LEAST_ROWS or len(np.unique(share[inner].round(9))) < NEAR_VALUES:
        return None
    return factor


def find_products_above_one(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find pairs of positive columns whose product is at least 1, and often hardly more."""
    positive = [name for name in names if np.nanmin(training.at(name)) >= 0]
    tried = len(positive) * (len(positive) - 1) // 2
    findings = []
    for one, other in _plausible_products(training, positive):
        if _is_near_one(training.at(one) * training.at(other)):
            condition = compare(">=", Binary("*", Column(one), Column(other)), Number(1))
            finding = accept("order", condition, training, tried=tried, exact=False)
            if finding is not None:
                findings.append(finding)
    return findings


def _plausible_products(training: Training, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give pairs whose product is at least 1 in nearly all rows of a sample."""
    values = _sample(training, names)
    for index, one in enumerate(names):
        below = (values[:, [index]] * values < 1 - FLOAT_ERROR).mean(axis=0)
        yield from ((one, names[other]) for other in range(index + 1, len(names)) if below[other] <= SAMPLE_BROKEN)


def _is_near_one(product: Floats) -> bool:
    finite = product[np.isfinite(product)]
    if len(finite) < LEAST_ROWS or (finite < 1 - FLOAT_ERROR).mean() > MOST_BROKEN:
        return False
    near = (finite <= 1 + NEAR) & (finite > 1 + FLOAT_ERROR)
    return len(np.unique(finite[near])) >= LEAST_ROWS
