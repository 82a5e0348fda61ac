"""Rules that no row can satisfy together, found by interval propagation and reduced to the few that clash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.algebra import plan_of
from flowmint.rules.evaluate import Columns, evaluate
from flowmint.rules.intervals import surely_false
from flowmint.rules.language import LATTICE_SHARE, Column, OneOf
from flowmint.rules.solve import Solver
from flowmint.rules.table import uses_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.rules.algebra import Lattice
    from flowmint.rules.intervals import Box
    from flowmint.rules.language import Condition, Rule

SLACK = 1e-6
"""By which share of their size bounds may cross without counting as a clash: the rules have tolerances."""


def find_clash(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Find rules that contradict one another for every row, or for every row of one class.

    What interval propagation does not see, such as two equations that differ by a constant, is not found.

    Args:
        rules: The rules.

    Returns:
        Rules of which none can be spared: without any one of them, the others no longer clash. Empty if none do.
    """
    named = sorted({name for rule in rules for name in rule.classes})
    for name in (None, *named):
        about = [rule for rule in rules if not rule.classes or name in rule.classes]
        if (name is None or any(rule.classes for rule in about)) and _clash(about):
            return _fewest(about)
    return ()


def _clash(rules: Sequence[Rule]) -> bool:
    """Tell whether propagation leaves some column no value."""
    numbers, texts = uses_of(rules)
    everywhere = [replace(rule, classes=()) for rule in rules]
    solver = Solver(plan_of(everywhere, [name for name in numbers if name not in texts]))
    box = solver.start
    for low, high in box.intervals.values():
        room = SLACK * (1.0 + min(abs(float(low)), abs(float(high))))
        if float(low) > float(high) + room:
            return True
    always = [each.atom for each in solver.constraints if not each.guards]
    with np.errstate(all="ignore"):
        if any(bool(np.all(surely_false(atom, box))) or _nothing_listed(atom, box) for atom in always):
            return True
    lattices = (lattice for found in solver.plan.lattices.values() for lattice in found)
    return any(_no_point(lattice, box) for lattice in lattices if not lattice.columns)


def _nothing_listed(atom: Condition, box: Box) -> bool:
    """Tell whether none of the values that a column may have is within its bounds."""
    if not isinstance(atom, OneOf) or not isinstance(atom.operand, Column) or isinstance(atom.values[0], str):
        return False
    low, high = (float(bound) for bound in box.of(atom.operand.name))
    return not any(low - SLACK <= float(value) <= high + SLACK for value in atom.values)


def _no_point(lattice: Lattice, box: Box) -> bool:
    """Tell whether a lattice of plain numbers has no point within the bounds of its column."""
    none = Columns({}, {}, 1)
    step, offset = abs(float(evaluate(lattice.step, none)[0])), float(evaluate(lattice.offset, none)[0])
    low, high = (float(bound) for bound in box.of(lattice.column))
    if not step or not np.isfinite([step, offset, low, high]).all():
        return False
    return bool(np.ceil((low - offset) / step - LATTICE_SHARE) > np.floor((high - offset) / step + LATTICE_SHARE))


def _fewest(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Remove rules, first in large parts, as long as the rest still clashes (Zeller's delta debugging, 1999)."""
    kept = list(rules)
    size = len(kept)
    while size >= 1:
        start = 0
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if rest and _clash(rest):
                kept = rest
            else:
                start += size
        size //= 2
    return tuple(kept)
