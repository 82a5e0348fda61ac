"""The evidence for a rule: could it hold by chance?

A rule that nothing could break is no rule, and among many thousand candidates some hold by luck. So each candidate is
held against a *null hypothesis of independence*: each of its columns in turn is permuted, and the rows that the
candidate would then break are counted. The column with which it breaks least gives ``expected``. The rule is accepted
where

- it is broken in at most `MOST_BROKEN` of the applicable rows, and in at most `MOST_OF_CHANCE` of ``expected``;
- the chance of so few broken rows is below `FALSE_RULES`, after a Bonferroni correction over all candidates that the
  search tried. Under the null hypothesis a broken row is as likely among the real rows as among the permuted ones, so
  that this is a sign test: ``2^−expected`` where no real row breaks the rule. With 1,000 candidates at least 17 rows
  must have been able to. Where ``expected`` is computed and not drawn, the Poisson distribution gives the chance,
  ``exp(−expected)`` for none, an upper bound because broken rows of a permutation are negatively associated (Joag-Dev &
  Proschan 1983, theorem 2.11).

Inequalities and implications are permuted *within classes*: two columns that differ between the classes look related in
every pooled table, and the relation is gone in the next capture. Equalities and lattices are so precise that classes do
not feign them, and are permuted in the whole table; one that says nothing within classes counts as particular.

Copies of a row are counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import binom, poisson

from flowmint.rules.evaluate import evaluate, judge
from flowmint.rules.language import Compare, columns_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.rules.discover.training import Codes, Training
    from flowmint.rules.evaluate import Columns, Floats
    from flowmint.rules.language import Condition

MOST_BROKEN = 0.001
"""Share of the applicable rows that may break a rule: real files hold some damaged rows."""

MOST_OF_CHANCE = 0.01
"""Broken rows, as a share of those that chance would break."""

FALSE_RULES = 0.01
"""Bound on the chance that a search accepts any false rule."""

LEAST_CLASSES = 3
"""In fewer classes a rule may be a matter of how these were captured."""

LEAST_OF_CLASS = 5.0
"""Rows of a class that chance must be expected to break, for the class to bear a rule out (the least expected count of
Cochran 1954); none of them does by chance in e^−5 = 0.7 % of cases."""

LEAST_ROWS = 20
"""Fewest applicable rows. By the rule of three, n rows without exception bound the rate of exceptions by 3/n."""

Kind = Literal[
    "constant", "equal", "linear", "sum", "product", "lattice", "order", "bound", "zero", "category", "dependency"
]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A condition that the training rows satisfy, and how well.

    Attributes:
        kind: The search that found it.
        condition: The condition.
        target: The column that follows from the others, where it is an equality.
        expected: How many rows would break it if a column were independent of the others; 0 where the condition is
            about one column.
        particular: Whether it may be a matter of this data set.
    """

    kind: Kind
    condition: Condition
    target: str = ""
    expected: float = 0.0
    particular: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it speaks of."""
        return columns_of(self.condition)


@dataclass(frozen=True)
class Outcome:
    """How a condition fares on the training rows.

    Attributes:
        applicable: Rows about which it says anything.
        broken: Those among them that break it.
        expected: How many would break it by chance.
        classes: In how many classes chance would break it at least `LEAST_OF_CLASS` times.
    """

    applicable: int
    broken: int
    expected: float
    classes: int

    def passes(self, tried: int, *, exact: bool) -> bool:
        """Tell whether this is evidence enough, after ``tried`` candidates."""
        if self.applicable < LEAST_ROWS:
            return False
        return enough(self.broken, self.applicable, self.expected, tried=tried, exact=exact, drawn=True)


def enough(
    broken: float, applicable: float, expected: float, *, tried: int, exact: bool = False, drawn: bool = False
) -> bool:
    """Tell whether a rule is broken seldom, and too seldom for chance.

    Args:
        broken: Rows that break it.
        applicable: Rows that could.
        expected: Rows that would break it by chance.
        tried: How many candidates the search tried.
        exact: Whether it is an equality or a lattice, which damaged rows alone may break.
        drawn: Whether ``expected`` was counted in one permutation, and not computed.

    Returns:
        Whether the rule may be believed.
    """
    share = MOST_BROKEN if exact else MOST_OF_CHANCE
    if broken > MOST_BROKEN * applicable or broken > share * expected:
        return False
    if drawn:
        chance = binom.logcdf(broken, broken + np.floor(expected), 0.5)
    else:
        chance = poisson.logcdf(broken, max(expected, 1e-12))
    return bool(chance <= np.log(FALSE_RULES / max(tried, 1)))


def is_particular(broken: float, classes: int, training: Training, *, implication: bool = False) -> bool:
    """Tell whether a rule may be a matter of this data set.

    Args:
        broken: Rows that break it, more than rounding explains.
        classes: In how many classes there is evidence for it.
        training: The rows.
        implication: Whether it is an implication. That certain values never occur together is what captures differ in,
            and needs `LEAST_CLASSES` classes; arithmetic can be told from one.

    Returns:
        Whether any row breaks it, or too few classes bear it out.
    """
    least = LEAST_CLASSES if implication else min(LEAST_CLASSES, training.class_count)
    return broken > 0 or classes < least


def classes_of(expected: Floats) -> npt.NDArray[np.int64]:
    """Count the classes that give evidence, from the rows that chance would break in each [classes, ...]."""
    return np.asarray((expected >= LEAST_OF_CLASS).sum(axis=0))


def try_condition(condition: Condition, training: Training, *, exact: bool) -> Outcome:
    """Hold a condition against the null hypothesis that one of its columns is independent of the others.

    Args:
        condition: The condition, over two columns or more.
        training: The rows.
        exact: Whether it is an equality or a lattice, so that columns are permuted in the whole table and not within
            classes.

    Returns:
        What was counted.
    """
    verdict = judge(condition, training.columns)
    applicable = training.rows if verdict.applicable is None else int(verdict.applicable.sum())
    broken = int(verdict.broken.sum())
    if broken > MOST_BROKEN * applicable:
        return Outcome(applicable, broken, 0.0, 0)
    names = columns_of(condition)
    inside = np.array([_broken_by_class(condition, training, name, training.within_classes) for name in names])
    if not exact:
        least = inside[inside.sum(axis=1).argmin()]
        return Outcome(applicable, broken, float(least.sum()), int(classes_of(least)))
    expected = min(_broken_by_class(condition, training, name, training.overall).sum() for name in names)
    return Outcome(applicable, broken, float(expected), int(classes_of(inside.max(axis=0))))


def _broken_by_class(condition: Condition, training: Training, name: str, order: Codes) -> Floats:
    """Count, for each class, the rows that break a condition when one column is permuted."""
    return training.per_class(judge(condition, training.permuted(name, order)).broken[:, None])[:, 0]


def accept(
    kind: Kind, condition: Condition, training: Training, *, tried: int, target: str = "", exact: bool = True
) -> Finding | None:
    """Accept a candidate if there is evidence for it.

    Args:
        kind: The search that found it.
        condition: The candidate.
        training: The rows.
        tried: How many candidates that search tried.
        target: The column that follows from the others.
        exact: Whether it is an equality or a lattice.

    Returns:
        The finding, or None.
    """
    outcome = try_condition(condition, training, exact=exact)
    if not outcome.passes(tried, exact=exact):
        return None
    particular = is_particular(outcome.broken, outcome.classes, training)
    return Finding(kind=kind, condition=condition, target=target, expected=outcome.expected, particular=particular)


def slack_of(condition: Condition, columns: Columns) -> float | None:
    """Measure how far the sides of a comparison are apart.

    Args:
        condition: A comparison; others have no slack.
        columns: The rows.

    Returns:
        For an equality the largest distance among rows that satisfy it, for an inequality the smallest.
    """
    if not isinstance(condition, Compare):
        return None
    left, right = evaluate(condition.left, columns), evaluate(condition.right, columns)
    holds = judge(condition, columns).holds
    apart: Floats = np.abs(left - right)[holds]
    if not len(apart):
        return None
    return float(apart.max() if condition.relation == "=" else apart.min())
