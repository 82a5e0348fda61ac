"""Interval propagation: what rules leave of the range of each column, for all rows at once.

An interval is a pair of arrays [rows] or of numbers, its bounds. A constraint narrows the columns it speaks of: the
expression's range is computed from its leaves to its root, and what the constraint demands of the root is carried
back to the leaves (HC4-revise: Benhamou, Goualard, Granvilliers and Puget, "Revising hull and box consistency", 1999).
A point, where both bounds are one and the same object, is a column that is settled, and is spared half of the work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from flowmint.rules.language import (
    DEFAULT,
    EXACT,
    And,
    Binary,
    Call,
    Column,
    Compare,
    Is,
    Multiple,
    Negate,
    Not,
    Number,
    OneOf,
    Or,
    is_rough,
)

if TYPE_CHECKING:
    from flowmint.rules.evaluate import TextColumn
    from flowmint.rules.language import Condition, Expression

Bound: TypeAlias = Any
"""An array of float64 [rows], or one number for all rows."""

Interval: TypeAlias = tuple[Bound, Bound]

STRICT = 1e-6
"""How far inside a strict bound a value is put, absolute and as a share of the bound."""

ROUGHLY = 0.9
"""Which share of an equation's tolerance may be used up: the rest is left to rounding."""

ALWAYS, NEVER = np.True_, np.False_

LOWEST, HIGHEST = np.float64(-np.inf), np.float64(np.inf)
"""No bound. These two objects are known by identity, and spare work; other infinite numbers do the same more slowly."""

EVERYTHING: Interval = (LOWEST, HIGHEST)


@dataclass
class Box:
    """The interval of each column, narrowed in place.

    Attributes:
        intervals: By column; a column that is absent may be anything.
        texts: Columns of text.
        settled: The columns whose value is chosen.
    """

    intervals: dict[str, Interval]
    texts: dict[str, TextColumn] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def of(self, name: str) -> Interval:
        """Give a column's interval."""
        return self.intervals.get(name, EVERYTHING)

    def settle(self, name: str, value: Bound) -> None:
        """Give a column its value; where it is not finite it may stand for anything."""
        finite = np.isfinite(value)
        self.settled.add(name)
        if finite.all():
            self.intervals[name] = (value, value)
        else:
            self.intervals[name] = (np.where(finite, value, -np.inf), np.where(finite, value, np.inf))

    def narrow(self, name: str, wanted: Interval, mask: Bound | None) -> bool:
        """Cut a column's interval with another one, in the rows of a mask; tell whether anything changed."""
        if name in self.settled:
            return False
        low, high = self.of(name)
        want_low, want_high = wanted
        up = None if want_low is LOWEST else _where(want_low > low, mask)
        down = None if want_high is HIGHEST else _where(want_high < high, mask)
        if up is None and down is None:
            return False
        if mask is None:  # the same by quicker means, NaN being no demand
            new_low = low if up is None else np.fmax(want_low, low)
            new_high = high if down is None else np.fmin(want_high, high)
        else:
            new_low = low if up is None else np.where(up, want_low, low)
            new_high = high if down is None else np.where(down, want_high, high)
        self.intervals[name] = (new_low, new_high)
        return True


def _where(changes: Bound, mask: Bound | None) -> Bound | None:
    """Tell which rows of a mask change; None where none does."""
    if mask is not None:
        changes = changes & mask
    return changes if changes.any() else None


# --- forward: the range of an expression


@dataclass(slots=True)
class _Range:
    """An expression with its range and the ranges of its parts."""

    node: Expression
    low: Bound
    high: Bound
    parts: tuple[_Range, ...] = ()

    @property
    def point(self) -> bool:
        return self.low is self.high


def plain(node: Expression) -> Expression:
    """Write functions of many arguments as chains of two."""
    match node:
        case Negate(operand):
            return Negate(plain(operand))
        case Binary(sign, left, right):
            return Binary(sign, plain(left), plain(right))
        case Call("sum" | "min" | "max" as function, arguments):
            total = plain(arguments[0])
            for argument in arguments[1:]:
                other = plain(argument)
                total = Binary("+", total, other) if function == "sum" else Call(function, (total, other))
            return total
        case Call(function, arguments):
            return Call(function, tuple(plain(argument) for argument in arguments))
    return node


