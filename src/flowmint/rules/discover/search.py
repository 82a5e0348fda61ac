"""All searches one after another, and the rules that remain when what follows from others is left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flowmint.flows.frames import to_polars
from flowmint.progress import SILENT
from flowmint.rules.check import piece_of, pieces_of
from flowmint.rules.discover import prune
from flowmint.rules.discover.bounds import find_bounds, find_constants
from flowmint.rules.discover.categories import find_category_values, find_dependencies
from flowmint.rules.discover.equalities import find_pairs, find_sums, representatives
from flowmint.rules.discover.evidence import LEAST_ROWS, MOST_BROKEN, slack_of
from flowmint.rules.discover.lattices import find_lattices
from flowmint.rules.discover.orderings import (
    find_meetings,
    find_orderings,
    find_products_above_one,
    find_proportions,
    order_parts,
    reduce_orderings,
)
from flowmint.rules.discover.products import find_products
from flowmint.rules.discover.training import Training, to_columns
from flowmint.rules.discover.zeros import find_zeros
from flowmint.rules.evaluate import judge
from flowmint.rules.language import Compare, Evidence, Rule, When
from flowmint.rules.table import columns_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import polars as pl

    from flowmint.flows.frames import Native
    from flowmint.progress import Progress, Stage
    from flowmint.rules.discover.evidence import Finding, Kind
    from flowmint.rules.evaluate import Columns
    from flowmint.rules.language import Condition

SEARCHES = 4

WHY: dict[Kind, str] = {
    "constant": "the column never changes",
    "equal": "two columns are equal",
    "linear": "one column follows from another",
    "sum": "a sum of columns",
    "product": "a product, ratio or square of columns",
    "lattice": "multiples of a step",
    "order": "one column bounds another",
    "bound": "the values that occur",
    "zero": "one zero follows from another",
    "category": "a value follows from a category",
    "dependency": "a category follows from another",
}


def discover(table: Native, *, label: str | None = None, progress: Progress = SILENT) -> tuple[Rule, ...]:
    """Find the rules that the rows of a table satisfy.

    Give training rows only: what is learnt from test rows leaks. A rule is broken by at most one row in a thousand, and
    its chance of being luck is bounded over all candidates that were tried; see `flowmint.rules.discover.evidence`.
    Rows with a NaN, an infinity or an empty cell say nothing about rules of that column.

    Args:
        table: Rows: a pandas, Polars or Arrow frame, or a NumPy array of numbers.
        label: Name of the column of classes, which the rules do not speak of. With it, relations that the classes feign
            are told from those that hold within classes.
        progress: Told of each search.

    Returns:
        The rules, each with its evidence: equalities first, then lattices, inequalities, implications and bounds. None
        where there are fewer than `LEAST_ROWS` different rows.

    Raises:
        TableError: It is no usable frame.
        LabelError: The label column is absent or has empty cells.
    """
    given = to_polars(table)
    training = Training.of(given, label=label)
    if training.rows < LEAST_ROWS:
        return ()
    with np.errstate(all="ignore"), progress.stage("discovering rules", total=SEARCHES, unit="searches") as stage:
        findings = _search(training, stage)
        columns = to_columns(given.drop(label) if label else given)
        rules = (
            _rule(name, finding, columns, training.rows)
            for name, finding in zip(_names(findings), findings, strict=True)
        )
        return tuple(rule for rule in rules if rule.evidence and rule.evidence.share >= 1 - MOST_BROKEN)


def _search(training: Training, stage: Stage) -> list[Finding]:
    pairs = find_pairs(training)
    names = representatives(training.names, pairs)
    sums = find_sums(training, names)
    products = find_products(training, names)
    stage.advance(1)
    lattices = prune.without_implied_lattices(find_lattices(training, names), products)
    stage.advance(1)
    follow = {finding.target for finding in products}
    free = tuple(name for name in names if name not in follow)
    inequalities, zeros = _inequalities(training, free, sums)
    stage.advance(1)
    categories = [*find_dependencies(training), *find_category_values(training, free)]
    categories = prune.without_chains(categories, zeros)
    bounds = [finding for finding in find_bounds(training) if set(finding.columns) <= {*names, *training.texts}]
    stage.advance(1)
    constants = find_constants(training)
    return [*constants, *pairs, *sums, *products, *lattices, *inequalities, *zeros, *categories, *bounds]


def _inequalities(
    training: Training, names: tuple[str, ...], sums: list[Finding]
) -> tuple[list[Finding], list[Finding]]:
    """Find inequalities, and the zeros that do not follow from them."""
    sure = [finding for finding in sums if not finding.particular]
    known, maybe = prune.parts_of_sums(sure, training), prune.parts_of_sums(sums, training)
    found = find_orderings(training, names)
    orderings = found + find_proportions(training, names)
    kept = [each for each in reduce_orderings(orderings) if each.columns not in (maybe if each.particular else known)]
    implied = known | {order_parts(finding)[:2] for finding in orderings if not finding.particular}
    meetings = prune.without_implied_meetings(find_meetings(training, found, names), sums)
    return [*kept, *find_products_above_one(training, names)], [*meetings, *find_zeros(training, names, implied)]


def _names(findings: list[Finding]) -> Iterator[str]:
    """Name each rule by its kind and columns; a second one of the same columns gets a number."""
    seen: dict[str, int] = {}
    for finding in findings:
        name = f"{finding.kind}: {', '.join(finding.columns)}"
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def _rule(name: str, finding: Finding, columns: Columns, searched: int) -> Rule:
    """Count a finding in all rows."""
    counted = Count.of(finding.condition, columns)
    evidence = counted.evidence(particular=finding.particular)
    return Rule(name=name, condition=finding.condition, why=_why(finding, searched), evidence=evidence)


@dataclass(frozen=True)
class Count:
    """What rows say of a condition.

    Attributes:
        rows: How many rows it is applicable to, its ``when`` part fulfilled.
        broken: How many of them break it.
        slack: See `flowmint.rules.discover.evidence.slack_of`.
    """

    rows: int = 0
    broken: int = 0
    slack: float | None = None

    @classmethod
    def of(cls, condition: Condition, columns: Columns) -> Count:
        """Count rows."""
        verdict = judge(condition, columns)
        applicable = np.ones(columns.rows, dtype=bool) if verdict.applicable is None else verdict.applicable
        if isinstance(condition, When):
            applicable = applicable & judge(condition.condition, columns).holds
        return cls(int(applicable.sum()), int(verdict.broken.sum()), slack_of(condition, columns))

    def plus(self, other: Count, condition: Condition) -> Count:
        """Count the rows of both."""
        slacks = [slack for slack in (self.slack, other.slack) if slack is not None]
        widest = isinstance(condition, Compare) and condition.relation == "="
        slack = (max(slacks) if widest else min(slacks)) if slacks else None
        return Count(self.rows + other.rows, self.broken + other.broken, slack)

    def evidence(self, *, particular: bool) -> Evidence:
        """Tell what a rule rests on.

        Args:
            particular: Whether it may be a matter of this table for other reasons than that rows break it.
        """
        share = 1 - self.broken / max(self.rows, 1)
        return Evidence(rows=self.rows, share=share, slack=self.slack, particular=particular or self.broken > 0)


class Recount:
    """Counts rules that some rows of a table show in all of its rows, batch by batch.

    Args:
        rules: Rules with evidence, see `discover`.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._counts = [(rule, Count()) for rule in rules]

    def add(self, table: pl.DataFrame) -> None:
        """Count a batch [rows, columns]."""
        columns = columns_for([rule for rule, _ in self._counts], table)
        for rows in pieces_of(table.height):
            piece = piece_of(columns, rows)
            with np.errstate(all="ignore"):
                self._counts = [
                    (rule, count.plus(Count.of(rule.condition, piece), rule.condition)) for rule, count in self._counts
                ]

    def merge(self, other: Recount) -> None:
        """Count what another counted of other rows, by the same rules."""
        self._counts = [
            (rule, count.plus(more, rule.condition))
            for (rule, count), (_, more) in zip(self._counts, other._counts, strict=True)
        ]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that at most `MOST_BROKEN` of all applicable rows break, with what all rows say of them."""
        counted = [
            replace(rule, evidence=count.evidence(particular=rule.evidence is not None and rule.evidence.particular))
            for rule, count in self._counts
        ]
        return tuple(rule for rule in counted if rule.evidence and rule.evidence.share >= 1 - MOST_BROKEN)


def _why(finding: Finding, rows: int) -> str:
    chance = f"; by chance {finding.expected:,.0f} of {rows:,} rows would break it" if finding.expected else ""
    return f"found in the data: {WHY[finding.kind]}{chance}"
