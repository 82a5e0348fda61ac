"""Relative columns: a column told by where it lies between what other columns leave it, so that it cannot leave that.

``Min <= Max`` and ``Max <= 1500`` leave ``Max`` a range that begins at ``Min``. A generator that learns ``Max`` itself
mints values below ``Min``; one that learns the share of the range cannot. This is worth it where rows lie close to
their bounds (a mean interval is often hardly more than one over the mean rate) and where the column's own values do not
repeat: the sizes of packets do, and a share of a range would blur them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from flowmint.errors import ModelError
from flowmint.rules.algebra import substituted
from flowmint.rules.evaluate import Columns, evaluate
from flowmint.rules.language import Column, Compare, Number, columns_of, is_rough

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from flowmint.rules.algebra import Constraint, Plan
    from flowmint.rules.evaluate import Floats
    from flowmint.rules.language import Expression, Relation

Form: TypeAlias = Literal["share", "times", "above", "part", "below"]
"""How a value is told: as its share of a range, as a multiple of its least, by how much it is above that, as a part of
its greatest, or by how much it is below that."""

CLOSE = 0.05
"""Rows are close to a bound if a value that is so far away, as a share of the column's ranks, would break it."""

OFTEN = 0.5
"""Share of the rows between the bounds that must be close to one of them for a column to be told by its bounds."""

REPEATED = 0.01
"""Chance that two values between the bounds are the same from which on a column is told by its own values."""

SAME = 1e-6
"""Distance from a bound, as a share of the larger value, that is the rounding of float32 and counts as none."""

_SWAPPED: dict[Relation, Relation] = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}


@dataclass(frozen=True)
class Bounds:
    """What other columns leave a column.

    Attributes:
        column: The column.
        least: Expressions over other columns that it is not below.
        most: Expressions over other columns that it is not above.
    """

    column: str
    least: tuple[Expression, ...] = ()
    most: tuple[Expression, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that bound it."""
        return tuple(dict.fromkeys(name for each in (*self.least, *self.most) for name in columns_of(each)))

    def among(self, columns: Collection[str]) -> Bounds:
        """Keep the bounds that speak of these columns only."""
        least, most = (
            tuple(each for each in side if set(columns_of(each)) <= set(columns)) for side in (self.least, self.most)
        )
        return Bounds(self.column, least, most)

    def of(self, numbers: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """Compute the bounds.

        Args:
            numbers: The columns that bound it [rows].

        Returns:
            Least and greatest value [rows]; infinite where there is no bound, NaN where none can be computed.
        """
        columns = Columns({name: numbers[name] for name in self.columns})
        low = reduce(np.fmax, (evaluate(each, columns) for each in self.least), np.full(columns.rows, -np.inf))
        high = reduce(np.fmin, (evaluate(each, columns) for each in self.most), np.full(columns.rows, np.inf))
        return low, high


@dataclass(frozen=True)
class Relative:
    """A column that is told by its bounds.

    Attributes:
        bounds: Its bounds.
        form: How it is told.
        whole: Whether its values are whole numbers.
    """

    bounds: Bounds
    form: Form
    whole: bool

    @property
    def column(self) -> str:
        """The column's name."""
        return self.bounds.column

    def tell(self, values: Floats, numbers: Mapping[str, Floats]) -> Floats:
        """Write values by their bounds.

        Args:
            values: Finite values [rows]; those beyond their bounds count as on them.
            numbers: The columns that bound them [rows].

        Returns:
            What to learn in their place [rows], finite.
        """
        low, high = self.bounds.of(numbers)
        room = SAME * np.maximum(np.abs(values), 1e-3)
        values = np.where(values <= low + room, low, np.where(values >= high - room, high, values))
        with np.errstate(all="ignore"):
            match self.form:
                case "share":
                    width = high - low
                    return np.where(width > SAME * np.abs(high), (values - low) / width, 0.0)
                case "times":
                    return values / low
                case "above":
                    return values - low
                case "part":
                    return np.where(high > 0, values / high, 0.0)
                case "below":
                    return high - values

    def value(self, told: Floats, numbers: Mapping[str, Floats]) -> Floats:
        """Turn what was minted back into values; the inverse of `tell`.

        Args:
            told: What was minted [rows].
            numbers: The columns that bound the values [rows].

        Returns:
            Values within their bounds [rows]; where a bound cannot be computed, what was minted, for repair to mend.
        """
        low, high = self.bounds.of(numbers)
        with np.errstate(all="ignore"):
            match self.form:
                case "share":
                    values = low + told * (high - low)
                case "times":
                    values = told * low
                case "above":
                    values = low + told
                case "part":
                    values = told * high
                case "below":
                    values = high - told
            values = np.where(values <= low, low, np.where(values >= high, high, values))
            if self.whole:
                near = np.clip(np.rint(values), np.ceil(low - SAME), np.floor(high + SAME))
                values = np.where(np.isfinite(near), near, values)
        return np.where(np.isfinite(values), values, told)


def bounds_in(plan: Plan, columns: Collection[str]) -> tuple[Bounds, ...]:
    """Find what rules say of columns by columns that are settled before them.

    Args:
        plan: The rules' plan.
        columns: The columns that are learnt; bounds speak of these only, with derived ones written out.

    Returns:
        Bounds in the plan's order.
    """
    definitions: dict[str, Expression] = {}
    for name, definition in plan.definitions.items():
        if name not in columns:
            definitions[name] = substituted(definition, definitions)
    found: dict[str, Bounds] = {}
    earlier: set[str] = set()
    sides = [side for constraint in plan.constraints for side in _sides(constraint)]
    for name in plan.order:
        if name not in columns:
            continue
        own = [(sign, substituted(other, definitions)) for own, sign, other in sides if own == name]
        usable = [
            (sign, other) for sign, other in own if len(columns_of(other)) > 0 and set(columns_of(other)) <= earlier
        ]
        if usable:
            least, most = (tuple(dict.fromkeys(o for s, o in usable if s == sign)) for sign in (">=", "<="))
            found[name] = Bounds(name, least, most)
        earlier.add(name)
    return tuple(found.values())


def _sides(constraint: Constraint) -> Iterator[tuple[str, Relation, Expression]]:
    """Give each column that stands alone on a side of an inequality that holds in all rows."""
    atom = constraint.atom
    if constraint.guards or constraint.classes or not isinstance(atom, Compare) or is_rough(atom.tolerance):
        return
    if atom.relation not in _SWAPPED:
        return
    plain: dict[Relation, Relation] = {"<": "<=", ">": ">="}
    for side, relation, other in (
        (atom.left, atom.relation, atom.right),
        (atom.right, _SWAPPED[atom.relation], atom.left),
    ):
        if isinstance(side, Column) and not isinstance(other, Number) and side.name not in columns_of(other):
            yield side.name, plain.get(relation, relation), other


def choose_relative(
    plan: Plan, numbers: Mapping[str, Floats], *, finite: Collection[str] | None = None
) -> tuple[Relative, ...]:
    """Choose the columns that are better told by their bounds.

    Args:
        plan: The rules' plan.
        numbers: The learnt columns of numbers, training rows only [rows]; those with a value that is not finite are
            told as they are, and bound nothing.
        finite: The columns that are finite in all rows, where these are only some of them.

    Returns:
        The columns, in the order in which their values can be computed.
    """
    usable = {
        name: values
        for name, values in numbers.items()
        if np.isfinite(values).all() and (finite is None or name in finite)
    }
    chosen = []
    for bounds in (each.among(usable) for each in bounds_in(plan, numbers) if each.column in usable):
        if not bounds.columns:
            continue
        values = usable[bounds.column]
        low, high = bounds.of(usable)
        if _is_worth_it(values, low, high):
            form = _form(values, low, high, bounds)
            if form is not None:
                chosen.append(Relative(bounds, form, whole=bool((values == np.rint(values)).all())))
    return tuple(chosen)


def _is_worth_it(values: Floats, low: Floats, high: Floats) -> bool:
    """Tell whether values are close to their bounds often, and seldom repeat between them."""
    room = SAME * np.abs(values)
    inside = (values > low + room) & (values < high - room)
    between = values[inside]
    if len(between) < 2:
        return False
    counts = np.unique(between, return_counts=True)[1].astype(np.float64)
    if (counts * (counts - 1)).sum() > REPEATED * len(between) * (len(between) - 1):
        return False
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, between)
    step = max(1, round(CLOSE * len(values)))
    below, above = ordered[np.maximum(ranks - step, 0)], ordered[np.minimum(ranks + step, len(values) - 1)]
    falls, rises = below < low[inside] - room[inside], above > high[inside] + room[inside]
    return bool(max(falls.mean(), rises.mean()) >= OFTEN)


