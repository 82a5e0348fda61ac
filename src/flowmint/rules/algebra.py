"""Rules rearranged: what a column follows from, its lattice, in which order columns are settled, single constraints.

The convention of the language: *what stands alone on one side follows from the other side*. ``AVG = Tot sum / Number``
says that ``AVG`` is recomputed from the others, ``Variance <= ...`` that the variance gives way, not the packet sizes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from flowmint.rules.evaluate import evaluate
from flowmint.rules.language import (
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
    columns_of,
    is_rough,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flowmint.rules.evaluate import Columns, Floats
    from flowmint.rules.language import Condition, Expression, Operator, Relation, Rule

ZERO, ONE = Number(0.0), Number(1.0)

Atom: TypeAlias = Compare | Multiple | OneOf | Is | Not

CONTRARY: dict[Relation, Relation] = {"=": "!=", "!=": "=", "<=": ">", ">": "<=", ">=": "<", "<": ">="}


def join(sign: Operator, left: Expression, right: Expression) -> Expression:
    """Join two expressions, leaving out what changes nothing (``x + 0``, ``1 * x``) and computing plain numbers."""
    match sign, left, right:
        case ("+", Number(0.0), other) | ("+" | "-", other, Number(0.0)):
            return other
        case ("*", Number(1.0), other) | ("*" | "/", other, Number(1.0)):
            return other
        case ("*", Number(0.0), _) | ("*" | "/", _, Number(0.0)) if sign == "*":
            return ZERO
        case "/", Number(0.0), _:
            return ZERO
        case "-", Number(0.0), other:
            return Negate(other)
    return Binary(sign, left, right)


def affine(  # noqa: PLR0911 - one case for each kind
    node: Expression, name: str
) -> tuple[Expression, Expression] | None:
    """Write an expression as ``factor * column + rest``.

    Args:
        node: The expression.
        name: The column.

    Returns:
        Factor and rest, neither of which speaks of the column; None where the expression is not of this form.
    """
    if name not in columns_of(node):
        return ZERO, node
    match node:
        case Column():
            return ONE, ZERO
        case Negate(operand):
            inner = affine(operand, name)
            return inner and (Negate(inner[0]), join("-", ZERO, inner[1]))
        case Binary("+" | "-" as sign, left, right):
            one, other = affine(left, name), affine(right, name)
            if one is None or other is None:
                return None
            return join(sign, one[0], other[0]), join(sign, one[1], other[1])
        case Binary("*", left, right):
            scale, scaled = (right, left) if name in columns_of(left) else (left, right)
            inner = None if name in columns_of(scale) else affine(scaled, name)
            return inner and (join("*", scale, inner[0]), join("*", scale, inner[1]))
        case Binary("/", left, right):
            inner = None if name in columns_of(right) else affine(left, name)
            return inner and (join("/", inner[0], right), join("/", inner[1], right))
        case Call("sum", arguments):
            total: Expression = arguments[0]
            for argument in arguments[1:]:
                total = Binary("+", total, argument)
            return affine(total, name)
    return None


def solve(node: Compare, name: str) -> Expression | None:
    """Solve an equation for a column: ``a * x + b = c * x + d`` gives ``(d - b) / (a - c)``; None where that fails."""
    left, right = affine(node.left, name), affine(node.right, name)
    if node.relation != "=" or left is None or right is None:
        return None
    factor = join("-", left[0], right[0])
    return None if factor == ZERO else join("/", join("-", right[1], left[1]), factor)


def substituted(node: Expression, definitions: Mapping[str, Expression]) -> Expression:
    """Write derived columns out.

    Args:
        node: An expression.
        definitions: What derived columns are computed from, which is itself written out.

    Returns:
        The expression without them.
    """
    match node:
        case Column(name):
            return definitions.get(name, node)
        case Negate(operand):
            return Negate(substituted(operand, definitions))
        case Binary(sign, left, right):
            return Binary(sign, substituted(left, definitions), substituted(right, definitions))
        case Call(function, arguments):
            return Call(function, tuple(substituted(argument, definitions) for argument in arguments))
    return node


@dataclass(frozen=True)
class Lattice:
    """Where a column's values lie: ``offset + k * step`` for whole ``k``; both may follow from other columns.

    Attributes:
        column: The column.
        step: Distance of neighbours.
        offset: One of the values.
    """

    column: str
    step: Expression
    offset: Expression

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that scale or shift the lattice."""
        return tuple(dict.fromkeys((*columns_of(self.step), *columns_of(self.offset))))

    def indices(self, columns: Columns) -> Floats:
        """Tell for each row which point of the lattice its value is nearest to.

        Args:
            columns: The column and those that scale or shift its lattice.

        Returns:
            The whole numbers ``k`` [rows]; NaN or infinite where step or value are not finite or the step is 0.
        """
        step, offset = evaluate(self.step, columns), evaluate(self.offset, columns)
        with np.errstate(all="ignore"):
            return np.asarray(np.rint((columns.numbers[self.column] - offset) / step))

    def values(self, indices: Floats, columns: Columns) -> Floats:
        """Give the points of the lattice by their numbers.

        Args:
            indices: The whole numbers ``k`` [rows].
            columns: The columns that scale or shift the lattice.

        Returns:
            ``offset + k * step`` [rows], computed so that 3 steps of 1 / 10 are 0.3.
        """
        top, bottom = (
            (self.step.left, self.step.right)
            if isinstance(self.step, Binary) and self.step.operator == "/"
            else (self.step, ONE)
        )
        with np.errstate(all="ignore"):
            shift = evaluate(self.offset, columns)
            return np.asarray(shift + indices * evaluate(top, columns) / evaluate(bottom, columns))

    @classmethod
    def of(cls, node: Multiple, column: str) -> Lattice | None:
        """Solve ``operand is a multiple of step`` for a column; None where that cannot be done."""
        form = None if column in columns_of(node.step) else affine(node.operand, column)
        if form is None or form[0] == ZERO:
            return None
        factor, rest = form
        return cls(column, join("/", node.step, factor), join("/", join("-", ZERO, rest), factor))