def range_of(node: Expression, box: Box) -> _Range:
    """Compute the range of an expression that `plain` has written."""
    match node:
        case Number(value):
            point = np.float64(value)
            return _Range(node, point, point)
        case Column(name):
            return _Range(node, *box.of(name))
        case Negate(operand):
            inner = range_of(operand, box)
            low = -inner.high
            return _Range(node, low, low if inner.point else -inner.low, (inner,))
        case Binary(sign, left, right):
            one, other = range_of(left, box), range_of(right, box)
            low, high = _BINARY[sign]((one.low, one.high), (other.low, other.high))
            return _Range(node, low, high, (one, other))
        case Call(function, arguments):
            ranges = tuple(range_of(argument, box) for argument in arguments)
            low, high = _call(function, ranges)
            return _Range(node, low, high, ranges)


def _is_point(interval: Interval) -> bool:
    return interval[0] is interval[1]


def _known(value: Bound) -> Interval:
    """Make a point of a computed value; where it is not defined, it may be anything."""
    bad = np.isnan(value)
    if bad.any():
        return np.where(bad, LOWEST, value), np.where(bad, HIGHEST, value)
    return value, value


def _add(one: Interval, other: Interval) -> Interval:
    if _is_point(one) and _is_point(other):
        return _known(one[0] + other[0])
    low = LOWEST if one[0] is LOWEST or other[0] is LOWEST else _defined(one[0] + other[0], LOWEST)
    high = HIGHEST if one[1] is HIGHEST or other[1] is HIGHEST else _defined(one[1] + other[1], HIGHEST)
    return low, high


def _subtract(one: Interval, other: Interval) -> Interval:
    if _is_point(one) and _is_point(other):
        return _known(one[0] - other[0])
    low = LOWEST if one[0] is LOWEST or other[1] is HIGHEST else _defined(one[0] - other[1], LOWEST)
    high = HIGHEST if one[1] is HIGHEST or other[0] is LOWEST else _defined(one[1] - other[0], HIGHEST)
    return low, high


def _defined(bound: Bound, none: Bound) -> Bound:
    """Take a bound that is not defined (∞ − ∞) for no bound."""
    undefined = np.isnan(bound)
    return np.where(undefined, none, bound) if undefined.any() else bound


def _is_positive(point: Bound) -> bool:
    """Tell whether a number is finite and above 0 in every row, as counts of packets are."""
    return bool(np.min(point, initial=1.0) > 0.0 and np.max(point, initial=1.0) < np.inf)


def _scale(interval: Interval, factor: Bound) -> Interval:
    """Multiply an interval by numbers that are finite and above 0."""
    low, high = interval
    return low if low is LOWEST else low * factor, high if high is HIGHEST else high * factor


def _multiply(one: Interval, other: Interval) -> Interval:
    if _is_point(one) and _is_point(other):
        return _known(one[0] * other[0])
    if _is_point(one) or _is_point(other):
        point, (low, high) = (one[0], other) if _is_point(one) else (other[0], one)
        if _is_positive(point):
            return _scale((low, high), point)
        products = [_product(point, low), _product(point, high)]
    elif np.min(one[0], initial=np.inf) >= 0.0 and np.min(other[0], initial=np.inf) >= 0.0:
        return _product(one[0], other[0]), _product(one[1], other[1])
    else:
        products = [_product(a, b) for a in one for b in other]
    low, high = products[0], products[0]
    for product in products[1:]:
        low, high = np.minimum(low, product), np.maximum(high, product)
    return low, high


def _product(one: Bound, other: Bound) -> Bound:
    """Multiply bounds; 0 times an infinite bound is 0."""
    product = one * other
    undefined = np.isnan(product)
    return np.where(undefined, 0.0, product) if undefined.any() else product


def _inverse(interval: Interval) -> Interval:
    low, high = interval
    if _is_point(interval):
        point = 1.0 / low
        return (point, point) if _is_positive(low) else _known(np.where(low == 0, np.nan, point))
    if np.min(low, initial=np.inf) > 0.0:
        return 1.0 / high, 1.0 / low
    across = (low < 0) & (high > 0) | (low == 0) & (high == 0)
    new_low = np.where(across | (high == 0), -np.inf, 1.0 / high)
    new_high = np.where(across | (low == 0), np.inf, 1.0 / low)
    return new_low, new_high


def _divide(one: Interval, other: Interval) -> Interval:
    if _is_point(one) and _is_point(other):
        return _known(np.where(np.isinf(one[0] / other[0]), np.nan, one[0] / other[0]))
    return _free(_multiply(one, _inverse(other)), (other[0] == 0) & (other[1] == 0))