def _form(values: Floats, low: Floats, high: Floats, bounds: Bounds) -> Form | None:
    """Choose how values are told; None where a bound cannot be computed in some row."""
    if (bounds.least and not np.isfinite(low).all()) or (bounds.most and not np.isfinite(high).all()):
        return None
    if bounds.least and bounds.most:
        return "share"
    if bounds.least:
        return "times" if (low > 0).all() else "above"
    return "part" if (high >= 0).all() and (values >= 0).all() else "below"


def relative_to_json(relative: Sequence[Relative]) -> list[list[Any]]:
    """Describe columns that are told by their bounds in JSON; the bounds themselves are in the rules."""
    return [[each.column, each.form, each.whole, list(each.bounds.columns)] for each in relative]


def restore_relative(obj: object, plan: Plan, columns: Collection[str]) -> tuple[Relative, ...]:
    """Rebuild what `relative_to_json` described.

    Args:
        obj: Its answer.
        plan: The rules' plan.
        columns: The learnt columns of numbers.

    Returns:
        The columns, in the order in which their values can be computed.

    Raises:
        ModelError: It is no such list, or the rules bound no such column.
    """
    known = {bounds.column: bounds for bounds in bounds_in(plan, columns)}
    entries: list[Any] = obj if isinstance(obj, list) else [obj]
    if all(_is_entry(entry) and entry[0] in known for entry in entries):
        told = tuple(Relative(known[name].among(names), form, whole) for name, form, whole, names in entries)
        if len({each.column for each in told}) == len(told) and all(map(_fits, told)):
            return told
    message = f"damaged columns that are told by their bounds: {str(obj)[:80]!r}"
    raise ModelError(message)


def _is_entry(entry: object) -> bool:
    match entry:
        case [str(), str() as form, bool(), list() as names] if form in get_args(Form):
            return all(isinstance(name, str) for name in names)
    return False


def _fits(relative: Relative) -> bool:
    """Tell whether a column has the bounds that its form needs."""
    sides = (bool(relative.bounds.least), bool(relative.bounds.most))
    return sides == (relative.form in ("share", "times", "above"), relative.form in ("share", "part", "below"))
