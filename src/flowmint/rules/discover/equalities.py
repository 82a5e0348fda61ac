"""Linear equalities: equal columns, ``A = k * B``, ``A + B = c``, and sums of several columns.

Of columns that all follow from one another, as few rules as say it all are kept (a minimum spanning tree, Kruskal
1956), the simplest first: equal columns, then sums, then multiples.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.evidence import accept
from flowmint.rules.discover.express import SPREAD_SHARE, compare, is_simple, rounding, sample_rows, simplify, weighted
from flowmint.rules.discover.training import FLOAT_ERROR, SEED
from flowmint.rules.language import Column, Number, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flowmint.rules.discover.evidence import Finding, Kind
    from flowmint.rules.discover.training import Codes, Training
    from flowmint.rules.evaluate import Floats
    from flowmint.rules.language import Condition, Expression

PAIRS = 40
"""Pairs of rows from which a slope is taken."""

AGREE = 0.9
"""Share of them that must have the same slope."""

SUBSETS = 4
"""How often a sum is fitted to other rows: one damaged row spoils a fit."""

MOST_TERMS = 8
"""Most columns in one sum."""


def find_pairs(training: Training) -> list[Finding]:
    """Find columns that are linear functions of one other column.

    Args:
        training: The rows.

    Returns:
        As few equalities as tell them all.
    """
    names = training.names
    tried = len(names) * (len(names) - 1)
    candidates = sorted(_pair_candidates(training), key=lambda pair: pair[:3])
    tree = {name: name for name in names}
    findings = []
    for _, one, other, condition in candidates:
        if _root(tree, one) == _root(tree, other):
            continue
        kind: Kind = "equal" if condition == compare("=", Column(other), Column(one)) else "linear"
        finding = accept(kind, condition, training, tried=tried, target=other)
        if finding is not None:
            usual = _usual_values(training, finding.columns) & _numbers_in(condition)
            findings.append(replace(finding, particular=finding.particular or bool(usual)))
            tree[_root(tree, other)] = _root(tree, one)
    return _hang(findings)


def _usual_values(training: Training, apart_from: Sequence[str]) -> set[float]:
    """List the values that columns have in most rows, constants included.

    A factor that is one of them is likely that column: ``bytes = 10 * mean`` where there are 10 packets in most rows.
    """
    usual = set()
    for name, values in training.columns.numbers.items():
        distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        if len(distinct) and name not in apart_from and counts.max() > 0.5 * training.rows:
            usual.add(float(distinct[counts.argmax()]))
    return usual - {0.0, 1.0}


def _numbers_in(condition: Condition) -> set[float]:
    return {abs(node.value) for node in walk(condition) if isinstance(node, Number)}


def representatives(names: Sequence[str], findings: Sequence[Finding]) -> tuple[str, ...]:
    """List the columns from which the others follow by equalities between two columns."""
    follow = {finding.target for finding in findings if len(finding.columns) == 2}
    return tuple(name for name in names if name not in follow)


def _root(tree: dict[str, str], name: str) -> str:
    while tree[name] != name:
        name = tree[name]
    return name


def _hang(findings: list[Finding]) -> list[Finding]:
    """Choose, in each tree of equalities, the column from which the others follow: the one with most rules."""
    degree = Counter(name for finding in findings for name in finding.columns)
    open_findings, hung = list(findings), []
    while open_findings:
        known = {min({n for f in open_findings for n in f.columns}, key=lambda name: (-degree[name], name))}
        while reached := [f for f in open_findings if known & set(f.columns)]:
            for finding in reached:
                target = next((name for name in finding.columns if name not in known), finding.target)
                hung.append(replace(finding, target=target))
                open_findings.remove(finding)
                known |= set(finding.columns)
    return hung


def _pair_candidates(training: Training) -> Iterator[tuple[int, str, str, Condition]]:
    """Propose linear functions of one column as (how complicated, column, other, condition)."""
    rng = np.random.default_rng(SEED)
    for index, name in enumerate(training.names):
        one, other = _row_pairs(training.matrix[:, index], rng)
        run = training.matrix[one, index] - training.matrix[other, index]
        slopes = (training.matrix[one] - training.matrix[other]) / run[:, None]
        middle = np.nanmedian(np.where(np.isfinite(slopes), slopes, 0.0), axis=0)
        agree = (np.abs(slopes - middle) <= 1e-4 * np.abs(middle)).mean(axis=0)
        for later in np.flatnonzero((agree >= AGREE) & (middle != 0)):
            if later != index:
                slope = simplify(float(middle[later]))
                offsets = training.matrix[one, later] - slope * training.matrix[one, index]
                scale = float(np.nanmax(np.abs(training.matrix[one, later])))
                offset = float(np.nanmedian(offsets))
                offset = 0.0 if abs(offset) <= FLOAT_ERROR * scale else simplify(offset)
                yield from _pair(name, training.names[later], slope, offset)


def _row_pairs(values: Floats, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Draw pairs of rows with different values, every value as likely as any other."""
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    counts = np.unique(values[order], return_counts=True)[1]
    starts = np.cumsum(counts) - counts
    first = rng.integers(len(counts), size=PAIRS)
    second = (first + rng.integers(1, len(counts), size=PAIRS)) % len(counts)
    place = rng.random((2, PAIRS))
    one, other = (
        order[starts[v] + (u * counts[v]).astype(np.int64)] for v, u in zip((first, second), place, strict=True)
    )
    return one, other


