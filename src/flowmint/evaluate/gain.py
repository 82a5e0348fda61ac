"""Gain: what minted rows are worth to detectors, class by class.

Every detector of `flowmint.evaluate.utility` is trained to tell all classes apart three times: on
the real training rows, on these and the minted rows, and on minted rows alone (where classes that
nothing was minted of keep their real rows). All three are scored on the same real held-out rows.
The reference of every score is training on the real rows alone: what is better than it helps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.errors import ScoreError
from flowmint.evaluate.scores import ColumnValue, Definition
from flowmint.evaluate.statistics import gap_closed
from flowmint.evaluate.tables import Rows
from flowmint.evaluate.utility import DETECTORS, multiclass_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flowmint.evaluate.scores import Better, Score
    from flowmint.evaluate.utility import MulticlassScores
    from flowmint.progress import Stage

    Found = dict[str, dict[str, MulticlassScores]]

MOST_CELLS = 12_000
"""Rows times classes of each table that detectors train on: their cost grows with both."""

LEAST_ROWS = 2_500
"""Rows of each table that detectors train on however many classes there are."""

MOST_TEST_ROWS = 5_000


def _definition(name: str, title: str, better: Better, description: str, source: str) -> Definition:
    return Definition(
        name=name,
        title=title,
        family="utility",
        lowest=0.0,
        highest=1.0,
        better=better,
        description=description,
        source=source,
    )


MEAN = "mean over the detectors; train on one table, test on real held-out rows (Esteban et al. 2017)"
MACRO_ADDED = _definition(
    "macro_f1_added",
    "Macro F1, minted rows added",
    "higher",
    "Mean F1 of all classes when detectors are trained on real and minted rows; the reference is real rows alone.",
    MEAN,
)
MACRO_ALONE = _definition(
    "macro_f1_alone",
    "Macro F1, minted rows alone",
    "higher",
    "Mean F1 of all classes when minted rows stand for real ones; the reference is real rows alone.",
    MEAN,
)
F1_ADDED = _definition(
    "f1_added",
    "F1, minted rows added",
    "higher",
    "F1 of what was minted when detectors are trained on real and minted rows; the reference is real rows alone.",
    MEAN,
)
F1_ALONE = _definition(
    "f1_alone",
    "F1, minted rows alone",
    "higher",
    "F1 of what was minted when minted rows stand for real ones; the reference is real rows alone.",
    MEAN,
)
RECALL_ADDED = _definition(
    "recall_added",
    "Recall, minted rows added",
    "higher",
    "Share of the held-out rows that are found when minted rows are added; the reference is real rows alone.",
    MEAN,
)
FALSE_ALARMS_ADDED = _definition(
    "false_positive_rate_added",
    "False-positive rate, minted rows added",
    "lower",
    "Share of other rows taken for the class when minted rows are added; the reference is real rows alone.",
    MEAN,
)
PR_AUC_ADDED = _definition(
    "pr_auc_added",
    "PR-AUC, minted rows added",
    "higher",
    "Area under the precision-recall curve when minted rows are added; the reference is real rows alone.",
    MEAN,
)
GAP_CLOSED = Definition(
    name="gap_closed",
    title="Gap closed",
    family="utility",
    lowest=-np.inf,
    highest=np.inf,
    better="higher",
    description="Share of the way from few real rows to all real rows that minted rows go, in F1 of what was minted.",
    source="(F1 with minted rows − F1 without) / (F1 with all real rows − F1 without)",
)
EACH: dict[Definition, tuple[str, str]] = {
    F1_ADDED: ("added", "f1"),
    F1_ALONE: ("alone", "f1"),
    RECALL_ADDED: ("added", "recall"),
    FALSE_ALARMS_ADDED: ("added", "false_positive_rate"),
    PR_AUC_ADDED: ("added", "pr_auc"),
}
"""What is told of every class: what was trained on, and which of `DetectorScores`' numbers it is."""

DEFINITIONS = (MACRO_ADDED, MACRO_ALONE, *EACH, GAP_CLOSED)


@dataclass(frozen=True, kw_only=True)
class Gains:
    """The scores of utility.

    Attributes:
        scores: Those of all classes together.
        classes: Those of each class that was minted and is among the test rows.
        notes: What a reader must know.
    """

    scores: tuple[Score, ...]
    classes: Mapping[str, tuple[Score, ...]]
    notes: tuple[str, ...] = ()


