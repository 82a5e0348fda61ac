"""The nearest row that satisfies the rules: columns are settled one after the other, within what the rest allows.

For each column in the plan's order, interval propagation tells what range the rules leave it, given the columns that
are settled and the ranges of those that are not. A derived column is computed; any other keeps its value where it may,
and else goes to the nearest point of its range, of its lattice and of its list of values. Each column is settled once
and each propagation is bounded, so this ends. It is not a search: where a settled column leaves a later one no value,
the row stays broken, which the caller sees by checking the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from flowmint.rules.algebra import Constraint, substituted
from flowmint.rules.evaluate import Columns, TextColumn, evaluate, judge
from flowmint.rules.intervals import Box, impose, plain_condition, surely_false
from flowmint.rules.language import Binary, Column, Compare, Is, Multiple, Not, Number, OneOf, columns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flowmint.rules.algebra import Plan
    from flowmint.rules.evaluate import Booleans, Floats
    from flowmint.rules.intervals import Bound, Interval
    from flowmint.rules.language import Condition, Expression

ROUNDS = 40
"""How often on average each constraint may narrow before propagation stops: circles narrow ever less."""

TEXT_ROUNDS = 4
"""How often the rules about texts are gone through: one may follow from another."""

APART = 1e-3
"""How far from a forbidden value a value goes that lies on no lattice, absolute and as a share of it."""

NEIGHBOURS = 16
"""How many points of the coarsest lattice, to each side, are tried for one that lies on the others too."""

INSIDE = 4.0
"""How many units in the last place of the column's dtype a value is put inside a bound that is computed."""

WHOLE = (Number(1.0), Number(0.0))


@dataclass(frozen=True)
class Rows:
    """Rows to settle.

    Attributes:
        numbers: Their columns of numbers [rows].
        texts: Their columns of text, which stay.
        classes: For each class that a rule names, which rows are of it [rows]; None where no label was given.
        whole: The columns whose dtype holds whole numbers only.
        fit: Rounds a column's values to what its dtype can hold.
        count: How many rows there are.
        precision: Distance from 1 to the next number of a column's dtype.
    """

    numbers: Mapping[str, Floats]
    texts: Mapping[str, TextColumn]
    classes: Mapping[str, Booleans] | None
    whole: frozenset[str]
    fit: Callable[[str, Floats], Floats]
    count: int
    precision: Callable[[str], float]