def _pair(name: str, other: str, slope: float, offset: float) -> Iterator[tuple[int, str, str, Condition]]:
    """Write ``other = offset + slope * name``, if this is the way round in which it reads better."""
    if abs(slope) == 1 and name > other:
        return
    if slope == -1 and offset:
        yield 1, name, other, compare("=", weighted({name: 1.0, other: 1.0}), Number(offset))
    elif slope == 1 and not offset:
        yield 0, name, other, compare("=", Column(other), Column(name))
    elif abs(slope) >= 1 or (offset and not is_simple(simplify(1 / slope))):
        yield (3 if offset else 2), name, other, compare("=", Column(other), weighted({name: slope}, offset))


def find_sums(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find columns that are sums of several others, up to simple weights and a constant.

    Args:
        training: The rows.
        names: The columns to relate, none of which follows from one other.

    Returns:
        Linearly independent equalities, those with fewest columns first. Where a few rows break one, all on the same
        side, there is an inequality instead, or beside it.
    """
    fits: dict[tuple[tuple[str, float], ...], tuple[dict[str, float], float]] = {}
    for attempt in range(SUBSETS if len(names) > 2 else 0):
        sample = _Sample.of(training, names, seed=SEED + attempt)
        for target in range(len(names) if len(sample.values) >= 2 * len(names) + 20 else 0):
            fit = _fit(sample, target)
            if fit is not None:
                fits.setdefault(_canonical(*fit), fit)
    tried = SUBSETS * len(names) * 2 ** min(len(names), MOST_TERMS)
    return _independent(sorted(fits.values(), key=lambda fit: (len(fit[0]), sorted(fit[0]))), training, tried)


@dataclass(frozen=True)
class _Sample:
    """Some rows, to fit sums to.

    Attributes:
        names: The columns.
        values: Their values, all finite [rows, columns].
        scale: Standard deviation of each column [columns].
        rounded: Unit to which each column is rounded, 0 for whole numbers and for columns that are not [columns].
    """

    names: tuple[str, ...]
    values: Floats
    scale: Floats
    rounded: Floats

    @classmethod
    def of(cls, training: Training, names: Sequence[str], *, seed: int) -> _Sample:
        """Draw rows, some of them for each column's rare values."""
        values = training.taken(names)[sample_rows(training, names, rows=200, rare=6, seed=seed)]
        unit = np.array([training.unit_of(name) for name in names])
        spread = values.std(axis=0) if len(values) else np.ones(len(names))
        return cls(tuple(names), values, np.maximum(spread, 1e-300), np.where(unit < 1, unit, 0.0))

    def solve(self, target: int, chosen: list[int]) -> tuple[Floats, float, bool]:
        """Fit a column by least squares; give the weights, the constant, and whether every row fits."""
        wanted = self.values[:, target]
        design = np.column_stack([self.values[:, chosen] / self.scale[chosen], np.ones(len(wanted))])
        weights = np.linalg.lstsq(design, wanted, rcond=1e-10)[0]
        off = np.abs(design @ weights - wanted)
        size = np.maximum(np.abs(design * weights).max(axis=1), np.abs(wanted))
        plain = weights[:-1] / self.scale[chosen]
        loose = self.rounded[target] + float(np.abs(plain) @ self.rounded[chosen])
        room = np.maximum(FLOAT_ERROR * size + 1e-9 * self.scale[target], min(loose, SPREAD_SHARE * self.scale[target]))
        return plain, float(weights[-1]), bool((off <= room).all())


def _fit(sample: _Sample, target: int) -> tuple[dict[str, float], float] | None:
    """Fit a column by the others, with as few of them as will do.

    Returns:
        Weights of all columns and the constant, such that the weighted sum equals the constant; None if nothing fits.
    """
    chosen = [index for index in range(len(sample.names)) if index != target]
    weights, constant, fits = sample.solve(target, chosen)
    if not fits:
        return None
    size = dict(zip(chosen, np.abs(weights) * sample.scale[chosen], strict=True))
    for index in sorted(chosen, key=lambda index: size[index]):
        fewer = [other for other in chosen if other != index]
        if fewer and sample.solve(target, fewer)[2]:
            chosen = fewer
    weights, constant, _ = sample.solve(target, chosen)
    simple = {sample.names[i]: simplify(float(w), relative=1e-3) for i, w in zip(chosen, weights, strict=True)}
    if not 2 <= len(simple) <= MOST_TERMS or not all(is_simple(weight) for weight in simple.values()):
        return None
    constant = 0.0 if abs(constant) <= 1e-3 * sample.scale[target] else simplify(constant, relative=1e-3)
    return {sample.names[target]: 1.0, **{name: -weight for name, weight in simple.items()}}, constant


def _canonical(weights: dict[str, float], constant: float) -> tuple[tuple[str, float], ...]:
    """Give the same answer for the same sum, whichever column it was fitted for."""
    first = weights[min(weights)]
    return (*((name, round(weights[name] / first, 6)) for name in sorted(weights)), ("", round(constant / first, 6)))


def _independent(fits: list[tuple[dict[str, float], float]], training: Training, tried: int) -> list[Finding]:
    findings: list[Finding] = []
    kept: list[Floats] = []
    for weights, constant in fits:
        row = np.array([weights.get(name, 0.0) for name in training.names])
        if np.linalg.matrix_rank(np.array([*kept, row])) == len(kept):
            continue
        found = _accept_sum(weights, constant, training, tried)
        if found:
            kept.append(row)
            findings += found
    return findings


def _accept_sum(weights: Mapping[str, float], constant: float, training: Training, tried: int) -> list[Finding]:
    target, left, right = _sides(weights, constant)
    exact = accept("sum", compare("=", left, right), training, tried=tried, target=target)
    room = rounding(training, weights, target)
    if exact is None and room is not None:
        exact = accept("sum", compare("=", left, right, room), training, tried=tried, target=target)
    if exact is not None and not exact.particular:
        return [exact]
    # some rows break it: what they leave standing is an inequality
    sides = (compare("<=", left, right), compare("<=", right, left))
    found = [exact, *(accept("sum", side, training, tried=tried, exact=False) for side in sides)]
    return [finding for finding in found if finding is not None]


def _sides(weights: Mapping[str, float], constant: float) -> tuple[str, Expression, Expression]:
    """Write a sum so that it reads well: ``A + B = 1``, or the column that is the sum of the others at the left."""
    signs = {np.sign(weight) for weight in weights.values()}
    if len(signs) == 1 and constant:
        sign = signs.pop()
        ordered = {name: sign * weights[name] for name in sorted(weights)}
        return max(ordered), weighted(ordered), Number(sign * constant)
    sides = []
    for target in sorted(weights):
        rest = {name: -weights[name] / weights[target] for name in sorted(weights) if name != target}
        sides.append((sum(w < 0 for w in rest.values()), sum(w != 1 for w in rest.values()), target, rest))
    _, _, target, rest = min(sides, key=lambda side: side[:3])
    return target, Column(target), weighted(rest, constant / weights[target])
