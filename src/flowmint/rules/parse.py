"""Reading the rule language: a tokenizer and a recursive descent, bounded in length, parts and depth.

The grammar, loosest first::

    statement  = "when" or "then" statement | or ["exactly" "when" or]
    or         = and ("or" and)*
    and        = not ("and" not)*
    not        = "not" not | relation
    relation   = sum (("=" | "!=" | "<=" | ">=" | "<" | ">") sum)+ [within]
               | sum "is" ["not"] predicate | sum
    predicate  = "an" "integer" [within] | "a" "multiple" "of" sum [within]
               | "one" "of" value ("," value)* | text | "finite" | "infinite" | "missing"
    within     = "within" (number | number "relative" | number "and" number "relative")
    sum        = product (("+" | "-") product)*
    product    = unary (("*" | "/") unary)*
    unary      = "-" unary | power
    power      = primary ["^" unary]
    primary    = number | column | function "(" sum ("," sum)* ")" | "(" statement ")"

A chain such as ``Min <= AVG <= Max`` is two comparisons joined by ``and``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from flowmint.errors import RuleError, nearest
from flowmint.rules.language import (
    ARGUMENTS,
    BARE,
    KEYWORDS,
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
    State,
    Tolerance,
    When,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowmint.rules.language import Condition, Expression, Node, Operator, Relation

LONGEST = 20_000
"""How many characters a rule may have."""

MOST_PARTS = 250
"""How many operators, functions and comparisons a rule may have: evaluating it recurses over them."""

DEEPEST = 30
"""How many parentheses, signs and powers may stand inside one another."""

TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    rf"|(?P<word>{BARE.pattern})"
    r"|(?P<quoted>`(?:[^`\\]|\\.)*`)"
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<sign>\*\*|<=|>=|!=|==|[-+*/^=<>(),≤≥≠×·÷−])",
    re.DOTALL,
)
SIGNS = {"**": "^", "==": "=", "≤": "<=", "≥": ">=", "≠": "!=", "×": "*", "·": "*", "÷": "/", "−": "-"}
RELATIONS = frozenset({"=", "!=", "<=", ">=", "<", ">"})

Kind = Literal["number", "word", "quoted", "text", "sign", "end"]


@dataclass(frozen=True)
class _Token:
    kind: Kind
    text: str
    place: int


def parse_condition(text: str) -> Condition:
    """Read a rule's condition.

    Args:
        text: Such as ``Number * TCP is an integer`` or ``when TCP = 0 then syn_count = 0``. Names of columns with
            spaces or other signs stand between backquotes, as in a query of MySQL; texts between quotes.

    Returns:
        The condition.

    Raises:
        RuleError: It is none; the message shows where.
    """
    parser = _Parser(text)
    return parser.condition(parser.whole())


def parse_expression(text: str) -> Expression:
    """Read an expression, such as ``(Number - 1) * Variance``.

    Raises:
        RuleError: It is none; the message shows where.
    """
    parser = _Parser(text)
    return parser.expression(parser.whole())


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        message = f"a rule has {len(text):,} characters, at most {LONGEST:,} are allowed; write several rules"
        raise RuleError(message)
    tokens, place = [], 0
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None:
            what = "a quote that is not closed" if text[place] in "`\"'" else f"the character {text[place]!r}"
            raise _error(text, place, f"{what} has no meaning in a rule")
        if found.lastgroup != "space":
            piece = SIGNS.get(found[0], found[0]) if found.lastgroup == "sign" else found[0]
            tokens.append(_Token(cast("Kind", found.lastgroup), piece, place))
        place = found.end()
    return [*tokens, _Token("end", "", len(text))]


def _error(text: str, place: int, what: str) -> RuleError:
    before, after = text[max(0, place - 40) : place], text[place : place + 40]
    return RuleError(f"at character {place + 1}: {what}; here: {before}»{after}")


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


class _Parser:
    """Reads one text. What a method gives may be a condition or an expression: who needs one of them asks for it."""

    def __init__(self, text: object) -> None:
        if not isinstance(text, str):
            message = f"a rule is a {type(text).__name__}; give text such as 'Min <= Max'"
            raise RuleError(message)
        self.text = text
        self.tokens = _tokens(text)
        self.next = 0
        self.parts = 0
        self.depth = 0

    # --- helpers

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def peek(self, *texts: str) -> bool:
        """Tell whether the next tokens are these words or signs."""
        ahead = self.tokens[self.next : self.next + len(texts)]
        return [each.text for each in ahead] == list(texts) and all(each.kind in ("word", "sign") for each in ahead)

    def take(self, *texts: str) -> bool:
        """Step over these words or signs if they are next."""
        if not self.peek(*texts):
            return False
        self.next += len(texts)
        return True

    def need(self, *texts: str) -> None:
        """Step over these words or signs, or complain."""
        for text in texts:
            if not self.take(text):
                raise self.error(f"{self.told()} stands where {text!r} is needed")

    def ended(self) -> bool:
        return self.token.kind == "end"

    def told(self) -> str:
        return "the end" if self.ended() else repr(self.token.text[:40])

    def error(self, what: str, place: int | None = None) -> RuleError:
        return _error(self.text, self.token.place if place is None else place, what)

    def count(self) -> None:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise self.error(f"the rule has more than {MOST_PARTS} parts; write several rules, or use sum(...)")

    def inside(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} parentheses, signs or powers stand inside one another")

    def condition(self, node: Node, place: int = 0) -> Condition:
        if isinstance(node, Number | Column | Negate | Binary | Call):
            raise self.error("this is a value, where a condition such as 'Min <= Max' is needed", place)
        return node

    def expression(self, node: Node, place: int = 0) -> Expression:
        if isinstance(node, Number | Column | Negate | Binary | Call):
            return node
        raise self.error("this is a condition, where a value is needed", place)

    # --- conditions

    def whole(self) -> Node:
        if self.ended():
            message = "a rule is empty; give a condition such as 'Min <= Max'"
            raise RuleError(message)
        node = self.statement()
        if not self.ended():
            raise self.error(f"{self.told()} was not expected")
        return node

    def statement(self) -> Node:
        place = self.token.place
        if self.take("when"):
            self.count()
            condition = self.condition(self.either(), self.tokens[self.next - 1].place)
            self.need("then")
            place = self.token.place
            return When(condition, self.condition(self.statement_inside(), place))
        node = self.either()
        if not self.take("exactly", "when"):
            return node
        self.count()
        left, place = self.condition(node, place), self.token.place
        return Exactly(left, self.condition(self.either(), place))

    def statement_inside(self) -> Node:
        self.inside()
        node = self.statement()
        self.depth -= 1
        return node

    def either(self) -> Node:
        return self.joined("or", self.both)

    def both(self) -> Node:
        return self.joined("and", self.negation)

    def joined(self, word: Literal["and", "or"], part: Callable[[], Node]) -> Node:
        place = self.token.place
        node = part()
        if not self.peek(word):
            return node
        parts = [self.condition(node, place)]
        while self.take(word):
            self.count()
            place = self.token.place
            parts.append(self.condition(part(), place))
        return And(tuple(parts)) if word == "and" else Or(tuple(parts))

    def negation(self) -> Node:
        if not self.take("not"):
            return self.relation()
        self.count()
        self.inside()
        place = self.token.place
        node = Not(self.condition(self.negation(), place))
        self.depth -= 1
        return node

    def relation(self) -> Node:
        place = self.token.place
        node = self.sum()
        if self.token.kind == "sign" and self.token.text in RELATIONS:
            return self.comparison(self.expression(node, place))
        if self.take("is"):
            self.count()
            return self.predicate(self.expression(node, place))
        return node

    def comparison(self, left: Expression) -> Condition:
        sides, relations = [left], []
        while self.token.kind == "sign" and self.token.text in RELATIONS:
            self.count()
            relations.append(cast("Relation", self.token.text))
            self.next += 1
            place = self.token.place
            sides.append(self.expression(self.sum(), place))
        tolerance = self.within()
        parts = tuple(Compare(r, sides[i], sides[i + 1], tolerance) for i, r in enumerate(relations))
        return parts[0] if len(parts) == 1 else And(parts)

    def predicate(self, subject: Expression) -> Condition:
        negative = self.take("not")
        found = self.affirmed(subject)
        return Not(found) if negative else found

    def affirmed(self, subject: Expression) -> Condition:
        if self.take("an"):
            self.need("integer")
            return Multiple(subject, Number(1.0), self.within())
        if self.take("a"):
            self.need("multiple", "of")
            place = self.token.place
            return Multiple(subject, self.expression(self.sum(), place), self.within())
        if self.take("one"):
            self.need("of")
            return self.one_of(subject)
        if self.token.kind == "text":
            return self.one_of(subject)
        for state in get_args(State):
            if self.take(state):
                return Is(subject, state)
        choices = "'an integer', 'a multiple of', 'one of', 'finite', 'infinite', 'missing' or a text in quotes"
        raise self.error(f"{self.told()} stands after 'is', where one of {choices} is needed")

    def one_of(self, subject: Expression) -> Condition:
        place = self.token.place
        values: list[float | str] = [self.value()]
        while self.take(","):
            values.append(self.value())
        try:
            return OneOf(subject, cast("tuple[float, ...]", tuple(values)))
        except RuleError as error:
            raise self.error(str(error), place) from None

    def value(self) -> float | str:
        if self.token.kind == "text":
            self.next += 1
            return _unquote(self.tokens[self.next - 1].text)
        sign = -1.0 if self.take("-") else 1.0
        return sign * self.number()

    def within(self) -> Tolerance | None:
        if not self.take("within"):
            return None
        first = self.number()
        if self.take("relative"):
            return Tolerance(0.0, first)
        ahead = self.tokens[self.next : self.next + 3]
        if [ahead[0].text, ahead[-1].text] == ["and", "relative"] and ahead[1].kind == "number":
            self.next += 1
            second = self.number()
            self.need("relative")
            return Tolerance(first, second)
        return Tolerance(first)

    # --- expressions

    def sum(self) -> Node:
        return self.chain(("+", "-"), self.product)

    def product(self) -> Node:
        return self.chain(("*", "/"), self.unary)

    def chain(self, signs: tuple[Operator, ...], part: Callable[[], Node]) -> Node:
        place = self.token.place
        node = part()
        while self.token.kind == "sign" and self.token.text in signs:
            self.count()
            sign = self.token.text
            left = self.expression(node, place)
            self.next += 1
            place_right = self.token.place
            node = Binary(sign, left, self.expression(part(), place_right))
        return node

    def unary(self) -> Node:
        if not self.take("-"):
            return self.power()
        after = self.tokens[min(self.next + 1, len(self.tokens) - 1)]
        if self.token.kind == "number" and after.text != "^":
            return Number(-self.number())
        self.count()
        self.inside()
        place = self.token.place
        node = Negate(self.expression(self.unary(), place))
        self.depth -= 1
        return node

    def power(self) -> Node:
        place = self.token.place
        node = self.primary()
        if not self.take("^"):
            return node
        self.count()
        self.inside()
        base, place = self.expression(node, place), self.token.place
        node = Binary("^", base, self.expression(self.unary(), place))
        self.depth -= 1
        return node

    def primary(self) -> Node:
        token = self.token
        if token.kind == "number":
            return Number(self.number())
        if token.kind == "quoted":
            self.next += 1
            return Column(_unquote(token.text))
        if token.kind == "word" and self.tokens[self.next + 1].text == "(":
            return self.call()
        if token.kind == "word" and token.text not in KEYWORDS:
            self.next += 1
            return Column(token.text)
        if self.take("("):
            node = self.statement_inside()
            self.need(")")
            return node
        hint = "; a column of this name stands between backquotes" if token.kind == "word" else ""
        hint = "; texts are compared by 'is' or 'is one of'" if token.kind == "text" else hint
        raise self.error(f"{self.told()} stands where a value is needed{hint}")

    def call(self) -> Node:
        token = self.token
        if token.text not in ARGUMENTS:
            raise self.error(f"there is no function {token.text!r}; {nearest(token.text, ARGUMENTS)}")
        self.next += 2
        self.count()
        self.inside()
        arguments = []
        while True:
            place = self.token.place
            arguments.append(self.expression(self.sum(), place))
            if not self.take(","):
                break
        self.need(")")
        self.depth -= 1
        try:
            return Call(token.text, tuple(arguments))
        except RuleError as error:
            raise self.error(str(error), token.place) from None

    def number(self) -> float:
        token = self.token
        if token.kind != "number":
            raise self.error(f"{self.told()} stands where a number is needed")
        self.next += 1
        try:
            return Number(float(token.text)).value
        except RuleError as error:
            raise self.error(str(error), token.place) from None