def absent_gains(reason: str) -> Gains:
    """Say why there are no scores of utility."""
    return Gains(scores=tuple(definition.absent(reason) for definition in DEFINITIONS), classes={})


def measure_gains(
    *,
    real: Rows,
    minted: Rows,
    train: Rows,
    all_real: Rows | None,
    seed: int,
    detectors: Sequence[str] = tuple(DETECTORS),
    stage: Stage,
) -> Gains:
    """Train detectors with and without minted rows and score them on real held-out rows.

    Args:
        real: Real held-out rows.
        minted: Minted rows.
        train: Real training rows.
        all_real: All real rows that could be trained on, for the best case; None if there are no more.
        seed: Seed of detectors and of what is drawn.
        detectors: Which; those that are not installed are left out.
        stage: Is told of every table that was trained on.

    Returns:
        The scores; not available, with the reason, where there is nothing to tell apart.
    """
    names = set(train.counts()) | set(minted.counts())
    most = max(MOST_CELLS // max(len(names), 1), LEAST_ROWS)
    test = real.capped(MOST_TEST_ROWS, seed=seed)
    scored = sorted(set(test.counts()) & names)
    tables = {
        "without": train.capped(most, seed=seed),
        "added": _joined(train.capped(most, seed=seed), minted.capped(most, seed=seed)),
        "alone": _joined(_others(train, minted).capped(most, seed=seed), minted.capped(most, seed=seed)),
    }
    if all_real is not None:
        tables["all"] = all_real.capped(most, seed=seed)
    found = {}
    try:
        for name, rows in tables.items():
            found[name] = multiclass_scores(
                rows.table, rows.classes, test.table, test.classes, seed=seed, detectors=detectors, classes=scored
            )
            stage.advance(1)
    except ScoreError as error:
        return absent_gains(str(error))
    own = [name for name in scored if name in minted.counts()]
    return Gains(
        scores=_all_scores(found, own),
        classes={name: _class_scores(found, [name]) for name in own},
        notes=_notes(found, {"real": train, "minted": minted}, most),
    )


def _notes(found: Found, tables: Mapping[str, Rows], most: int) -> tuple[str, ...]:
    cut = [f"{rows.table.height:,} {name}" for name, rows in tables.items() if rows.table.height > most]
    used = f"detectors: {', '.join(found['added'])}"
    return (f"{used}; trained on {most:,} of {' and of '.join(cut)} rows, rare classes whole" if cut else used,)


def count_tables(all_real: object) -> int:
    """How many tables detectors are trained on."""
    return 3 if all_real is None else 4


def _joined(first: Rows, second: Rows) -> Rows:
    return Rows(table=pl.concat([first.table, second.table]), classes=pl.concat([first.classes, second.classes]))


def _others(train: Rows, minted: Rows) -> Rows:
    return train.of_classes(set(train.counts()) - set(minted.counts()))


def _all_scores(found: Found, own: list[str]) -> tuple[Score, ...]:
    macro = {how: {d: scores.macro_f1 for d, scores in each.items()} for how, each in found.items()}
    return (
        _score(MACRO_ADDED, macro["added"], macro["without"]),
        _score(MACRO_ALONE, macro["alone"], macro["without"]),
        *_class_scores(found, own),
    )


def _class_scores(found: Found, own: list[str]) -> tuple[Score, ...]:
    def told(how: str, number: str) -> dict[str, float]:
        return {
            detector: float(np.mean([getattr(scores.classes[name], number) for name in own]))
            for detector, scores in found[how].items()
        }

    each = [_score(d, told(how, number), told("without", number)) for d, (how, number) in EACH.items()]
    return (*each, _gap_score(found, told))


def _score(definition: Definition, values: Mapping[str, float], references: Mapping[str, float]) -> Score:
    parts = tuple(ColumnValue((name,), value, references[name]) for name, value in values.items())
    means = (float(np.mean(list(numbers.values()))) for numbers in (values, references))
    return definition.of(*means, per_column=parts)


def _gap_score(found: Found, told: Callable[[str, str], dict[str, float]]) -> Score:
    if "all" not in found:
        return GAP_CLOSED.absent("the table of all real rows is not given")
    few, added, full = ([float(np.mean(list(told(how, "f1").values())))] for how in ("without", "added", "all"))
    return GAP_CLOSED.measure(lambda: gap_closed(few, added, full).mean, None)
