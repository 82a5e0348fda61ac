"""The rule language: what a rule is made of, what it means for columns of numbers, and how it is written.

A rule is a condition on one row, such as ``Min <= AVG`` or ``Number * TCP is an integer``. Conditions are built from
expressions over columns. `flowmint.rules.parse` reads the text that `text_of` writes.

What a condition says of a row is one of three things: it holds, it is broken, or it is *not applicable*. A comparison,
lattice or membership whose operands are NaN, infinite or empty in a row is not applicable there: real files hold an
infinite ``Rate`` where a duration is 0, which says nothing about ``IAT * Rate >= 1``. Division by zero gives such an
operand. Only ``is finite``, ``is infinite`` and ``is missing`` speak about these values. ``and``, ``or``, ``not`` and
``when`` follow Kleene's three-valued logic, and a rule counts as broken only where it is applicable and false.

Tolerance: a comparison of ``left`` and ``right`` allows ``absolute + relative * max(|left|, |right|)``. The default is
1e-9 and 1e-6, which is wide enough for a few operations on values that a file holds in float32 (24 bits: each is off by
up to 6e-8 of itself). ``<`` and ``>`` are strict and have no default tolerance. A lattice, ``x is a multiple of step``,
allows by default a millionth of a step and 2^-22 of ``|x|``, but never more than one hundredth of a step; with
``within``, ``absolute + relative * |x|``. Where that reaches half a step, the values have too few digits to tell, and
the lattice holds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from flowmint.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator

Operator = Literal["+", "-", "*", "/", "^"]
Function = Literal["sum", "min", "max", "abs", "sqrt", "floor", "round", "bit_or"]
Relation = Literal["=", "!=", "<=", ">=", "<", ">"]
State = Literal["finite", "infinite", "missing"]

KEYWORDS = frozenset({"when", "then", "and", "or", "not", "exactly", "is", "within"})
"""Words that name a column only between backquotes."""

BARE = re.compile(r"[^\W\d][\w.]*")
"""A name that needs no quotes."""

ARGUMENTS: dict[Function, tuple[int, int]] = {
    "sum": (1, 200),
    "min": (1, 200),
    "max": (1, 200),
    "abs": (1, 1),
    "sqrt": (1, 1),
    "floor": (1, 1),
    "round": (1, 1),
    "bit_or": (2, 200),
}
"""How few and how many arguments each function takes."""


@dataclass(frozen=True)
class Number:
    """A number that stands in a rule, finite."""

    value: float

    def __post_init__(self) -> None:
        """Hold a finite float; −0 becomes 0."""
        if not math.isfinite(self.value):
            message = f"a rule holds the number {self.value}; numbers in rules are finite"
            raise RuleError(message)
        object.__setattr__(self, "value", float(self.value) + 0.0)


@dataclass(frozen=True)
class Column:
    """The value of a column in the row, by its exact name."""

    name: str


@dataclass(frozen=True)
class Negate:
    """Minus an expression."""

    operand: Expression


@dataclass(frozen=True)
class Binary:
    """Two expressions joined by ``+ - * /`` or a power ``^``."""

    operator: Operator
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    """A function of expressions.

    ``bit_or`` joins the bits of whole numbers; ``round`` takes halves to the even neighbour.
    """

    function: Function
    arguments: tuple[Expression, ...]

    def __post_init__(self) -> None:
        """Refuse too few or too many arguments."""
        least, most = ARGUMENTS[self.function]
        if not least <= len(self.arguments) <= most:
            allowed = f"{least}" if least == most else f"{least} to {most}"
            message = f"{self.function}(...) has {len(self.arguments)} arguments; it takes {allowed}"
            raise RuleError(message)


Expression: TypeAlias = Number | Column | Negate | Binary | Call


@dataclass(frozen=True)
class Tolerance:
    """How far apart two sides may be and still agree; see the module's first lines.

    Attributes:
        absolute: In the unit of the sides, at least 0.
        relative: As a share of the larger side, at least 0.
    """

    absolute: float
    relative: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative and infinite tolerances."""
        for value in (self.absolute, self.relative):
            if not 0 <= value < math.inf:
                message = f"a tolerance is {value}; give a finite number of at least 0"
                raise RuleError(message)
            object.__setattr__(self, "absolute", float(self.absolute) + 0.0)
            object.__setattr__(self, "relative", float(self.relative) + 0.0)