class Solver:
    """Settles rows by a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.constraints = tuple(_distinct(plan.constraints))
        self.narrowing: dict[str, list[int]] = {}
        self.computed: set[str] = set()
        self.choosing: dict[str, list[Constraint]] = {}
        for index, constraint in enumerate(self.constraints):
            if isinstance(constraint.atom, Compare) and not _is_plain(constraint.atom):
                self.computed |= constraint.atom_columns
            if isinstance(constraint.atom, Compare | OneOf) and not _is_fixed(constraint):
                for name in constraint.columns:
                    self.narrowing.setdefault(name, []).append(index)
            if not isinstance(constraint.atom, Compare) or constraint.atom.relation == "!=":
                for name in constraint.atom_columns:
                    self.choosing.setdefault(name, []).append(constraint)
        self.listing = tuple(c for c in self.constraints if c.follows and _is_listed_text(c.atom))
        self.inherited = self._inherited()

    def _inherited(self) -> dict[str, list[tuple[str | None, Constraint]]]:
        """Give columns the lattices of what is derived from them: ``a * b`` must be whole too.

        Returns:
            By column, constraints with the derived column that must be of a whole dtype for them to count, or None
            where it always counts.
        """
        inherited: dict[str, list[tuple[str | None, Constraint]]] = {}
        definitions: dict[str, Expression] = {}
        for name, definition in self.plan.definitions.items():
            definitions[name] = substituted(definition, definitions)
            found: list[tuple[str | None, Constraint]] = [(name, Constraint(Multiple(definitions[name], Number(1.0))))]
            found += [
                (None, Constraint(Multiple(definitions[name], lattice.step)))
                for lattice in self.plan.lattices.get(name, ())
                if lattice.offset == Number(0.0)
            ]
            for entry in found:
                for column in entry[1].atom_columns:
                    inherited.setdefault(column, []).append(entry)
        return inherited

    @cached_property
    def start(self) -> Box:
        """What the rules leave of each column before any value is known."""
        box = Box({})
        with np.errstate(all="ignore"):
            self.propagate(box, set(range(len(self.constraints))), None)
        return box

    def propagate(self, box: Box, pending: set[int], rows: Rows | None) -> None:
        """Narrow a box until nothing changes, or often enough.

        Args:
            box: Narrowed in place.
            pending: The constraints to begin with; empty afterwards.
            rows: The rows, for the classes that constraints are about; None leaves such constraints out.
        """
        left = ROUNDS * len(self.constraints)
        while pending and left:
            left -= 1
            index = min(pending)
            pending.discard(index)
            constraint = self.constraints[index]
            if constraint.atom_columns <= box.settled:
                continue
            mask, possible = self.mask(constraint, box, rows)
            if possible:
                for name in impose(constraint.atom, box, mask):
                    pending.update(i for i in self.narrowing.get(name, ()) if i != index)
        pending.clear()

    def mask(self, constraint: Constraint, box: Box, rows: Rows | None) -> tuple[Bound | None, bool]:
        """Tell in which rows a constraint must hold: None for all; and whether there are any."""
        mask: Bound | None = None
        if constraint.classes:
            if rows is None or rows.classes is None:
                return None, False
            mask = np.logical_or.reduce([rows.classes[name] for name in constraint.classes])
        for guard in constraint.guards:
            false = surely_false(guard, box)
            mask = false if mask is None else mask & false
            if not np.any(mask):
                return None, False
        return mask, mask is None or bool(np.any(mask))

    def settle(self, rows: Rows) -> Columns:
        """Find a row near each row that satisfies the rules as far as this way of settling can.

        Args:
            rows: The rows.

        Returns:
            The new values.
        """
        box = Box(dict(self.start.intervals), dict(rows.texts))
        self.settle_texts(box, rows)
        pending = {i for i, c in enumerate(self.constraints) if c.classes or (c.guards and rows.texts)}
        settled: dict[str, Floats] = {}
        with np.errstate(all="ignore"):
            for name in self.plan.order:
                self.propagate(box, pending, rows)
                value = _Choice(self, name, box, rows, settled).value()
                if name in rows.whole:
                    value = rows.fit(name, value)
                settled[name] = value
                box.settle(name, value)
                pending.update(self.narrowing.get(name, ()))
            self.settle_texts(box, rows)  # once more, for those that follow from numbers
        return Columns({name: rows.fit(name, value) for name, value in settled.items()}, box.texts, rows.count)

    def settle_texts(self, box: Box, rows: Rows) -> None:
        """Give columns of text the first text that a rule lists, where it is certain that the rule demands one."""
        for _ in range(TEXT_ROUNDS):
            changed = [self._settle_text(constraint, box, rows) for constraint in self.listing]
            if not any(changed):
                return

    def _settle_text(self, constraint: Constraint, box: Box, rows: Rows) -> bool:
        atom = cast("OneOf", constraint.atom)
        mask, possible = self.mask(constraint, box, rows)
        if not possible:
            return False
        wrong = surely_false(atom, box) & (True if mask is None else mask)
        if not np.any(wrong):
            return False
        name = columns_of(atom)[0]
        text = box.texts[name]
        possible_texts = [value for value in atom.values if value in text.names]  # an Enum may lack the others
        if not possible_texts:
            return False
        codes = np.where(wrong, text.names.index(str(possible_texts[0])), text.codes)
        box.texts[name] = TextColumn(codes, text.names)
        return True


@dataclass
class _Choice:
    """The choice of one column's values."""

    solver: Solver
    name: str
    box: Box
    rows: Rows
    settled: Mapping[str, Floats]

    def value(self) -> Floats:
        """Choose."""
        given = self.rows.numbers[self.name]
        low, high = (np.broadcast_to(bound, given.shape) for bound in self.box.of(self.name))
        definition = self.solver.plan.definitions.get(self.name)
        if definition is not None and set(columns_of(definition)) <= set(self.settled):
            computed = self._evaluate(definition)
            found = self._on_lattices(computed, computed, computed)
            finite = np.isfinite(computed)
            return found if finite.all() else np.where(finite, found, given)
        finite = np.isfinite(given)
        target = given if finite.all() else np.where(finite, given, _stand_in(given, low, high))
        value = np.minimum(np.maximum(target, low), high)
        lattices = self._lattices()
        value = self._on_lattices(value, low, high, lattices) if lattices else self._inside(target, value, low, high)
        forbidden = list(self._forbidden())
        for banned, mask in forbidden:
            value = self._off(banned, mask, value, (low, high))
        value = self._among_listed(target, value, (low, high), forbidden)
        return value if finite.all() else np.where(finite | self._must_change(given), value, given)

    def _evaluate(self, expression: Expression) -> Floats:
        rows = len(self.rows.numbers[self.name])
        return evaluate(expression, Columns(self.settled, self.rows.texts, rows))

    def _inside(self, target: Floats, value: Floats, low: Floats, high: Floats) -> Floats:
        """Step a little inside a computed bound, which the rounding of a dtype could else put outside."""
        if self.name not in self.solver.computed:
            return value
        step = INSIDE * self.rows.precision(self.name) * np.abs(value)
        value = np.where((target < low) & (value + step <= high), value + step, value)
        return np.where((target > high) & (value - step >= low), value - step, value)

    def _active(self, kind: type) -> Iterable[tuple[Constraint, Bound | None]]:
        """Give the constraints of one kind of which this column is the last to be settled, with their rows."""
        inherited = self.solver.inherited.get(self.name, ()) if kind is Multiple else ()
        more = [constraint for derived, constraint in inherited if derived is None or derived in self.rows.whole]
        for constraint in (*self.solver.choosing.get(self.name, ()), *more):
            if isinstance(constraint.atom, kind) and constraint.atom_columns - {self.name} <= set(self.settled):
                mask, possible = self.solver.mask(constraint, self.box, self.rows)
                if possible:
                    yield constraint, mask

    def _must_change(self, given: Floats) -> Booleans:
        """Tell which missing or infinite values the rules do not allow."""
        wanted = np.zeros(given.shape, dtype=bool)
        for kind in (Is, Not):
            for constraint, mask in self._active(kind):
                if isinstance(constraint.atom, Is | Not) and constraint.atom_columns == {self.name}:
                    broken = judge(constraint.atom, Columns({self.name: given}, {}, len(given))).broken
                    wanted |= broken if mask is None else broken & mask
        return wanted

    def _lattices(self) -> list[tuple[Expression, Expression, Bound | None]]:
        """List the lattices (step, offset, rows) that the column lies on."""
        found: dict[tuple[Expression, Expression], Bound | None] = {}
        if self.name in self.rows.whole:
            found[WHOLE] = None
        for constraint, mask in self._active(Multiple):
            lattice = constraint.lattice(self.name)
            if lattice is not None:
                key = (lattice.step, lattice.offset)
                before = found.get(key, mask)
                found[key] = None if mask is None or before is None else before | mask
        return [(step, offset, mask) for (step, offset), mask in found.items()]

    def _on_lattices(
        self,
        value: Floats,
        low: Floats,
        high: Floats,
        lattices: list[tuple[Expression, Expression, Bound | None]] | None = None,
    ) -> Floats:
        """Go to the nearest point of all lattices within the bounds; where there is none, near it."""
        grids = [self._grid(*lattice) for lattice in (self._lattices() if lattices is None else lattices)]
        if not grids:
            return value
        if len(grids) > 1:
            grids.sort(key=lambda grid: -float(grid.step.mean()))
        main = grids[0]
        points = main.nearest(value, low, high)
        chosen = main.point(points)
        wrong = ~_on_all(chosen, grids[1:])
        if np.any(wrong):
            chosen = _neighbour(main, grids[1:], points, (low, high))
        if low is not value:  # a derived value has no bounds but itself
            # a shifted lattice is off by rounding: a variance of 1e-12 would make a deviation of 1e-6 of none
            shifted = main.offset != 0
            if shifted.any():
                inside = np.clip(chosen, low, high)
                inner = shifted & (low <= high) & (np.abs(chosen - inside) <= 1e-6 * main.step)
                chosen = np.where(inner, inside, chosen)
        return chosen if main.applies is np.True_ else np.where(main.applies, chosen, value)

    def _grid(self, step: Expression, offset: Expression, mask: Bound | None) -> _Grid:
        numerator, denominator = (
            (step.left, step.right)
            if isinstance(step, Binary) and step.operator == "/"
            else (
                step,
                Number(1.0),
            )
        )
        top, bottom = np.abs(self._number(numerator)), np.abs(self._number(denominator))
        shift = self._number(offset)
        size = top / bottom
        applies = (size > 0) & (size < np.inf) & np.isfinite(shift)
        if mask is not None:
            applies = applies & mask
        if applies.all():
            return _Grid(size, top, bottom, shift, np.True_)
        return _Grid(np.where(applies, size, 1.0), top, bottom, np.where(applies, shift, 0.0), applies)

    def _number(self, expression: Expression) -> Bound:
        """Compute an expression [rows]; a number stays one number."""
        return np.float64(expression.value) if isinstance(expression, Number) else self._evaluate(expression)

    def _forbidden(self) -> Iterable[tuple[Floats, Bound | None]]:
        """Give the values (in the rows of a mask) that the column must not have."""
        for constraint, mask in self._active(Compare):
            solved = constraint.solution(self.name)
            if solved is not None:
                yield self._evaluate(solved), mask

    def _off(self, banned: Floats, mask: Bound | None, value: Floats, bounds: Interval) -> Floats:
        """Leave a forbidden value for its neighbour above, or below where the bounds do not allow that."""
        wrong = np.abs(value - banned) <= 1e-9 + 1e-6 * np.abs(banned)
        if mask is not None:
            wrong &= mask
        if not wrong.any():
            return value
        lattices = self._lattices()
        size: Floats = APART * (1.0 + np.abs(banned))
        for lattice in lattices:
            grid = self._grid(*lattice)
            size = np.where(grid.applies, np.maximum(size, grid.step), size)
        low, high = bounds
        if not lattices:
            room = np.where(np.isfinite(high) & (high > banned), (high - banned) / 2, np.inf)
            size = np.minimum(size, room)
        above, below = banned + size, banned - size
        return np.where(wrong, np.where((above > high + 1e-9 * size) & (below >= low), below, above), value)

    def _among_listed(
        self, target: Floats, value: Floats, bounds: Interval, forbidden: list[tuple[Floats, Bound | None]]
    ) -> Floats:
        """Go to the nearest listed value within the bounds, where the column has a list of values."""
        low, high = bounds
        lists = [
            (np.array(atom.values, dtype=np.float64), mask)
            for constraint, mask in self._active(OneOf)
            if isinstance(atom := constraint.atom, OneOf)
            and atom.operand == Column(self.name)
            and not isinstance(atom.values[0], str)
        ]
        if not lists:
            return value
        listed = np.zeros(value.shape, dtype=bool)
        cost = np.full(value.shape, np.inf)
        best = value
        for candidate in np.unique(np.concatenate([values for values, _ in lists])):
            room = 1e-9 + 1e-9 * abs(candidate)
            price = np.abs(candidate - target) + np.where(
                (candidate < low - room) | (candidate > high + room), 1e300, 0
            )
            for banned, mask in forbidden:
                same = np.abs(candidate - banned) <= 1e-9 + 1e-6 * np.abs(banned)
                price = price + np.where(same & (np.True_ if mask is None else mask), 1e300, 0)
            for values, mask in lists:
                applies = np.True_ if mask is None else mask
                listed |= applies
                if candidate not in values:
                    price = np.where(applies, np.inf, price)
            better = price < cost
            cost, best = np.where(better, price, cost), np.where(better, candidate, best)
        return np.where(listed, best, value)


