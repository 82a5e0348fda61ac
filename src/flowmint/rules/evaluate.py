"""What expressions and conditions mean: evaluated for all rows at once, on columns of numbers."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flowmint.rules.language import (
    DEFAULT,
    EXACT,
    LATTICE,
    LATTICE_SHARE,
    And,
    Binary,
    Call,
    Column,
    Compare,
    Exactly,
    Is,
    Multiple,
    Negate,
    Not,
    Number,
    OneOf,
    Or,
    When,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowmint.rules.language import Condition, Expression, Operator, Tolerance

Floats: TypeAlias = npt.NDArray[np.float64]
Booleans: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TextColumn:
    """A column of text, as numbers.

    Attributes:
        codes: Position of each row's text in ``names`` [rows]; −1 for an empty cell.
        names: The distinct texts.
    """

    codes: npt.NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns that conditions are evaluated on.

    Attributes:
        numbers: Columns of numbers [rows] by name; empty cells are NaN.
        texts: Columns of text by name.
        rows: How many rows they have.
    """

    numbers: Mapping[str, Floats]
    texts: Mapping[str, TextColumn] = field(default_factory=dict)
    rows: int = -1

    def __post_init__(self) -> None:
        """Count the rows where they were not given."""
        if self.rows < 0:
            lengths = [len(values) for values in self.numbers.values()]
            lengths += [len(text.codes) for text in self.texts.values()]
            object.__setattr__(self, "rows", lengths[0] if lengths else 0)


@dataclass(frozen=True)
class Verdict:
    """What a condition says of each row.

    Attributes:
        true: Where it holds [rows].
        applicable: Where it says anything [rows]; None for everywhere. ``true`` means nothing elsewhere.
    """

    true: Booleans
    applicable: Booleans | None = None

    @property
    def broken(self) -> Booleans:
        """Where the condition is applicable and false [rows]."""
        return ~self.true if self.applicable is None else ~self.true & self.applicable

    @property
    def holds(self) -> Booleans:
        """Where the condition is applicable and true [rows]."""
        return self.true if self.applicable is None else self.true & self.applicable


def evaluate(expression: Expression, columns: Columns) -> Floats:
    """Compute an expression for every row.

    Args:
        expression: The expression.
        columns: The columns that it speaks of.

    Returns:
        Its values [rows]; NaN or infinite where it is not defined.
    """
    with np.errstate(all="ignore"):
        return np.broadcast_to(_value(expression, columns), (columns.rows,)).astype(np.float64, copy=False)


def judge(condition: Condition, columns: Columns) -> Verdict:
    """Tell for every row whether a condition holds.

    Args:
        condition: The condition.
        columns: The columns that it speaks of.

    Returns:
        What it says of each row.
    """
    with np.errstate(all="ignore"):
        verdict = _verdict(condition, columns)
    shape = (columns.rows,)
    applicable = None if verdict.applicable is None else _spread(verdict.applicable, shape)
    return Verdict(_spread(verdict.true, shape), applicable)


def _spread(values: Booleans, shape: tuple[int]) -> Booleans:
    """Give every row its value, where there is one for all."""
    return values if np.shape(values) == shape else np.broadcast_to(values, shape)


def _value(node: Expression, columns: Columns) -> Any:  # noqa: ANN401, PLR0911 - an array or one number; one case for each kind
    match node:
        case Number(value):
            return np.float64(value)
        case Column(name):
            return columns.numbers[name]
        case Negate(operand):
            return -_value(operand, columns)
        case Binary(sign, left, right):
            return _ARITHMETIC[sign](_value(left, columns), _value(right, columns))
        case Call("bit_or", arguments):
            return _bit_or([_value(argument, columns) for argument in arguments])
        case Call("sum" | "min" | "max" as function, arguments):
            total = _value(arguments[0], columns)
            for argument in arguments[1:]:
                total = _FOLDS[function](total, _value(argument, columns))
            return total
        case Call(function, (argument,)):
            return _UNARY[function](_value(argument, columns))
    raise AssertionError(node)


def _power(base: Floats, exponent: Floats) -> Floats:
    if np.ndim(exponent) == 0 and exponent == 2.0:
        return base * base
    return np.asarray(np.power(base, exponent))


def _bit_or(values: list[Floats]) -> Floats:
    """Join the bits of whole numbers from 0 to 2^53; others give NaN."""
    whole = np.ones(np.broadcast_shapes(*(np.shape(value) for value in values)), dtype=bool)
    bits = np.zeros(whole.shape, dtype=np.int64)
    for value in values:
        fits = (value >= 0) & (value <= 2.0**53) & (value == np.floor(value))
        whole &= fits
        bits |= np.where(fits, value, 0.0).astype(np.int64)
    return np.where(whole, bits.astype(np.float64), np.nan)


