"""From cells to tables: means over seeds, paired differences, verdicts and the gap closed.

Intervals are Student's, over seeds, at 95 %. Differences are paired: the same seed means the same rows,
split and detectors' seeds, so that what seeds share cancels out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowmint.errors import ScoreError
from flowmint.evaluate.compare.plan import ALL_REAL, NONE
from flowmint.evaluate.compare.result import METRICS, Cell, Estimate, Summary
from flowmint.evaluate.statistics import gap_closed, judge, t_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flowmint.evaluate.compare.result import PlanAbout

    BySeed = Mapping[int, Sequence[Cell]]


def estimate(values: Iterable[float]) -> Estimate:
    """Give the mean of one or more values with Student's 95 % interval.

    Args:
        values: One value of each seed.

    Returns:
        The estimate; without an interval for a single value.
    """
    found = t_interval(list(values))
    return Estimate(mean=found.mean, low=found.low, high=found.high, count=found.count)


def summarize(cells: Sequence[Cell], plan: PlanAbout) -> tuple[Summary, ...]:
    """Summarise cells by task, shortcuts, number of real rows and generator, and over numbers of rows.

    Args:
        cells: Every cell that ran; seeds or generators may be missing.
        plan: How they were measured.

    Returns:
        For each task and shortcuts: for each number of rows, then for the mean over those up to
        ``plan.headline`` (rows None), one summary for each generator.
    """
    summaries = []
    for task in dict.fromkeys(cell.task for cell in cells):
        for shortcuts in plan.shortcuts:
            own = [cell for cell in cells if cell.task == task and cell.shortcuts == shortcuts]
            present = tuple(n for n in plan.rows if any(cell.rows == n for cell in own))
            few = tuple(n for n in present if n <= plan.headline) or present
            for rows in (*((n,) for n in present), few):
                if rows:
                    summaries += _block(own, plan, rows=rows, overall=rows is few)
    return tuple(summaries)


def _block(cells: Sequence[Cell], plan: PlanAbout, *, rows: tuple[int, ...], overall: bool) -> list[Summary]:
    """Summarise every generator on one task, with some numbers of rows."""
    known = {name: _whole(cells, generator=name, rows=rows) for name in plan.generators}
    summaries = []
    for name, by_seed in known.items():
        gains = _paired(by_seed, known.get(NONE)) if name != NONE else []
        leads = _paired(known.get(plan.ours), by_seed) if plan.ours is not None and name != plan.ours else []
        summaries.append(
            Summary(
                task=cells[0].task,
                rows=None if overall else rows[0],
                shortcuts=cells[0].shortcuts,
                generator=name,
                seeds=tuple(sorted(by_seed)),
                failed=sum(c.error is not None for c in cells if c.generator == name and _wanted(c, rows)),
                metrics=_metrics(by_seed, plan.detectors, by_detector=False).get("", {}),
                detectors=_metrics(by_seed, plan.detectors, by_detector=True),
                gain=estimate(gains) if gains else None,
                ours_ahead=estimate(leads) if leads else None,
                gap_closed=_gap_closed(known, name),
                verdict=judge(gains).word if gains else "not available",
                scores=_scores(by_seed, lambda score: score.value),
                references=_scores(by_seed, lambda score: score.reference),
                fit_seconds=_median(cell.fit_seconds for group in by_seed.values() for cell in group),
                rows_per_second=_median(cell.rows_per_second for group in by_seed.values() for cell in group),
                peak_mib=_median(cell.peak_mib for group in by_seed.values() for cell in group),
            )
        )
    return summaries


def _wanted(cell: Cell, rows: tuple[int, ...]) -> bool:
    return cell.rows is None or cell.rows in rows


def _whole(cells: Sequence[Cell], *, generator: str, rows: tuple[int, ...]) -> dict[int, list[Cell]]:
    """Give a generator's cells by seed, of those seeds that have all numbers of rows."""
    by_seed: dict[int, list[Cell]] = {}
    for cell in cells:
        if cell.generator == generator and cell.error is None and _wanted(cell, rows):
            by_seed.setdefault(cell.seed, []).append(cell)
    complete = {}
    for seed, group in by_seed.items():
        if group[0].rows is None:
            complete[seed] = group * len(rows)
        elif {cell.rows for cell in group} == set(rows):
            complete[seed] = sorted(group, key=lambda cell: cell.rows or 0)
    return complete


def _mean(group: Sequence[Cell], metric: str) -> float:
    return float(np.mean([cell.mean(metric) for cell in group]))


def _paired(one: BySeed | None, other: BySeed | None) -> list[float]:
    """F1 of one generator minus F1 of the other, for each seed that both have."""
    if one is None or other is None:
        return []
    return [_mean(one[seed], "f1") - _mean(other[seed], "f1") for seed in sorted(set(one) & set(other))]


def _gap_closed(known: Mapping[str, BySeed], name: str) -> float | None:
    """Gain by the gain of all real rows, over the seeds that all three have; None within the noise."""
    one, none, every = (known.get(key) for key in (name, NONE, ALL_REAL))
    if name in {NONE, ALL_REAL} or one is None or none is None or every is None:
        return None
    both = sorted(set(one) & set(none) & set(every))
    if not both:
        return None
    base, own, most = ([_mean(by_seed[seed], "f1") for seed in both] for by_seed in (none, one, every))
    try:
        return gap_closed(base, own, most).mean
    except ScoreError:
        return None


def _metrics(by_seed: BySeed, detectors: Sequence[str], *, by_detector: bool) -> dict[str, dict[str, Estimate]]:
    """Estimate every measure, of each detector, or of the mean over detectors (then under the empty name)."""
    if not by_seed:
        return {}
    if not by_detector:
        return {"": {metric: estimate(_mean(group, metric) for group in by_seed.values()) for metric in METRICS}}
    return {
        name: {
            metric: estimate(
                float(np.mean([getattr(cell.detectors[name], metric) for cell in group])) for group in by_seed.values()
            )
            for metric in METRICS
        }
        for name in detectors
        if all(name in cell.detectors for group in by_seed.values() for cell in group)
    }


def _scores(by_seed: BySeed, part: Callable[..., float | None]) -> dict[str, Estimate]:
    """Estimate every intrinsic score over the seeds in which all cells have it."""
    values: dict[str, dict[int, list[float]]] = {}
    for seed, group in by_seed.items():
        for cell in group:
            for score in cell.scores:
                value = part(score)
                if value is not None:
                    values.setdefault(score.name, {}).setdefault(seed, []).append(value)
    return {name: estimate(float(np.mean(own)) for own in of_seed.values()) for name, of_seed in values.items()}


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