def _distinct(constraints: Iterable[Constraint]) -> Iterable[Constraint]:
    """Write constraints plainly, those that say the same once: rules that rows show repeat those of an extractor."""
    seen: set[tuple[object, ...]] = set()
    for each in constraints:
        if not each.follows and all(map(_is_listed_text, each.guards)):
            continue  # the text gives way, not what it is conditional on
        atom, guards = cast("Compare", plain_condition(each.atom)), tuple(map(plain_condition, each.guards))
        said = (_one_way(atom), frozenset(map(_one_way, guards)), each.classes, each.follows)
        if said not in seen:
            seen.add(said)
            yield Constraint(atom, guards, each.classes, each.rule, each.follows)


def _one_way(node: Condition) -> Condition:
    """Write what can be said from either side from one: ``a >= b`` as ``b <= a``."""
    if isinstance(node, Compare):
        if node.relation in (">=", ">"):
            return Compare("<=" if node.relation == ">=" else "<", node.right, node.left, node.tolerance)
        if node.relation in ("=", "!=") and repr(node.right) < repr(node.left):
            return Compare(node.relation, node.right, node.left, node.tolerance)
    return node


def _is_fixed(constraint: Constraint) -> bool:
    """Tell whether a constraint bounds one column by numbers, always: what it leaves at the start needs no more."""
    atom = constraint.atom
    return (
        not constraint.guards
        and not constraint.classes
        and isinstance(atom, Compare)
        and _is_plain(atom)
        and len(constraint.atom_columns) == 1
    )