_ARITHMETIC: dict[Operator, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": np.divide,
    "^": _power,
}
_FOLDS: dict[str, Callable[..., Any]] = {"sum": np.add, "min": np.minimum, "max": np.maximum}
_UNARY: dict[str, Callable[..., Any]] = {"abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "round": np.round}


def _verdict(node: Condition, columns: Columns) -> Verdict:  # noqa: PLR0911 - one case for each kind
    match node:
        case Compare():
            return _compare(node, columns)
        case Multiple():
            return _multiple(node, columns)
        case OneOf():
            return _one_of(node, columns)
        case Is():
            return Verdict(_is(node, columns))
        case Not(operand):
            inner = _verdict(operand, columns)
            return Verdict(~inner.true, inner.applicable)
        case And(parts):
            return _all([_verdict(part, columns) for part in parts])
        case Or(parts):
            return _any([_verdict(part, columns) for part in parts])
        case When(condition, consequence):
            premise = _verdict(condition, columns)
            return _any([Verdict(~premise.true, premise.applicable), _verdict(consequence, columns)])
        case Exactly(left, right):
            one, other = _verdict(left, columns), _verdict(right, columns)
            return Verdict(one.true == other.true, _both(one.applicable, other.applicable))


def _both(one: Booleans | None, other: Booleans | None) -> Booleans | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _all(parts: list[Verdict]) -> Verdict:
    true = parts[0].true
    for part in parts[1:]:
        true = true & part.true
    if all(part.applicable is None for part in parts):
        return Verdict(true)
    broken = np.logical_or.reduce(np.broadcast_arrays(*(part.broken for part in parts)))
    known = np.logical_and.reduce(np.broadcast_arrays(*(_known(part) for part in parts)))
    return Verdict(known & ~broken, known | broken)


def _any(parts: list[Verdict]) -> Verdict:
    contrary = _all([Verdict(~part.true, part.applicable) for part in parts])
    return Verdict(~contrary.true, contrary.applicable)


def _known(part: Verdict) -> Booleans:
    return np.ones_like(part.true) if part.applicable is None else part.applicable


def _finite(*values: Floats) -> Booleans | None:
    """Tell where all values are finite; None for everywhere, which is usual and spares work."""
    known: Booleans | None = None
    for value in values:
        finite = np.isfinite(value)
        if not finite.all():
            known = finite if known is None else known & finite
    return known


def allowance(tolerance: Tolerance, left: Floats, right: Floats) -> Floats:
    """Compute how far apart two sides may be [rows]."""
    if not tolerance.relative:
        return np.float64(tolerance.absolute)  # type: ignore[return-value] # broadcasts like an array
    return tolerance.absolute + tolerance.relative * np.maximum(np.abs(left), np.abs(right))


_EXACTLY = {"=": np.equal, "<=": np.less_equal, ">=": np.greater_equal, "<": np.less, ">": np.greater}


def _compare(node: Compare, columns: Columns) -> Verdict:
    left, right = _value(node.left, columns), _value(node.right, columns)
    known = _finite(left, right)
    relation = "=" if node.relation == "!=" else node.relation
    true = np.asarray(_EXACTLY[relation](left, right))
    tolerance = node.tolerance or (EXACT if relation in "<>" else DEFAULT)
    if tolerance != EXACT and not true.all():
        room = allowance(tolerance, left, right)
        if relation == "=":
            true = np.abs(left - right) <= room
        else:
            true = _EXACTLY[relation](left, right + room if relation in ("<=", "<") else right - room)
    return Verdict(~true if node.relation == "!=" else true, known)


def _multiple(node: Multiple, columns: Columns) -> Verdict:
    value, step = _value(node.operand, columns), np.abs(_value(node.step, columns))
    whole = node.step == Number(1.0)
    known = _finite(value) if whole else _finite(value, step, value / step)
    nearest = np.rint(value) if whole else np.rint(value / step) * step
    apart = np.abs(value - nearest)
    if node.tolerance is None:
        room = LATTICE.absolute * step + LATTICE.relative * np.abs(value)
        return Verdict(np.asarray(apart <= np.minimum(room, LATTICE_SHARE * step)), known)
    return Verdict(np.asarray(apart <= allowance(node.tolerance, value, value)), known)


def _one_of(node: OneOf, columns: Columns) -> Verdict:
    if isinstance(node.values[0], str) and isinstance(node.operand, Column):
        text = columns.texts[node.operand.name]
        wanted = set(node.values)
        member = np.array([name in wanted for name in text.names] + [False])
        known = text.codes >= 0
        return Verdict(member[text.codes], None if known.all() else known)
    value = _value(node.operand, columns)
    true = np.zeros(np.shape(value), dtype=bool)
    for one in node.values:
        true |= np.abs(value - one) <= allowance(DEFAULT, value, np.float64(one))  # type: ignore[arg-type]
    return Verdict(true, _finite(value))


def _is(node: Is, columns: Columns) -> Booleans:
    if isinstance(node.operand, Column) and node.operand.name in columns.texts:
        present = columns.texts[node.operand.name].codes >= 0
        return {"finite": present, "infinite": np.zeros_like(present), "missing": ~present}[node.state]
    value = _value(node.operand, columns)
    tests = {"finite": np.isfinite, "infinite": np.isinf, "missing": np.isnan}
    return np.asarray(tests[node.state](value))