@dataclass(frozen=True)
class Constraint:
    """One comparison, lattice or membership that must hold in the rows where all of its guards are false.

    Attributes:
        atom: What must hold.
        guards: Conditions, in negation normal form, each of which would excuse it.
        classes: The classes that it is about; empty for all.
        rule: The rule that it comes from.
        follows: Whether it is what a rule demands, not the contrary of what the rule is conditional on.
    """

    atom: Atom
    guards: tuple[Condition, ...] = ()
    classes: tuple[str, ...] = ()
    rule: str = ""
    follows: bool = True

    @cached_property
    def atom_columns(self) -> frozenset[str]:
        """The columns that the atom speaks of."""
        return frozenset(columns_of(self.atom))

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that it speaks of, its guards included."""
        return self.atom_columns.union(*(columns_of(guard) for guard in self.guards))

    @cached_property
    def _solutions(self) -> dict[str, Expression | None]:
        return {}

    @cached_property
    def _lattices(self) -> dict[str, Lattice | None]:
        return {}

    def solution(self, name: str) -> Expression | None:
        """Solve a comparison for a column where both sides are equal; None where that fails. Found once."""
        if name not in self._solutions:
            atom = cast("Compare", self.atom)
            self._solutions[name] = solve(Compare("=", atom.left, atom.right), name)
        return self._solutions[name]

    def lattice(self, name: str) -> Lattice | None:
        """Solve a multiple for a column, see `Lattice.of`. Found once."""
        if name not in self._lattices:
            self._lattices[name] = Lattice.of(cast("Multiple", self.atom), name)
        return self._lattices[name]


def constraints_of(rule: Rule) -> tuple[Constraint, ...]:
    """Take a rule apart into constraints that together say the same."""
    if not isinstance(rule.condition, When):
        atoms = _atoms(normal(rule.condition), ())
        return tuple(Constraint(atom, guards, rule.classes, rule.name) for atom, guards in atoms)
    premise, consequence = normal(Not(rule.condition.condition)), normal(rule.condition.consequence)
    demanded = _atoms(consequence, (premise,))
    contrary = _atoms(premise, (consequence,))
    return (
        *(Constraint(atom, guards, rule.classes, rule.name) for atom, guards in demanded),
        *(Constraint(atom, guards, rule.classes, rule.name, follows=False) for atom, guards in contrary),
    )


def _atoms(node: Condition, guards: tuple[Condition, ...]) -> Iterator[tuple[Atom, tuple[Condition, ...]]]:
    match node:
        case And(parts):
            for part in parts:
                yield from _atoms(part, guards)
        case Or(parts):
            for index, part in enumerate(parts):
                yield from _atoms(part, (*guards, *parts[:index], *parts[index + 1 :]))
        case Compare() | Multiple() | OneOf() | Is() | Not():
            yield node, guards


def normal(node: Condition) -> Condition:
    """Give the negation normal form: ``when`` and ``exactly when`` become ``or``, ``not`` stands at atoms only."""
    match node:
        case And(parts):
            return And(tuple(normal(part) for part in parts))
        case Or(parts):
            return Or(tuple(normal(part) for part in parts))
        case When(condition, consequence):
            return Or((normal(Not(condition)), normal(consequence)))
        case Exactly(left, right):
            return And((normal(When(left, right)), normal(When(right, left))))
        case Not(operand):
            return _contrary(operand)
    return node


def _contrary(node: Condition) -> Condition:  # noqa: PLR0911 - one case for each kind
    match node:
        case Compare(relation, left, right, tolerance):
            return Compare(CONTRARY[relation], left, right, tolerance)
        case Not(operand):
            return normal(operand)
        case And(parts):
            return Or(tuple(_contrary(part) for part in parts))
        case Or(parts):
            return And(tuple(_contrary(part) for part in parts))
        case When(condition, consequence):
            return And((normal(condition), _contrary(consequence)))
        case Exactly(left, right):
            return Or((And((normal(left), _contrary(right))), And((_contrary(left), normal(right)))))
    return Not(node)


@dataclass(frozen=True)
class Plan:
    """In which order columns are settled, and what each follows from.

    Attributes:
        order: All numeric columns, each after those that it follows from.
        definitions: What derived columns are computed from, in the order in which they can be computed.
        lattices: The lattices of columns, those that hold in every row; several for some.
        constraints: All rules taken apart.
    """

    order: tuple[str, ...]
    definitions: Mapping[str, Expression]
    lattices: Mapping[str, tuple[Lattice, ...]]
    constraints: tuple[Constraint, ...]


def plan_of(rules: Sequence[Rule], columns: Sequence[str]) -> Plan:
    """Find out what follows from what.

    Args:
        rules: The rules.
        columns: The columns of numbers, in the table's order; this order settles what the rules leave open.

    Returns:
        The plan. Of several equations for one column the first defines it; one that would close a circle is only
        checked.
    """
    constraints = tuple(each for rule in rules for each in constraints_of(rule))
    known = set(columns)
    after: dict[str, set[str]] = {name: set() for name in columns}
    definitions: dict[str, Expression] = {}
    everywhere = [each for each in constraints if not each.guards and not each.classes]
    for constraint in everywhere:
        for name, expression in _definitions(constraint.atom):
            if name in known and name not in definitions and _can_follow(after, name, columns_of(expression)):
                definitions[name] = expression
                break
    uses = Counter(name for each in everywhere if isinstance(each.atom, Multiple) for name in each.atom_columns)
    uses.update(name for definition in definitions.values() for name in columns_of(definition))
    for definition in definitions.values():
        _order_factors(definition, after, definitions, uses)
    lattices: dict[str, list[Lattice]] = {}
    for constraint in everywhere:
        lattice = _lattice(constraint.atom, after, definitions, uses)
        if lattice is not None and lattice.column in known:
            lattices.setdefault(lattice.column, []).append(lattice)
    for constraint in constraints:
        for name, others in _followers(constraint):
            if name in known:
                _can_follow(after, name, others & known)  # columns of text are settled before
    order = _stable(after, columns)
    ordered = {name: definitions[name] for name in order if name in definitions}
    return Plan(order, ordered, {k: tuple(v) for k, v in lattices.items()}, constraints)


def _stable(after: Mapping[str, set[str]], columns: Sequence[str]) -> tuple[str, ...]:
    """Settle each column as early as the table's order and what it follows from allow."""
    done: dict[str, None] = {}

    def settle(name: str) -> None:
        pending = [name]
        while pending:
            missing = [other for other in columns if other in after[pending[-1]] and other not in done]
            if missing:
                pending.append(missing[0])
            else:
                done.setdefault(pending.pop())

    for name in columns:
        settle(name)
    return tuple(done)


