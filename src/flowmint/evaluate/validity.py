"""Validity: the share of rows that satisfy every rule, as they are delivered and before anything was repaired."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowmint.evaluate.scores import ColumnValue, Definition
from flowmint.generators.adherence import tell_origin
from flowmint.generators.validity import AUTO, NONE, find_rules, named_rules
from flowmint.rules.ruleset import Rules

if TYPE_CHECKING:
    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Rows
    from flowmint.progress import Progress
    from flowmint.rules.check import Report

VALID = Definition(
    name="valid_rows",
    title="Valid rows",
    family="validity",
    lowest=0.0,
    highest=1.0,
    better="higher",
    description="Share of minted rows that satisfy every rule.",
    source="counted",
)
BEFORE = Definition(
    name="valid_rows_before_repair",
    title="Valid rows before repair",
    family="validity",
    lowest=0.0,
    highest=1.0,
    better="higher",
    description="Share of rows that satisfy every rule as the generator decodes them, before any is repaired.",
    source="counted",
)

DEFINITIONS = (VALID, BEFORE)


@dataclass(frozen=True, kw_only=True)
class Standard:
    """The rules by which rows are counted as valid.

    Attributes:
        rules: The rules; none where there is nothing to check.
        about: Where they come from, or why there are none; empty for rules that were given as they are.
    """

    rules: Rules = field(default_factory=lambda: Rules(()))
    about: str = "there are no rules to check; give them"

    @property
    def note(self) -> tuple[str, ...]:
        """What a reader must know about the rules, if there are any."""
        return (f"valid rows satisfy every one of these rules: {self.about}",) if len(self.rules) and self.about else ()


def choose_standard(wanted: str | Rules | None, *, real: Rows, train: Rows | None, progress: Progress) -> Standard:
    """Choose the rules to check rows by.

    Rules are sought in training rows alone: rules of the rows to be judged would be satisfied by them.

    Args:
        wanted: Rules; None or ``none``; ``auto`` for those of the extractor that the header tells and those that
            the training rows show; else a rules file or the name of a profile.
        real: Real held-out rows, for their header.
        train: Real training rows.
        progress: Told of the search.

    Returns:
        The rules with where they come from, or why there are none.

    Raises:
        RuleError: There are no such rules.
    """
    if wanted is None or wanted == NONE:
        return Standard()
    if isinstance(wanted, Rules):
        return Standard(rules=wanted, about="" if len(wanted) else Standard.about)
    if wanted != AUTO:
        rules = named_rules(wanted)
        return Standard(rules=rules, about=f"{len(rules):,} of {wanted}")
    rules, absent = _find(real=real, train=train, progress=progress)
    return Standard(rules=rules, about=tell_origin(rules, real.table.columns) if len(rules) else absent)


def _find(*, real: Rows, train: Rows | None, progress: Progress) -> tuple[Rules, str]:
    """Find the rules of training rows, or of the extractor alone, and tell why there may be none."""
    unknown = "the header is of no known extractor, and"
    if train is not None:
        return find_rules(train.table, train.classes, progress=progress), f"{unknown} the training rows show no rules"
    profile = Rules.recognise(real.table.columns)
    rules = Rules(()) if profile is None else profile.fitting(real.table)
    return rules, f"{unknown} there are no training rows to find rules in; give them, or rules"


def validity_scores(standard: Standard, *, real: Rows, minted: Rows, unrepaired: Rows | None) -> tuple[Score, ...]:
    """Compute every score of the family, on all the rows there are: shares of them need no equal numbers.

    Args:
        standard: The rules.
        real: Real held-out rows, with all columns.
        minted: Minted rows as they are delivered.
        unrepaired: Minted rows from before repair.

    Returns:
        The scores; their parts are the rules that any row breaks.

    Raises:
        RuleError: The rules do not fit the tables.
    """
    rules = standard.rules
    if not len(rules):
        return tuple(definition.absent(standard.about) for definition in DEFINITIONS)
    reference = _check(rules, real)
    before = BEFORE.absent("there are no rows from before repair; a generator's sample(repair=False) gives them")
    if unrepaired is not None:
        before = _score(BEFORE, _check(rules, unrepaired), reference)
    return _score(VALID, _check(rules, minted), reference), before


def _check(rules: Rules, rows: Rows) -> Report:
    return rules.check(rows.table, label=rows.classes)


def _score(definition: Definition, minted: Report, real: Report) -> Score:
    """Make a score of two checks, with the rules that any row breaks as its parts."""
    shares = {each.rule.name: each.share for each in real.rules}
    parts = tuple(
        ColumnValue((each.rule.name,), each.share, shares[each.rule.name])
        for each in minted.rules
        if each.broken or shares[each.rule.name] < 1
    )
    return definition.of(minted.share, real.share, per_column=parts)