def _free(interval: Interval, where: Bound) -> Interval:
    """Let anything be in some rows: where a quotient is not defined."""
    if not np.any(where):
        return interval
    return np.where(where, -np.inf, interval[0]), np.where(where, np.inf, interval[1])


def _power(base: Interval, exponent: Interval) -> Interval:
    if not _is_point(exponent) or np.ndim(exponent[0]):
        return EVERYTHING
    power = float(exponent[0])
    if _is_point(base):
        return _known(base[0] * base[0] if power == 2 else np.power(base[0], power))
    if power > 0 and power % 2 == 0:
        low, high = _absolute(base)
        return low**power, high**power
    if power > 0 and power % 2 == 1:
        return base[0] ** power, base[1] ** power
    low, high = np.maximum(base[0], 0.0), np.maximum(base[1], 0.0)
    return (low**power, high**power) if power > 0 else (high**power, low**power)


def _absolute(interval: Interval) -> Interval:
    low, high = np.abs(interval[0]), np.abs(interval[1])
    across = (interval[0] < 0) & (interval[1] > 0)
    return np.where(across, 0.0, np.minimum(low, high)), np.maximum(low, high)


_BINARY = {"+": _add, "-": _subtract, "*": _multiply, "/": _divide, "^": _power}


def _call(function: str, ranges: tuple[_Range, ...]) -> Interval:  # noqa: PLR0911 - one case for each function
    first = ranges[0]
    match function:
        case "min":
            return _pairwise(np.minimum, ranges)
        case "max":
            return _pairwise(np.maximum, ranges)
        case "abs":
            return _known(np.abs(first.low)) if first.point else _absolute((first.low, first.high))
        case "sqrt" if first.point:
            return _known(np.sqrt(first.low))
        case "sqrt":
            return np.sqrt(np.maximum(first.low, 0.0)), np.sqrt(np.maximum(first.high, 0.0))
        case "floor" | "round":
            apply = np.floor if function == "floor" else np.rint
            return _known(apply(first.low)) if first.point else (apply(first.low), apply(first.high))
    return EVERYTHING  # bit_or: its value is checked, and computed where it defines a column


def _pairwise(choose: np.ufunc, ranges: tuple[_Range, ...]) -> Interval:
    one, other = ranges
    low = choose(one.low, other.low)
    return (low, low) if one.point and other.point else (low, choose(one.high, other.high))


# --- backward: from the root to the columns


@dataclass
class Cut:
    """What a constraint did to a box.

    Attributes:
        box: The box, narrowed in place.
        mask: The rows that the constraint is about; None for all.
        narrowed: The columns that changed.
    """

    box: Box
    mask: Bound | None
    narrowed: set[str] = field(default_factory=set)


def _demand(part: _Range, low: Bound, high: Bound, cut: Cut) -> None:
    """Carry back that an expression's value shall lie between two bounds."""
    match part.node:
        case Column(name):
            if cut.box.narrow(name, (low, high), cut.mask):
                cut.narrowed.add(name)
        case Negate():
            _demand_open(part.parts[0], -high, -low, cut)
        case Binary(sign):
            _demand_binary(sign, part, (low, high), cut)
        case Call("min" | "max" as function):
            _demand_extreme(function, part, (low, high), cut)
        case Call("abs", _):
            _demand_absolute(part.parts[0], np.maximum(low, 0.0), high, cut)
        case Call("sqrt", _):
            _demand_open(part.parts[0], np.maximum(low, 0.0) ** 2, np.maximum(high, 0.0) ** 2, cut)
        case Call("floor", _):
            _demand_open(part.parts[0], np.ceil(low), np.nextafter(np.floor(high) + 1.0, -np.inf), cut)
        case Call("round", _):
            _demand_open(part.parts[0], np.ceil(low) - 0.5, np.floor(high) + 0.5, cut)


def _demand_open(part: _Range, low: Bound, high: Bound, cut: Cut) -> None:
    """Carry a demand into a part, unless it is settled."""
    if not part.point:
        _demand(part, low, high, cut)


def _demand_binary(sign: str, part: _Range, wanted: Interval, cut: Cut) -> None:
    one, other = part.parts
    left, right = (one.low, one.high), (other.low, other.high)
    match sign:
        case "+":
            _demand_open(one, *_subtract(wanted, right), cut)
            _demand_open(other, *_subtract(wanted, left), cut)
        case "-":
            _demand_open(one, *_add(wanted, right), cut)
            _demand_open(other, *_subtract(left, wanted), cut)
        case "*":
            _demand_open(one, *_divide_wanted(wanted, right), cut)
            _demand_open(other, *_divide_wanted(wanted, left), cut)
        case "/":
            _demand_open(one, *_free(_multiply(wanted, right), (right[0] == 0) & (right[1] == 0)), cut)
            _demand_open(other, *_divide_wanted(left, wanted), cut)
        case "^":
            _demand_base(one, other, wanted, cut)