def _can_follow(after: dict[str, set[str]], name: str, others: Iterable[str]) -> bool:
    """Note that a column follows from others, unless that closes a circle or names a column that is not there."""
    added = set(others)
    if not added <= after.keys():
        return False
    if added <= after[name]:
        return True
    pending, seen = list(added), set(added)
    while pending:
        for other in after[pending.pop()] - seen:
            seen.add(other)
            pending.append(other)
    if name in seen:
        return False
    after[name] |= added
    return True


def _definitions(atom: Atom) -> Iterator[tuple[str, Expression]]:
    """Give what an equation may define: the column that stands alone, left before right.

    An equation that holds only roughly, by what its ``within`` allows, defines nothing: it is checked and kept to.
    """
    if isinstance(atom, Compare) and atom.relation == "=" and not is_rough(atom.tolerance):
        for side, other in ((atom.left, atom.right), (atom.right, atom.left)):
            if isinstance(side, Column) and side.name not in columns_of(other):
                yield side.name, other


def _order_factors(
    definition: Expression, after: dict[str, set[str]], definitions: Mapping[str, Expression], uses: Counter[str]
) -> None:
    """Settle what is special to a definition after what scales many: a count's share after the number of packets."""
    names = [name for name in columns_of(definition) if name not in definitions and affine(definition, name)]
    if len(names) > 1:
        rarest = min(reversed(names), key=lambda name: uses[name])
        _can_follow(after, rarest, set(columns_of(definition)) - {rarest})


