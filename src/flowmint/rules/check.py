"""What checking a table tells: which rows break which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from flowmint.rules.evaluate import Columns, TextColumn, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flowmint.rules.evaluate import Booleans
    from flowmint.rules.language import Rule

Done: TypeAlias = "Callable[[int], None]"

PIECE = 1 << 14
"""Rows that are computed on at once: a few columns of them fit a core's cache."""

EXAMPLES = 5
"""How many broken rows a report names for each rule."""


@dataclass(frozen=True, kw_only=True)
class RuleReport:
    """What checking tells of one rule.

    Attributes:
        rule: The rule.
        rows: How many rows it is about: all, or those of its classes.
        broken: How many of them break it.
        examples: Positions of the first rows that break it, counted from 0.
    """

    rule: Rule
    rows: int
    broken: int
    examples: tuple[int, ...]

    @property
    def share(self) -> float:
        """The share of the rows that do not break it; 1 where there are none."""
        return 1.0 - self.broken / self.rows if self.rows else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What checking a table tells.

    Attributes:
        holds: For each row and rule, False where the row breaks it [rows, rules]; a rule that is not applicable to a
            row, because of a class, a missing or an infinite value, is not broken.
        rules: What is told of each rule, in the rules' order.
        unjudged: The rules about single classes that were left out because no label was given.
    """

    holds: Booleans
    rules: tuple[RuleReport, ...]
    unjudged: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows were checked."""
        return len(self.holds)

    @property
    def valid(self) -> Booleans:
        """The rows that break no rule [rows]."""
        return np.asarray(self.holds.all(axis=1))

    @property
    def share(self) -> float:
        """The share of valid rows; 1 for an empty table."""
        return float(self.valid.mean()) if self.rows else 1.0

    @property
    def broken(self) -> tuple[RuleReport, ...]:
        """The rules that any row breaks, the most broken first."""
        return tuple(sorted((each for each in self.rules if each.broken), key=lambda each: -each.broken))

    def to_json(self) -> dict[str, Any]:
        """Describe the report in JSON."""
        return {
            "rows": self.rows,
            "valid": int(self.valid.sum()),
            "share": self.share,
            "rules": [
                {
                    "name": each.rule.name,
                    "rule": each.rule.text,
                    "why": each.rule.why,
                    "rows": each.rows,
                    "broken": each.broken,
                    "share": each.share,
                    "examples": list(each.examples),
                }
                for each in self.rules
            ],
            "unjudged": list(self.unjudged),
        }


class Tally:
    """What checking tells of a table that comes batch by batch.

    Attributes:
        rows: How many rows were checked.
        invalid: How many of them break any rule.
    """

    def __init__(self) -> None:
        self.rows = self.invalid = 0
        self._told: tuple[RuleReport, ...] = ()

    def add(self, report: Report) -> None:
        """Count a batch, the rules being the same each time."""
        batch = Tally()
        batch.rows, batch.invalid, batch._told = report.rows, int((~report.valid).sum()), report.rules
        self.merge(batch)

    def merge(self, other: Tally) -> None:
        """Count what another counted of the rows that follow, by the same rules."""
        nothing = tuple(RuleReport(rule=each.rule, rows=0, broken=0, examples=()) for each in other._told)
        if other._told:
            self._told = tuple(
                RuleReport(
                    rule=new.rule,
                    rows=old.rows + new.rows,
                    broken=old.broken + new.broken,
                    examples=(*old.examples, *(self.rows + row for row in new.examples))[:EXAMPLES],
                )
                for old, new in zip(self._told or nothing, other._told, strict=True)
            )
        self.rows += other.rows
        self.invalid += other.invalid

    @property
    def broken(self) -> tuple[RuleReport, ...]:
        """The rules that any row breaks, the most broken first."""
        return tuple(sorted((each for each in self._told if each.broken), key=lambda each: -each.broken))


def judge_rows(
    rules: Sequence[Rule], columns: Columns, classes: Mapping[str, Booleans] | None, done: Done | None = None
) -> Booleans:
    """Tell for each row and rule whether the rule is not broken.

    Args:
        rules: The rules.
        columns: The columns that they speak of.
        classes: For each class that a rule names, which rows are of it [rows]; None leaves such rules out.
        done: Told how many rows are done, each time that some are.

    Returns:
        Truth values [rows, rules].
    """
    holds = np.ones((columns.rows, len(rules)), dtype=bool, order="F")
    for rows in pieces_of(columns.rows):
        piece = piece_of(columns, rows)
        for index, rule in enumerate(rules):
            broken = _broken(rule, piece, classes, rows)
            if broken is not None:
                holds[rows, index] = ~broken
        if done is not None:
            done(piece.rows)
    return holds


def valid_rows(
    rules: Sequence[Rule], columns: Columns, classes: Mapping[str, Booleans] | None, done: Done | None = None
) -> Booleans:
    """Tell for each row whether it breaks no rule [rows]; arguments are those of `judge_rows`.

    Rows that break one rule are not asked about the others, once they are the most of those asked. So the rules that
    most rows of a piece broke come first for the next one.
    """
    valid = np.zeros(columns.rows, dtype=bool)
    broke = [0] * len(rules)
    for rows in pieces_of(columns.rows):
        asked, piece = np.arange(rows.start, rows.stop), piece_of(columns, rows)
        holds = np.ones(piece.rows, dtype=bool)
        for index in sorted(range(len(rules)), key=lambda index: -broke[index]):
            broken = _broken(rules[index], piece, classes, asked)
            if broken is None:
                continue
            broke[index] = int(np.count_nonzero(broken))
            holds &= ~broken
            if 2 * np.count_nonzero(holds) < len(holds):
                left = np.flatnonzero(holds)
                asked, piece, holds = asked[left], piece_of(piece, left), np.ones(len(left), dtype=bool)
        valid[asked[holds]] = True
        if done is not None:
            done(rows.stop - rows.start)
    return valid


def _broken(
    rule: Rule, piece: Columns, classes: Mapping[str, Booleans] | None, rows: slice | np.ndarray
) -> Booleans | None:
    """Tell which rows of a piece break a rule; None where it is about none of them.

    Args:
        rule: The rule.
        piece: The rows' columns.
        classes: Which rows of the table are of each class.
        rows: Where the rows are in the table.
    """
    if not rule.classes:
        return judge(rule.condition, piece).broken
    if classes is None:
        return None
    own = np.logical_or.reduce([classes[name][rows] for name in rule.classes])
    return judge(rule.condition, piece).broken & own if own.any() else None


def pieces_of(rows: int) -> Iterator[slice]:
    """Cut rows into pieces to compute on at once.

    Pieces go one after the other, not in threads: each step on one takes some microseconds, and Python's lock would
    change hands between any two.

    Args:
        rows: How many rows there are.

    Yields:
        Pieces of `PIECE` rows, the last of what is left.
    """
    for start in range(0, rows, PIECE):
        yield slice(start, min(start + PIECE, rows))


def piece_of(columns: Columns, rows: slice | np.ndarray) -> Columns:
    """Take some rows of columns, by a slice or by their positions."""
    size = len(range(*rows.indices(columns.rows))) if isinstance(rows, slice) else len(rows)
    return Columns(
        {name: values[rows] for name, values in columns.numbers.items()},
        {name: TextColumn(text.codes[rows], text.names) for name, text in columns.texts.items()},
        size,
    )