DEFAULT = Tolerance(1e-9, 1e-6)
"""What ``=``, ``!=``, ``<=`` and ``>=`` allow without ``within``."""

EXACT = Tolerance(0.0)
"""What ``<`` and ``>`` allow without ``within``."""

ROUGH = Tolerance(1e-5, 1e-3)
"""Beyond which tolerance an equation holds only roughly, and defines no column."""

LATTICE = Tolerance(1e-6, 2.0**-22)
"""What ``is a multiple of`` allows without ``within``: a share of the step, and a share of the value."""

LATTICE_SHARE = 0.01
"""How much of a step ``is a multiple of`` allows at most without ``within``."""


@dataclass(frozen=True)
class Compare:
    """Two expressions compared."""

    relation: Relation
    left: Expression
    right: Expression
    tolerance: Tolerance | None = None


@dataclass(frozen=True)
class Multiple:
    """An expression that is a whole multiple of a step, which other columns may scale; a step of 1 is an integer."""

    operand: Expression
    step: Expression = field(default=Number(1.0))
    tolerance: Tolerance | None = None


@dataclass(frozen=True)
class OneOf:
    """An expression that has one of some numbers, or a column of text that has one of some texts."""

    operand: Expression
    values: tuple[float, ...] | tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse no values, values of two kinds, and texts of anything but a column."""
        texts = [isinstance(value, str) for value in self.values]
        if not texts or any(texts) != all(texts):
            message = f"'is one of' has the values {self.values}; give one or more numbers, or one or more texts"
            raise RuleError(message)
        if any(texts) and not isinstance(self.operand, Column):
            message = f"{text_of(self.operand)} is compared with a text; only a column can be"
            raise RuleError(message)
        if not any(texts):
            object.__setattr__(self, "values", tuple(Number(float(value)).value for value in self.values))


@dataclass(frozen=True)
class Is:
    """An expression that is finite, infinite, or missing: NaN or an empty cell."""

    operand: Expression
    state: State


@dataclass(frozen=True)
class Not:
    """The contrary of a condition."""

    operand: Condition


@dataclass(frozen=True)
class And:
    """All of two or more conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    """At least one of two or more conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class When:
    """``when condition then consequence``: holds where the condition does not."""

    condition: Condition
    consequence: Condition


@dataclass(frozen=True)
class Exactly:
    """``left exactly when right``: both hold or neither does."""

    left: Condition
    right: Condition


Condition: TypeAlias = Compare | Multiple | OneOf | Is | Not | And | Or | When | Exactly
Node: TypeAlias = Expression | Condition


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a discovered rule rests on.

    Attributes:
        rows: On how many rows of the training data the rule was applicable, its ``when`` part fulfilled.
        share: On which share of them it holds, 0 to 1.
        slack: The least distance to being broken, in units of the rule's sides; None where it has none.
        particular: Whether it may be a matter of this data set rather than of its extractor.
    """

    rows: int
    share: float = 1.0
    slack: float | None = None
    particular: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition that every real row satisfies.

    Attributes:
        name: Its stable name, unique among the rules it stands with.
        condition: What must hold.
        classes: The classes, by name, whose rows it is about; empty for all rows.
        why: The reason.
        evidence: What it rests on, where it was discovered.
    """

    name: str
    condition: Condition
    classes: tuple[str, ...] = ()
    why: str = ""
    evidence: Evidence | None = None

    @property
    def text(self) -> str:
        """The condition as it is written."""
        return text_of(self.condition)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the condition speaks of, in the order of their first mention."""
        return columns_of(self.condition)


def is_rough(tolerance: Tolerance | None) -> bool:
    """Tell whether an equation of this tolerance holds only roughly."""
    return tolerance is not None and (tolerance.absolute > ROUGH.absolute or tolerance.relative > ROUGH.relative)