def _divide_wanted(wanted: Interval, factor: Interval) -> Interval:
    """Divide a demand by a factor; a factor that may be 0 lets everything pass where the demand has 0."""
    if _is_point(factor) and _is_positive(factor[0]):
        return _scale(wanted, 1.0 / factor[0])
    low, high = _multiply(wanted, _inverse(factor))
    free = (factor[0] <= 0) & (factor[1] >= 0) & (wanted[0] <= 0) & (wanted[1] >= 0)
    return _free((low, high), free)


def _demand_base(base: _Range, exponent: _Range, wanted: Interval, cut: Cut) -> None:
    if not exponent.point or np.ndim(exponent.low):
        return
    power = float(exponent.low)
    if power <= 0:
        return
    if power % 2 == 1:
        low, high = (np.sign(bound) * np.abs(bound) ** (1.0 / power) for bound in wanted)
        _demand_open(base, low, high, cut)
        return
    low, high = (np.maximum(bound, 0.0) ** (1.0 / power) for bound in wanted)
    if power % 2 == 0:
        _demand_absolute(base, low, high, cut)
    else:
        _demand_open(base, low, high, cut)


def _demand_absolute(part: _Range, low: Bound, high: Bound, cut: Cut) -> None:
    """Carry back that an absolute value lies between two bounds; the sign is used where it is known."""
    _demand_open(part, np.where(part.low >= 0, low, -high), np.where(part.high <= 0, -low, high), cut)


def _demand_extreme(function: str, part: _Range, wanted: Interval, cut: Cut) -> None:
    low, high = wanted
    for own, other in (part.parts, part.parts[::-1]):
        if function == "min":  # each is at least the least; one alone can be it where the other is above
            _demand_open(own, low, np.where(other.low > high, high, HIGHEST), cut)
        else:
            _demand_open(own, np.where(other.high < low, low, LOWEST), high, cut)


# --- conditions


def impose(atom: Condition, box: Box, mask: Bound | None) -> set[str]:
    """Narrow a box so that an atom can hold.

    Args:
        atom: A comparison or a membership; lattices and states narrow nothing.
        box: Narrowed in place.
        mask: The rows that it is about; None for all.

    Returns:
        The columns that changed.
    """
    cut = Cut(box, mask)
    if isinstance(atom, Compare):
        _impose_comparison(atom, cut)
    elif isinstance(atom, OneOf) and not isinstance(atom.values[0], str):
        values = np.array(atom.values, dtype=np.float64)
        part = range_of(atom.operand, box)
        _demand_open(part, values.min(), values.max(), cut)
    return cut.narrowed


def _impose_comparison(atom: Compare, cut: Cut) -> None:
    left, right = range_of(atom.left, cut.box), range_of(atom.right, cut.box)
    match atom.relation:
        case "=":
            room = _roughly(atom, left, right)
            _demand_equal(left, right, room, cut)
            _demand_equal(right, left, room, cut)
        case "<=" | "<":
            _impose_order(left, right, atom.relation == "<", cut)
        case ">=" | ">":
            _impose_order(right, left, atom.relation == ">", cut)
        case "!=":
            return


def _demand_equal(part: _Range, other: _Range, room: Bound | None, cut: Cut) -> None:
    """Carry back that one side of an equation shall lie where the other does, or no further away than there is room."""
    if part.point:
        return
    low, high = (other.low, other.high) if room is None else (other.low - room, other.high + room)
    if not isinstance(part.node, Column):  # a column's own interval is cut anyway
        low, high = np.maximum(part.low, low), np.minimum(part.high, high)
    _demand(part, low, high, cut)


def _roughly(atom: Compare, left: _Range, right: _Range) -> Bound | None:
    """Tell how far apart the sides of an equation may be put: most of what its ``within`` allows; None for no room."""
    if atom.tolerance is None or not is_rough(atom.tolerance):
        return None
    size = np.maximum(
        np.minimum(np.abs(left.low), np.abs(left.high)), np.minimum(np.abs(right.low), np.abs(right.high))
    )
    return ROUGHLY * (atom.tolerance.absolute + atom.tolerance.relative * np.where(np.isfinite(size), size, 0.0))


