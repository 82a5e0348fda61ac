"""Validity: the share of rows that satisfy every rule, as they are delivered and before anything was repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.evaluate.scores import ColumnValue, Definition

if TYPE_CHECKING:
    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Rows
    from flowmint.rules.check import Report
    from flowmint.rules.ruleset import Rules

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


def validity_scores(rules: Rules | None, *, real: Rows, minted: Rows, unrepaired: Rows | None) -> tuple[Score, ...]:
    """Compute every score of the family, on all the rows there are: shares of them need no equal numbers.

    Args:
        rules: The rules; None if there are none to check.
        real: Real held-out rows, with all columns.
        minted: Minted rows as they are delivered.
        unrepaired: Minted rows from before repair.

    Returns:
        The scores; their parts are the rules that any row breaks.

    Raises:
        RuleError: The rules do not fit the tables.
    """
    if rules is None or not len(rules):
        return tuple(definition.absent("there are no rules to check; give them") for definition in DEFINITIONS)
    reference = _check(rules, real)
    before = BEFORE.absent("there are no rows from before repair; give them")
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
