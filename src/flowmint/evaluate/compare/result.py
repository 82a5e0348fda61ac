"""What a comparison found: cells, the tables that follow from them, and how both are written down.

A *cell* is one generator on one task with one number of real attack rows and one seed. Everything else,
means, intervals, paired differences and verdicts, follows from the cells alone (`flowmint.evaluate.compare.summarize`).
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads annotations at run time
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import msgspec

from flowmint.errors import ReadError
from flowmint.evaluate.leakage import Leakage  # noqa: TC001 - the same
from flowmint.evaluate.utility import DetectorScores
from flowmint.generators.settings import Setting  # noqa: TC001 - the same

VERSION = 1
"""Version of the JSON that `Comparison.to_json` gives."""

Shortcuts = Literal["kept", "dropped"]
Verdict = Literal["helps", "makes no difference", "hurts", "cannot be told", "not available"]

METRICS: tuple[str, ...] = tuple(part.name for part in fields(DetectorScores))
"""The measures of a detector; ``false_positive_rate`` is better low, the others high."""


@dataclass(frozen=True, kw_only=True)
class ScoreValue:
    """One intrinsic score of a cell; `ScoreAbout` tells what it means.

    Attributes:
        name: The score.
        value: Of the minted rows; None where it is not available.
        reference: Of real rows in their place; None where it is not available.
        reason: Why there is no value.
    """

    name: str
    value: float | None
    reference: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreAbout:
    """What an intrinsic score means; the attributes are those of `flowmint.evaluate.scores.Score`.

    A bound that is infinite is None.
    """

    name: str
    title: str
    family: str
    better: str
    lowest: float | None
    highest: float | None
    description: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One generator on one task with one number of real attack rows and one seed.

    Attributes:
        task: The task's name.
        rows: Real attack rows that were asked for; None for ``all_real_rows``, which has all there are.
        seed: Seed of the split, the generator and the detectors.
        generator: The generator, or one of `REFERENCES`.
        shortcuts: Whether shortcuts were kept or dropped.
        attack_rows: Real attack rows that detectors were trained on.
        benign_rows: Real benign rows that they were trained on.
        minted_rows: Minted rows that they were trained on, of all classes.
        test_attack_rows: Held-out attack rows.
        test_benign_rows: Held-out benign rows.
        detectors: Each detector's results.
        scores: Intrinsic scores of the minted attack rows.
        fit_seconds: Seconds of fitting; None for a reference.
        rows_per_second: Attack rows minted per second; None for a reference.
        peak_mib: Highest resident memory of the cell's process while it fitted and minted, in MiB.
        seconds: Seconds that the whole cell took.
        notes: What a reader must know, such as why there are no intrinsic scores.
        error: What went wrong, in one line; then there are no results.
    """

    task: str
    rows: int | None
    seed: int
    generator: str
    shortcuts: Shortcuts
    attack_rows: int = 0
    benign_rows: int = 0
    minted_rows: int = 0
    test_attack_rows: int = 0
    test_benign_rows: int = 0
    detectors: Mapping[str, DetectorScores] = field(default_factory=dict)
    scores: tuple[ScoreValue, ...] = ()
    fit_seconds: float | None = None
    rows_per_second: float | None = None
    peak_mib: float | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None

    def mean(self, metric: str) -> float:
        """Give one measure's mean over the detectors."""
        values = [getattr(result, metric) for result in self.detectors.values()]
        return float(sum(values) / len(values))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds with its 95 % interval.

    Attributes:
        mean: The mean.
        low: Lower end of the interval; None with a single value, about whose spread nothing is known.
        high: Upper end.
        count: How many seeds.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the seeds of one generator on one task say together.

    Attributes:
        task: The task's name.
        rows: Real attack rows; None for the mean over all numbers of rows up to the plan's ``headline``.
        shortcuts: Whether shortcuts were kept or dropped.
        generator: The generator, or one of `REFERENCES`.
        seeds: Seeds that have a result.
        failed: How many cells failed.
        metrics: Each of `METRICS`, the mean over detectors.
        detectors: Each of `METRICS` of each detector.
        gain: F1 with this generator minus F1 of ``none``, paired over seeds.
        ours_ahead: F1 of the plan's ``ours`` minus F1 of this generator, paired over seeds.
        gap_closed: Gain by the gain of ``all_real_rows``; None where there is no gap to close.
        verdict: What ``gain`` says in words.
        scores: Each intrinsic score's values.
        references: The same scores of real rows.
        fit_seconds: Median seconds of fitting.
        rows_per_second: Median rows minted per second.
        peak_mib: Median of the highest memory, in MiB.
    """

    task: str
    rows: int | None
    shortcuts: Shortcuts
    generator: str
    seeds: tuple[int, ...]
    failed: int
    metrics: Mapping[str, Estimate]
    detectors: Mapping[str, Mapping[str, Estimate]]
    gain: Estimate | None
    ours_ahead: Estimate | None
    gap_closed: float | None
    verdict: Verdict
    scores: Mapping[str, Estimate]
    references: Mapping[str, Estimate]
    fit_seconds: float | None
    rows_per_second: float | None
    peak_mib: float | None


@dataclass(frozen=True, kw_only=True)
class TaskAbout:
    """What a task is, for readers; the rows themselves are not kept.

    Attributes:
        name: Its name.
        label: The label column.
        attack: The attack class.
        benign: The benign class.
        attack_rows: Rows of the attack in the table.
        benign_rows: Rows of the benign class.
        columns: Feature columns.
        shortcuts: Those of them that are dropped where shortcuts are.
        leakage: The audit of the task's rows.
    """

    name: str
    label: str
    attack: str
    benign: str
    attack_rows: int
    benign_rows: int
    columns: tuple[str, ...]
    shortcuts: tuple[str, ...]
    leakage: Leakage


@dataclass(frozen=True, kw_only=True)
class PlanAbout:
    """How it was measured; the attributes are those of `flowmint.evaluate.compare.plan.Plan`."""

    rows: tuple[int, ...]
    seeds: tuple[int, ...]
    generators: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Setting]]
    detectors: tuple[str, ...]
    split: str
    shortcuts: tuple[Shortcuts, ...]
    most: int
    families: tuple[str, ...]
    ours: str | None
    headline: int
    rules: str = "auto"
    force_rules: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything a report needs.

    Attributes:
        title: What was compared.
        plan: How it was measured.
        tasks: On what.
        cells: Every result.
        summaries: What follows: for each task, shortcuts and number of rows one for each generator.
        scores: What each intrinsic score means.
        versions: Version of each package that matters, by name.
        machine: What it ran on.
        command: The command that made it; empty where none did.
    """

    title: str
    plan: PlanAbout
    tasks: tuple[TaskAbout, ...]
    cells: tuple[Cell, ...]
    summaries: tuple[Summary, ...]
    scores: tuple[ScoreAbout, ...]
    versions: Mapping[str, str]
    machine: str
    command: str

    @property
    def failures(self) -> tuple[Cell, ...]:
        """The cells that failed."""
        return tuple(cell for cell in self.cells if cell.error is not None)

    def to_json(self) -> dict[str, Any]:
        """Describe the comparison in JSON."""
        described: dict[str, Any] = msgspec.to_builtins(self)
        return {"format": "flowmint comparison", "version": VERSION, **described}

    @classmethod
    def from_json(cls, obj: object) -> Comparison:
        """Rebuild a comparison from `to_json`'s answer.

        Raises:
            ReadError: It is no such answer, or of another version.
        """
        if not isinstance(obj, dict) or obj.get("format") != "flowmint comparison" or obj.get("version") != VERSION:
            found = obj.get("version") if isinstance(obj, dict) else None
            message = f"this is no comparison of version {VERSION} (found {found!r}); give what flowmint compare wrote"
            raise ReadError(message)
        try:
            return msgspec.convert({key: obj[key] for key in obj if key not in {"format", "version"}}, cls)
        except msgspec.ValidationError as error:
            message = f"the comparison is damaged: {error}; run flowmint compare again"
            raise ReadError(message) from error