def _impose_order(below: _Range, above: _Range, strict: bool, cut: Cut) -> None:  # noqa: FBT001 - private
    high, low = above.high, below.low
    if strict:
        high = _defined(high - STRICT * (1.0 + np.abs(high)), HIGHEST)
        low = _defined(low + STRICT * (1.0 + np.abs(low)), LOWEST)
    _demand_open(below, LOWEST, high, cut)
    _demand_open(above, low, HIGHEST, cut)


def surely_false(node: Condition, box: Box) -> Bound:  # noqa: PLR0911 - one case for each kind
    """Tell where a condition in negation normal form cannot hold, whatever the columns' values within the box [rows].

    Args:
        node: The condition, its expressions written by `plain`.
        box: The intervals.

    Returns:
        True where it is false for every value; a condition that is not applicable is not false.
    """
    match node:
        case And(parts):
            return np.logical_or.reduce(np.broadcast_arrays(*(surely_false(part, box) for part in parts)))
        case Or(parts):
            return np.logical_and.reduce(np.broadcast_arrays(*(surely_false(part, box) for part in parts)))
        case Compare():
            return _comparison_false(node, box)
        case OneOf():
            return _membership_false(node, box)
        case Not(OneOf() as operand):
            return _membership_true(operand, box)
        case Is(Column(name), "infinite" | "missing") | Not(Is(Column(name), "finite")):
            low, high = box.of(name)
            return (low == high) if name in box.settled else NEVER
        case _:
            return NEVER


def _comparison_false(node: Compare, box: Box) -> Bound:
    left, right = range_of(node.left, box), range_of(node.right, box)
    tolerance = node.tolerance or (EXACT if node.relation in "<>" else DEFAULT)

    def room(one: Bound, other: Bound) -> Bound:
        size = np.maximum(np.abs(one), np.abs(other))
        return tolerance.absolute + tolerance.relative * np.where(np.isfinite(size), size, 0.0)

    def apart(below: Bound, above: Bound) -> Bound:
        """Tell where one bound lies above another by more than rounding; nowhere costs one comparison."""
        return above > below + room(above, below) if (above > below).any() else NEVER

    match node.relation:
        case "<=":
            return apart(right.high, left.low)
        case ">=":
            return apart(left.high, right.low)
        case "<":
            return left.low >= right.high + room(left.low, right.high)
        case ">":
            return right.low >= left.high + room(right.low, left.high)
        case "=":
            return apart(right.high, left.low) | apart(left.high, right.low)
        case "!=":
            equal = (left.low == left.high) & (right.low == right.high)
            return equal & (np.abs(left.low - right.low) <= room(left.low, right.low))


def _membership_false(node: OneOf, box: Box) -> Bound:
    if isinstance(node.operand, Column) and isinstance(node.values[0], str):
        text = box.texts.get(node.operand.name)
        if text is None:
            return NEVER
        return np.array([name not in node.values for name in text.names] + [False])[text.codes]
    part = range_of(node.operand, box)
    outside: Bound = ALWAYS
    for value in node.values:
        number = float(value)
        room = DEFAULT.absolute + DEFAULT.relative * abs(number)
        outside = outside & ((part.low > number + room) | (part.high < number - room))
    return outside


def _membership_true(node: OneOf, box: Box) -> Bound:
    if isinstance(node.operand, Column) and isinstance(node.values[0], str):
        text = box.texts.get(node.operand.name)
        if text is None:
            return NEVER
        return np.array([name in node.values for name in text.names] + [False])[text.codes]
    part = range_of(node.operand, box)
    inside: Bound = NEVER
    for value in node.values:
        number = float(value)
        room = DEFAULT.absolute + DEFAULT.relative * abs(number)
        inside = inside | ((part.low >= number - room) & (part.high <= number + room))
    return inside


def plain_condition(node: Condition) -> Condition:  # noqa: PLR0911 - one case for each kind
    """Apply `plain` to the expressions of a condition in negation normal form."""
    match node:
        case Compare(relation, left, right, tolerance):
            return Compare(relation, plain(left), plain(right), tolerance)
        case Multiple(operand, step, tolerance):
            return Multiple(plain(operand), plain(step), tolerance)
        case OneOf(operand, values):
            return OneOf(plain(operand), values)
        case Is(operand, state):
            return Is(plain(operand), state)
        case Not(operand):
            return Not(plain_condition(operand))
        case And(parts):
            return And(tuple(plain_condition(part) for part in parts))
        case Or(parts):
            return Or(tuple(plain_condition(part) for part in parts))
    return node