def _lattice(
    atom: Atom, after: dict[str, set[str]], definitions: Mapping[str, Expression], uses: Counter[str]
) -> Lattice | None:
    """Solve a lattice for the column that it is about: named alone, else once, and the one with the fewest uses."""
    if not isinstance(atom, Multiple):
        return None
    if isinstance(atom.operand, Column):
        candidates = [atom.operand.name]
    else:
        mentions = [each.name for each in walk(atom) if isinstance(each, Column)]
        scaling = set(columns_of(atom.step))
        candidates = [n for n in dict.fromkeys(mentions) if mentions.count(n) == 1 and n not in scaling]
    for name in sorted(candidates, key=lambda name: (name in definitions, uses[name])):
        lattice = Lattice.of(atom, name)
        if lattice is not None and name in after and _can_follow(after, name, lattice.columns):
            return lattice
    return None


def _followers(constraint: Constraint) -> Iterator[tuple[str, set[str]]]:
    """Give what gives way: the column alone on one side, and consequences after their conditions."""
    atom = constraint.atom
    if isinstance(atom, Compare):
        for side, other in ((atom.left, atom.right), (atom.right, atom.left)):
            if isinstance(side, Column) and not isinstance(other, Column) and side.name not in columns_of(other):
                yield side.name, set(columns_of(other))
                break
    if constraint.guards and constraint.follows and isinstance(atom, Compare | OneOf | Multiple):
        premises = {name for guard in constraint.guards for name in columns_of(guard)}
        for name in constraint.atom_columns - premises:
            yield name, premises
