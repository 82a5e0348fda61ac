"""Lattices: columns that are whole multiples of a step, fixed or one over another column.

``Number * TCP is an integer`` says that TCP is a share of Number packets. The scale must be a column of whole numbers
from 1 on, and another row's scale must not do: the rule is tried against a permuted scale. A step of more than 1 is
believed where so many distinct values are multiples of it that chance, 1/step for each, is out of the question.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.evidence import FALSE_RULES, LEAST_ROWS, MOST_BROKEN, Finding, try_condition
from flowmint.rules.evaluate import judge
from flowmint.rules.language import LATTICE_SHARE, Binary, Column, Compare, Multiple, Number, Tolerance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.rules.discover.training import Training
    from flowmint.rules.evaluate import Floats
    from flowmint.rules.language import Expression

STEPS = (64, 60, 50, 40, 32, 30, 25, 24, 20, 16, 15, 14, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""Steps above 1 that are tried, the coarsest first."""

FINE = (0.5, 0.25, 0.2, 0.1, 0.05, 0.01, 0.001)
"""Steps below 1 that are tried, the coarsest first."""

RESOLUTION = 1e6
"""Values up to this many steps are precise enough in float32 to tell multiples from others."""

PROVEN = 3
"""Columns that a scale must be proven for before rarer columns are tried with it alone."""


def find_lattices(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find the lattices of columns.

    Args:
        training: The rows.
        names: The columns, as far as their lattices do not follow from other rules.

    Returns:
        At most one lattice for each column: fixed to whole numbers, else scaled by another column, else fixed.
    """
    scales = [name for name in training.names if _is_scale(training.at(name))]
    tried = len(names) * (len(scales) + len(STEPS) + len(FINE))
    found = {name: _whole(training, name, tried) or _scaled(training, name, scales, tried) for name in names}
    proven = Counter(finding.columns[0] for finding in found.values() if finding and len(finding.columns) == 2)
    common = [scale for scale, count in proven.most_common(1) if count >= PROVEN]
    for name, finding in found.items():
        if finding is None:
            found[name] = _rare(training, name, common, len(names)) or _fine(training, name, tried)
    return [finding for finding in found.values() if finding is not None]


def _is_scale(values: Floats) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) >= LEAST_ROWS and bool((finite >= 1).all()) and bool((finite == np.rint(finite)).all())


def _broken(training: Training, operand: Expression, step: float) -> tuple[int, int]:
    """Count the rows that are no multiple of a step, and those that are not 0: a 0 says nothing."""
    verdict = judge(Multiple(operand, Number(step)), training.columns)
    live = judge(Compare("!=", operand, Number(0), Tolerance(0)), training.columns).holds
    return int(verdict.broken.sum()), int(live.sum())


def _holds(training: Training, operand: Expression, step: float) -> bool:
    broken, live = _broken(training, operand, step)
    return live >= LEAST_ROWS and broken <= MOST_BROKEN * live


def _coarsest(training: Training, operand: Expression, values: Floats, tried: int) -> float:
    """Find the coarsest believable step of whole numbers that holds as well as whole numbers do."""
    distinct = np.unique(np.rint(np.abs(values[np.isfinite(values)])))
    steps = len(distinct[distinct > 0]) - 1
    exceptions = _broken(training, operand, 1.0)[0]
    for step in STEPS:
        if steps * np.log(step) >= np.log(tried / FALSE_RULES) and _broken(training, operand, step)[0] <= exceptions:
            return float(step)
    return 1.0


def _whole(training: Training, name: str, tried: int) -> Finding | None:
    column = Column(name)
    if not _holds(training, column, 1.0):
        return None
    step = _coarsest(training, column, training.at(name), tried)
    return Finding(kind="lattice", condition=Multiple(column, Number(step)), particular=step > 1)


def _scaled(training: Training, name: str, scales: Sequence[str], tried: int) -> Finding | None:
    """Find the column with whose values a column becomes whole: the one that fails least, the smallest among such."""
    values = training.at(name)
    found = []
    for scale in scales:
        factor = training.at(scale)
        if scale == name or np.nanmax(np.abs(factor * values)) > RESOLUTION:
            continue
        condition = Multiple(Binary("*", Column(scale), Column(name)))
        outcome = try_condition(condition, training, exact=True)
        if outcome.passes(tried, exact=True) and _holds(training, condition.operand, 1.0):
            found.append((outcome.broken, float(np.nanmean(factor)), scale, outcome))
    if not found:
        return None
    _, _, scale, outcome = min(found, key=lambda each: each[:3])
    product = Binary("*", Column(scale), Column(name))
    step = _coarsest(training, product, training.at(scale) * values, tried)
    particular = outcome.broken > 0
    condition = Multiple(product, Number(step))
    return Finding(kind="lattice", condition=condition, expected=outcome.expected, particular=particular)


def _rare(training: Training, name: str, scales: Sequence[str], tried: int) -> Finding | None:
    """Try the one scale that many columns have on a column that is nearly always 0.

    Few different values are left that a permuted scale could break, but a number that has nothing to do with the scale
    would be a multiple, to within a hundredth of a step on either side, in one row of fifty.
    """
    for scale in scales:
        product = Binary("*", Column(scale), Column(name))
        broken, live = _broken(training, product, 1.0)
        if live >= LEAST_ROWS and not broken and live * (1 - 2 * LATTICE_SHARE) >= np.log(tried / FALSE_RULES):
            return Finding(kind="lattice", condition=Multiple(product), expected=live * (1 - 2 * LATTICE_SHARE))
    return None


def _fine(training: Training, name: str, tried: int) -> Finding | None:
    """Find a step below 1; a column is unlikely to have it by chance if many values are multiples of it."""
    values = training.at(name)
    distinct = len(np.unique(values[np.isfinite(values)])) - 2
    for step in FINE:
        believable = (
            distinct * np.log(100) >= np.log(tried / FALSE_RULES) and np.nanmax(np.abs(values)) <= RESOLUTION * step
        )
        if believable and _holds(training, Column(name), step):
            return Finding(kind="lattice", condition=Multiple(Column(name), Number(step)), particular=True)
    return None
