"""What follows from other rules is left out, so that what remains can be read.

A rule that holds for any data of its kind is never left out for one that is particular to the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.language import (
    Binary,
    Call,
    Column,
    Compare,
    Exactly,
    Multiple,
    Number,
    OneOf,
    When,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.rules.discover.evidence import Finding
    from flowmint.rules.discover.training import Training
    from flowmint.rules.language import Condition, Expression


def without_implied_lattices(lattices: Sequence[Finding], products: Sequence[Finding]) -> list[Finding]:
    """Leave out ``S * B is an integer`` where ``T = S * B`` and ``T is an integer`` say it.

    Args:
        lattices: Lattices.
        products: Products.

    Returns:
        The lattices that are needed.
    """
    whole = {f.columns[0] for f in lattices if isinstance(f.condition, Multiple) and len(f.columns) == 1}
    exact = [f.condition for f in products if not f.particular and f.target in whole]
    made: set[frozenset[Expression]] = {
        frozenset((c.right.left, c.right.right))
        for c in exact
        if isinstance(c, Compare) and isinstance(c.right, Binary) and c.right.operator == "*"
    }
    return [finding for finding in lattices if not _is_made(finding.condition, made)]


def _is_made(condition: Condition, made: set[frozenset[Expression]]) -> bool:
    if not isinstance(condition, Multiple) or condition.step != Number(1) or not isinstance(condition.operand, Binary):
        return False
    return frozenset((condition.operand.left, condition.operand.right)) in made


def parts_of_sums(sums: Sequence[Finding], training: Training) -> set[tuple[str, str]]:
    """List pairs (part, total) of sums of columns that are never negative: the part is at most the total.

    Args:
        sums: Equalities between a column and a sum of others.
        training: The rows.

    Returns:
        The pairs.
    """
    pairs = set()
    for finding in sums:
        match finding.condition:
            case Compare("=" | ">=", Column(total), right) | Compare("<=", right, Column(total)):
                parts = _added(right)
                if parts and all(np.nanmin(training.at(name)) >= 0 for name in parts):
                    pairs |= {(name, total) for name in parts}
    return pairs


def _added(expression: object) -> list[str]:
    """List the columns of a plain sum; nothing if it is no plain sum."""
    match expression:
        case Column(name):
            return [name]
        case Call("sum", arguments):
            lists = [_added(argument) for argument in arguments]
        case Binary("+", left, right):
            lists = [_added(left), _added(right)]
        case _:
            return []
    return [name for names in lists for name in names] if all(lists) else []


def without_implied_meetings(meetings: Sequence[Finding], sums: Sequence[Finding]) -> list[Finding]:
    """Leave out meetings of a column and its total: the rest of a sum is 0 there by arithmetic."""
    return [m for m in meetings if not any(set(m.columns) <= set(s.columns) for s in sums)]


@dataclass(frozen=True)
class _Step:
    """``when column is one of names then`` a consequence holds."""

    column: str
    names: frozenset[str]
    consequence: Condition
    particular: bool


def without_chains(findings: Sequence[Finding], zeros: Sequence[Finding]) -> list[Finding]:
    """Leave out what follows from a category in two steps.

    ``when service is "dns" then rtt = 0`` follows from ``when service is "dns" then proto is "udp"`` and ``when proto
    is "udp" then rtt = 0``, or from ``when service is "dns" then synack = 0`` and ``when synack = 0 then rtt = 0``.

    Args:
        findings: Dependencies and values of categories.
        zeros: Implications between zeros.

    Returns:
        Those that are needed.
    """
    implied = [pair for finding in zeros if not finding.particular for pair in _zero_pairs(finding.condition)]
    steps = {index: _step(finding) for index, finding in enumerate(findings)}
    for index in sorted(steps, key=lambda i: (not findings[i].particular, i)):
        step = steps.pop(index)
        proofs = [s for s in steps.values() if step.particular or not s.particular]
        if not (_through_category(step, proofs) or _through_zero(step, proofs, implied)):
            steps[index] = step
    return [finding for index, finding in enumerate(findings) if index in steps]


def _step(finding: Finding) -> _Step:
    condition = finding.condition
    assert isinstance(condition, When)  # noqa: S101 - that is how the searches write them
    premise = condition.condition
    assert isinstance(premise, OneOf)  # noqa: S101
    names = frozenset(str(value) for value in premise.values)
    return _Step(finding.columns[0], names, condition.consequence, finding.particular)


def _through_category(step: _Step, proofs: Sequence[_Step]) -> bool:
    for first in proofs:
        if first.column == step.column and first.names >= step.names and isinstance(first.consequence, OneOf):
            middle = first.consequence
            wanted = frozenset(str(value) for value in middle.values)
            if any(
                isinstance(middle.operand, Column)
                and second.column == middle.operand.name
                and second.names >= wanted
                and second.consequence == step.consequence
                for second in proofs
            ):
                return True
    return False


def _through_zero(step: _Step, proofs: Sequence[_Step], implied: Sequence[tuple[Condition, Condition]]) -> bool:
    causes = [cause for cause, consequence in implied if consequence == step.consequence]
    return any(
        proof.column == step.column and proof.names >= step.names and proof.consequence in causes for proof in proofs
    )


def _zero_pairs(condition: Condition) -> list[tuple[Condition, Condition]]:
    """List (cause, consequence) of an implication between zeros."""
    match condition:
        case When(cause, consequence):
            return [(cause, consequence)]
        case Exactly(one, other):
            return [(other, one), (one, other)]
        case _:
            return []
