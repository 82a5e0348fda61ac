"""All searches one after another, and the rules that remain when what follows from others is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowmint.flows.frames import to_polars
from flowmint.progress import SILENT
from flowmint.rules.discover.bounds import find_bounds, find_constants
from flowmint.rules.discover.categories import find_category_values, find_dependencies
from flowmint.rules.discover.equalities import find_pairs, find_sums, representatives
from flowmint.rules.discover.evidence import LEAST_ROWS, slack_of
from flowmint.rules.discover.lattices import find_lattices
from flowmint.rules.discover.orderings import (
    find_meetings,
    find_orderings,
    find_products_above_one,
    find_proportions,
    reduce_orderings,
)
from flowmint.rules.discover.products import find_products
from flowmint.rules.discover.training import Training
from flowmint.rules.discover.zeros import find_zeros
from flowmint.rules.evaluate import judge
from flowmint.rules.language import Evidence, Rule, When

if TYPE_CHECKING:
    from flowmint.flows.frames import Native
    from flowmint.progress import Progress
    from flowmint.rules.discover.evidence import Finding

def discover(table: Native, *, label: str | None = None, progress: Progress = SILENT) -> tuple[Rule, ...]:
    """Find the rules that the rows of a table satisfy."""
    training = Training.of(to_polars(table), label=label)
    if training.rows < LEAST_ROWS:
        return ()
    import time
    T=time.perf_counter()
    def lap(n):
        nonlocal T
        print(f"{n} {time.perf_counter()-T:.2f}"); T=time.perf_counter()
    pairs = find_pairs(training); lap("pairs")
    names = representatives(training.names, pairs)
    sums = find_sums(training, names); lap("sums")
    products = find_products(training, names); lap("products")
    derived = {finding.target for finding in products}
    free = tuple(name for name in names if name not in derived)
    lattices = find_lattices(training, names); lap("lattices")
    orderings = find_orderings(training, free); lap("orderings")
    proportions = find_proportions(training, free); lap("proportions")
    above = find_products_above_one(training, free); lap("above")
    meetings = find_meetings(training, orderings, free); lap("meetings")
    zeros = find_zeros(training, free, [f.columns for f in [*orderings, *proportions]]); lap("zeros")
    dependencies = find_dependencies(training); lap("deps")
    values = find_category_values(training, names); lap("catvalues")
    found = [*find_constants(training), *pairs, *sums, *products, *lattices, *reduce_orderings([*orderings, *proportions]),
      *above, *meetings, *zeros, *dependencies, *values, *find_bounds(training)]
    out = _rules(found, training); lap("rules")
    return out


def _rules(found: list[Finding], training: Training) -> tuple[Rule, ...]:
    rules = []
    for number, finding in enumerate(found):
        verdict = judge(finding.condition, training.columns)
        applicable = np.ones(training.rows, bool) if verdict.applicable is None else verdict.applicable
        if isinstance(finding.condition, When):
            applicable = applicable & judge(finding.condition.condition, training.columns).holds
        rows = int(training.weights[applicable].sum())
        broken = int(training.weights[verdict.broken].sum())
        evidence = Evidence(rows=rows, share=1 - broken / max(rows, 1), slack=slack_of(finding.condition, training), particular=finding.particular)
        rules.append(Rule(name=f"{finding.kind}_{number}", condition=finding.condition, why=f"expected {finding.expected:.0f}", evidence=evidence))
    return tuple(rules)
