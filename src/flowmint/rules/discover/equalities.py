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
from flowmint.rules.language import Binary, Column, Number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flowmint.rules.discover.evidence import Finding, Kind
    from flowmint.rules.discover.training import Codes, Training
    from flowmint.rules.evaluate import Floats
    from flowmint.rules.language import Condition

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
    tree = {name: name for name in names}
    lines = []
    for line in sorted(_lines(training), key=lambda line: (line.complexity, line.name, line.other)):
        if _root(tree, line.name) != _root(tree, line.other):
            finding = accept(line.kind, line.written(line.other), training, tried=tried)
            if finding is not None:
                lines.append((line, finding))
                tree[_root(tree, line.other)] = _root(tree, line.name)
    return [_told(line, finding, target, training) for line, finding, target in _hang(lines)]


@dataclass(frozen=True)
class _Line:
    """``other = offset + slope * name``."""

    name: str
    other: str
    slope: float
    offset: float

    @property
    def kind(self) -> Kind:
        """Whether the columns are equal."""
        return "equal" if (self.slope, self.offset) == (1.0, 0.0) else "linear"

    @property
    def complexity(self) -> int:
        """How hard it is to read: equality first, then a constant sum, then multiples."""
        if self.kind == "equal":
            return 0
        return (1 if self.slope == -1 else 3) if self.offset else 2

    def written(self, target: str) -> Condition:
        """Write it with one of the columns at the left."""
        if target == self.other:
            return compare("=", Column(self.other), weighted({self.name: self.slope}, self.offset))
        slope, offset = simplify(1 / self.slope), simplify(-self.offset / self.slope) if self.offset else 0.0
        return compare("=", Column(self.name), weighted({self.other: slope}, offset))


def _told(line: _Line, finding: Finding, target: str, training: Training) -> Finding:
    """Write a line for the column that follows; a factor that another column usually has is likely that column."""
    usual = _usual_values(training, finding.columns)
    doubtful = bool(usual & {abs(line.slope), abs(1 / line.slope)})
    condition = line.written(target)
    return replace(finding, condition=condition, target=target, particular=finding.particular or doubtful)


def _usual_values(training: Training, apart_from: Sequence[str]) -> set[float]:
    """List the values that columns have in most rows: ``bytes = 10 * mean`` where there are 10 packets in most rows."""
    usual = set()
    for name, values in training.columns.numbers.items():
        distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        if len(distinct) and name not in apart_from and counts.max() > 0.5 * training.rows:
            usual.add(float(distinct[counts.argmax()]))
    return usual - {0.0, 1.0}


def representatives(names: Sequence[str], findings: Sequence[Finding]) -> tuple[str, ...]:
    """List the columns from which the others follow by equalities between two columns."""
    follow = {finding.target for finding in findings if len(finding.columns) == 2}
    return tuple(name for name in names if name not in follow)


def _root(tree: dict[str, str], name: str) -> str:
    while tree[name] != name:
        name = tree[name]
    return name


def _hang(lines: list[tuple[_Line, Finding]]) -> Iterator[tuple[_Line, Finding, str]]:
    """Add which column follows: in each tree of equalities all do but one, that with most equalities at their right."""
    degree = Counter(name for line, _ in lines for name in (line.name, line.other))
    at_right = Counter(line.name for line, _ in lines)
    left = list(lines)
    while left:
        names = {name for _, finding in left for name in finding.columns}
        known = {min(names, key=lambda name: (-degree[name], -at_right[name], name))}
        while reached := [pair for pair in left if known & set(pair[1].columns)]:
            for line, finding in reached:
                yield line, finding, line.other if line.name in known else line.name
                known |= set(finding.columns)
            left = [pair for pair in left if pair not in reached]


def _lines(training: Training) -> Iterator[_Line]:
    """Propose linear functions of one column, the way round in which they read better."""
    rng = np.random.default_rng(SEED)
    for index, name in enumerate(training.names):
        one, other = _row_pairs(training.matrix[:, index], rng)
        run = training.matrix[one, index] - training.matrix[other, index]
        slopes = (training.matrix[one] - training.matrix[other]) / run[:, None]
        middle = np.nanmedian(np.where(np.isfinite(slopes), slopes, 0.0), axis=0)
        agree = (np.abs(slopes - middle) <= 1e-4 * np.abs(middle)).mean(axis=0)
        for later in np.flatnonzero((agree >= AGREE) & (middle != 0)):
            slope = simplify(float(middle[later]))
            offsets = training.matrix[one, later] - slope * training.matrix[one, index]
            scale = float(np.nanmax(np.abs(training.matrix[one, later])))
            offset = float(np.nanmedian(offsets))
            line = _Line(name, training.names[later], slope, _offset(offset, scale))
            if later != index and _reads_well(line):
                yield line


def _offset(value: float, scale: float) -> float:
    return 0.0 if abs(value) <= FLOAT_ERROR * scale else simplify(value)


def _reads_well(line: _Line) -> bool:
    if abs(line.slope) == 1:
        return line.name < line.other
    return abs(line.slope) > 1 or (line.offset != 0 and not is_simple(simplify(1 / line.slope)))


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
    target, rest, offset = _solved(weights, constant)
    right = weighted(rest, offset)
    if offset and all(weight < 0 for weight in rest.values()):
        right = Binary("-", Number(offset), weighted({name: -weight for name, weight in rest.items()}))
    exact = accept("sum", compare("=", Column(target), right), training, tried=tried, target=target)
    room = rounding(training, weights, target)
    if exact is None and room is not None:
        exact = accept("sum", compare("=", Column(target), right, room), training, tried=tried, target=target)
    if exact is not None and not exact.particular:
        return [exact]
    # some rows break it: what they leave standing is an inequality
    sides = (compare("<=", Column(target), right), compare("<=", right, Column(target)))
    found = [exact, *(accept("sum", side, training, tried=tried, exact=False) for side in sides)]
    return [finding for finding in found if finding is not None]


def _solved(weights: Mapping[str, float], constant: float) -> tuple[str, dict[str, float], float]:
    """Solve a sum for the column for which it reads best: the total of its parts, or 1 minus the other shares."""
    sides = []
    for target in sorted(weights):
        rest = {name: -weights[name] / weights[target] for name in sorted(weights) if name != target}
        sides.append((sum(w < 0 for w in rest.values()), sum(abs(w) != 1 for w in rest.values()), target, rest))
    _, _, target, rest = min(sides, key=lambda side: side[:3])
    return target, rest, constant / weights[target]