def children(node: Node) -> tuple[Node, ...]:
    """List the nodes right below one."""
    match node:
        case Number() | Column():
            return ()
        case Negate(operand) | OneOf(operand) | Is(operand) | Not(operand):
            return (operand,)
        case Binary(_, left, right) | Compare(_, left, right) | Exactly(left, right):
            return (left, right)
        case Call(_, parts) | And(parts) | Or(parts):
            return parts
        case Multiple(operand, step):
            return (operand, step)
        case When(condition, consequence):
            return (condition, consequence)


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all below it, in the order in which they are written."""
    yield node
    for child in children(node):
        yield from walk(child)


def columns_of(node: Node) -> tuple[str, ...]:
    """List the columns that a node speaks of, in the order of their first mention."""
    return tuple(dict.fromkeys(each.name for each in walk(node) if isinstance(each, Column)))


def text_columns_of(node: Node) -> frozenset[str]:
    """List the columns that a node compares with texts."""
    members = (each for each in walk(node) if isinstance(each, OneOf) and isinstance(each.values[0], str))
    return frozenset(each.operand.name for each in members if isinstance(each.operand, Column))


def text_of(node: Node) -> str:  # noqa: C901, PLR0911, PLR0912 - one case for each kind of node
    """Write a node in the rule language; `flowmint.rules.parse` reads it back to the same node.

    Examples:
        >>> text_of(Compare("=", Column("Variance"), Binary("^", Column("Std"), Number(2))))
        'Variance = Std^2'
    """
    match node:
        case Number(value):
            return _number(value)
        case Column(name):
            return name if is_bare(name) else "`" + _escape(name, "`") + "`"
        case Negate(operand):
            plain = isinstance(operand, Column | Call) or (isinstance(operand, Binary) and operand.operator == "^")
            return f"-{text_of(operand)}" if plain else f"-({text_of(operand)})"
        case Binary():
            return _binary(node)
        case Call(function, arguments):
            return f"{function}({', '.join(text_of(argument) for argument in arguments)})"
        case Compare(relation, left, right, tolerance):
            return f"{text_of(left)} {relation} {text_of(right)}{_within(tolerance)}"
        case Multiple() | OneOf() | Is():
            return _predicate(node, "is")
        case Not(Multiple() | OneOf() | Is() as operand):
            return _predicate(operand, "is not")
        case Not(operand):
            return f"not ({text_of(operand)})"
        case And(parts):
            return " and ".join(_guarded(part, And | Or | When | Exactly) for part in parts)
        case Or(parts):
            return " or ".join(_guarded(part, Or | When | Exactly) for part in parts)
        case When(condition, consequence):
            return f"when {_guarded(condition, When | Exactly)} then {text_of(consequence)}"
        case Exactly(left, right):
            return f"{_guarded(left, When | Exactly)} exactly when {_guarded(right, When | Exactly)}"


def is_bare(name: str) -> bool:
    """Tell whether a column's name needs no quotes: letters, digits, ``_`` and ``.``, and no word of the language."""
    return BARE.fullmatch(name) is not None and name not in KEYWORDS


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escape(text: str, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, "\\" + quote)


_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}


def _strength(node: Expression) -> int:
    """Tell how strongly a node's parts hold together: what is weaker than its surroundings gets parentheses."""
    match node:
        case Binary(sign):
            return _STRENGTH[sign]
        case Negate():
            return 3
        case Number(value) if value < 0:
            return 3
        case _:
            return 5


def _binary(node: Binary) -> str:
    own = _STRENGTH[node.operator]
    left, right = text_of(node.left), text_of(node.right)
    if _strength(node.left) < own + (node.operator == "^"):
        left = f"({left})"
    if _strength(node.right) < (3 if node.operator == "^" else own + 1):
        right = f"({right})"
    space = "" if node.operator == "^" else " "
    return f"{left}{space}{node.operator}{space}{right}"


def _within(tolerance: Tolerance | None) -> str:
    if tolerance is None:
        return ""
    absolute, relative = _number(tolerance.absolute), _number(tolerance.relative)
    if not tolerance.relative:
        return f" within {absolute}"
    return f" within {relative} relative" if not tolerance.absolute else f" within {absolute} and {relative} relative"


def _predicate(node: Multiple | OneOf | Is, verb: str) -> str:
    subject = f"{text_of(node.operand)} {verb}"
    match node:
        case Is(_, state):
            return f"{subject} {state}"
        case OneOf(_, values):
            listed = ", ".join('"' + _escape(v, '"') + '"' if isinstance(v, str) else _number(v) for v in values)
            return (
                f"{subject} {listed}"
                if len(values) == 1 and isinstance(values[0], str)
                else f"{subject} one of {listed}"
            )
        case Multiple(_, step, tolerance):
            kind = "an integer" if step == Number(1.0) else f"a multiple of {text_of(step)}"
            return f"{subject} {kind}{_within(tolerance)}"


def _guarded(node: Condition, weaker: object) -> str:
    return f"({text_of(node)})" if isinstance(node, weaker) else text_of(node)  # type: ignore[arg-type]
