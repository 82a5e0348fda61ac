"""Expressions for what was fitted: simple numbers, weighted sums, tolerances for rounded columns."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.language import Binary, Call, Column, Compare, Number, Tolerance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowmint.rules.discover.training import Training
    from flowmint.rules.language import Condition, Expression, Relation

DENOMINATORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 25, 32, 50, 60, 64, 100, 128, 256, 512, 1000, 1024, 3600)
"""Which fractions count as simple."""

SPREAD_SHARE = 0.02
"""Widest tolerance for rounding, as a share of the standard deviation of what is compared."""


def simplify(value: float, *, relative: float = 1e-5) -> float:
    """Give the simplest number near another: a whole number, a simple fraction, a short decimal.

    Args:
        value: The number that was fitted.
        relative: How far the simple one may be off, as a share of it.

    Returns:
        The simple number, else the number itself to twelve digits.
    """
    for denominator in DENOMINATORS:
        near = Fraction(round(value * denominator), denominator)
        # the more fractions there are, the nearer one of them is to any number
        if near and abs(float(near) - value) <= relative * abs(value) / (1 if denominator <= 10 else 100):
            return float(near)
    for digits in (2, 3, 4, 5, 6):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= relative * abs(value) / 100:
            return short
    return float(f"{value:.12g}")


def is_simple(value: float) -> bool:
    """Tell whether a number is a whole number or a simple fraction."""
    multiples = (value * denominator for denominator in DENOMINATORS)
    return abs(value) < 1e7 and any(abs(each - round(each)) <= 1e-12 * abs(each) for each in multiples)


def scaled(factor: float, operand: Expression) -> Expression:
    """Multiply an expression by a positive factor: 1 is left out, and 1/n becomes a division."""
    if factor == 1:
        return operand
    inverse = round(1 / factor)
    if factor < 1 and inverse < 1e6 and abs(inverse * factor - 1) < 1e-12:
        return Binary("/", operand, Number(inverse))
    return Binary("*", Number(factor), operand)


def weighted(weights: Mapping[str, float], constant: float = 0.0) -> Expression:
    """Write a weighted sum of columns, the positive terms first.

    Args:
        weights: Weight of each column, none of them 0.
        constant: What is added.

    Returns:
        For example ``B + 2 * C - D``, or ``sum(A, B, C)`` for three columns or more of weight 1.
    """
    if len(weights) > 2 and not constant and all(weight == 1 for weight in weights.values()):
        return Call("sum", tuple(Column(name) for name in weights))
    terms = [(weight, Column(name)) for name, weight in weights.items()]
    plus = [scaled(weight, column) for weight, column in terms if weight > 0]
    minus = [scaled(-weight, column) for weight, column in terms if weight < 0]
    if constant > 0 or not plus:
        plus.append(Number(constant))
    elif constant < 0:
        minus.append(Number(-constant))
    total = plus[0]
    for term in plus[1:]:
        total = Binary("+", total, term)
    for term in minus:
        total = Binary("-", total, term)
    return total


def compare(relation: Relation, left: Expression, right: Expression, room: float = 0.0) -> Condition:
    """Compare two expressions.

    Args:
        relation: The sign.
        left: One side.
        right: The other.
        room: Absolute tolerance; 0 for the language's default.

    Returns:
        The condition.
    """
    return Compare(relation, left, right, Tolerance(round_up(room)) if room else None)


def round_up(value: float) -> float:
    """Round a tolerance up to two digits."""
    if value <= 0:
        return 0.0
    power = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / power - 1e-9) * power:.3g}")


def rounding(training: Training, weights: Mapping[str, float], target: str) -> float | None:
    """Bound how far a weighted sum may be off because columns are rounded.

    Args:
        training: The rows.
        weights: Weight of each column, the target's included.
        target: The column with whose spread this is compared.

    Returns:
        The bound; None where it is so wide that the sum would say little.
    """
    units = {name: training.unit_of(name) for name in weights}
    room = 0.505 * sum(abs(weight) * units[name] for name, weight in weights.items() if units[name] < 1)
    return room if 0 < room <= SPREAD_SHARE * float(np.nanstd(training.at(target))) else None


def sample_rows(training: Training, names: Sequence[str], *, rows: int, rare: int, seed: int) -> np.ndarray:
    """Choose rows in which every column varies.

    Args:
        training: The rows.
        names: Columns of which all must be finite.
        rows: How many to draw at random.
        rare: How many distinct values of each column to add.
        seed: Seed of the draw.

    Returns:
        Row numbers, ascending.
    """
    rng = np.random.default_rng(seed)
    values = training.taken(names)
    usable = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(usable):
        return usable
    chosen = [rng.choice(usable, size=min(rows, len(usable)), replace=False)]
    for index in range(len(names)):
        shuffled = rng.permutation(usable)
        first = np.unique(values[shuffled, index], return_index=True)[1]
        chosen.append(shuffled[rng.permutation(first)[:rare]])
    return np.unique(np.concatenate(chosen))