def _is_listed_text(node: Condition) -> bool:
    """Tell whether a condition lists texts, one of which can be written."""
    return isinstance(node, OneOf) and isinstance(node.values[0], str)


def _is_plain(atom: Compare) -> bool:
    """Tell whether a comparison computes nothing: its sides are columns and numbers."""
    return isinstance(atom.left, Column | Number) and isinstance(atom.right, Column | Number)


def _stand_in(given: Floats, low: Floats, high: Floats) -> Floats:
    """Choose for a value that is missing or infinite: the end on its side, or the middle of the range."""
    some_low, some_high = np.isfinite(low), np.isfinite(high)
    middle = np.where(
        some_low & some_high, low + (high - low) / 2, np.where(some_low, low, np.where(some_high, high, 0))
    )
    return np.where((given > 0) & some_high, high, np.where((given < 0) & some_low, low, middle))


@dataclass
class _Grid:
    """A lattice in each row: ``offset + k * numerator / denominator``; the fraction keeps 3/10 what it is.

    What is the same in all rows may be one number.

    Attributes:
        step: Distance of neighbours [rows].
        numerator: Of the step [rows].
        denominator: Of the step [rows].
        offset: One of the points [rows].
        applies: The rows that are on it [rows].
    """

    step: Bound
    numerator: Bound
    denominator: Bound
    offset: Bound
    applies: Bound

    def nearest(self, value: Floats, low: Floats, high: Floats) -> Floats:
        """Give the number ``k`` of the point nearest to a value, within bounds [rows]."""
        points: Floats = np.rint((value - self.offset) / self.step)
        if low is value:
            return points
        room = 1e-9 + 4 * np.finfo(np.float64).eps * np.maximum(np.abs(points), np.abs(self.offset / self.step))
        least = np.ceil((low - self.offset) / self.step - room)
        most = np.floor((high - self.offset) / self.step + room)
        within = np.minimum(np.maximum(points, least), most)
        possible = least <= most
        return within if possible.all() else np.where(possible, within, points)

    def point(self, points: Floats) -> Floats:
        """Give points by their numbers [rows]."""
        found: Floats = self.offset + points * self.numerator / self.denominator
        return found if self.applies is np.True_ else np.where(self.applies, found, np.nan)

    def holds(self, value: Floats) -> Booleans:
        """Tell whether values are points [rows]."""
        apart = np.abs(value - self.offset - np.rint((value - self.offset) / self.step) * self.step)
        near: Booleans = apart <= 1e-6 * self.step + 1e-12 * np.abs(value)
        return near if self.applies is np.True_ else near | ~self.applies


def _on_all(value: Floats, grids: list[_Grid]) -> Booleans:
    wrong = np.zeros(value.shape, dtype=bool)
    for grid in grids:
        wrong |= ~grid.holds(value)
    return ~wrong


def _neighbour(main: _Grid, others: list[_Grid], points: Floats, bounds: tuple[Floats, Floats]) -> Floats:
    """Look among the neighbours of a point for one that lies on the other lattices too."""
    best = main.point(points)
    found = _on_all(best, others)
    for distance in range(1, NEIGHBOURS + 1):
        for side in (-distance, distance):
            candidate = main.point(points + side)
            room = 1e-6 * main.step
            fits = (candidate >= bounds[0] - room) & (candidate <= bounds[1] + room) & _on_all(candidate, others)
            best = np.where(fits & ~found, candidate, best)
            found |= fits
        if found.all():
            break
    return best
