"""The comparison: every generator on every task, cell by cell, resumable, and what follows from it."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from flowmint.errors import SettingError
from flowmint.evaluate.compare.cell import Job, Outcome, Shown, lost, run_job
from flowmint.evaluate.compare.plan import ALL_REAL, REFERENCES, Plan, Task
from flowmint.evaluate.compare.result import Comparison, ScoreAbout, TaskAbout
from flowmint.evaluate.compare.store import Store, fingerprint
from flowmint.evaluate.compare.summarize import summarize
from flowmint.evaluate.leakage import audit_leakage
from flowmint.processes import run_jobs
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowmint.evaluate.compare.result import Cell, Shortcuts
    from flowmint.evaluate.scores import Score

PACKAGES = ("flowmint", "torch", "scikit-learn", "imbalanced-learn", "xgboost-cpu", "lightgbm", "numpy", "polars")
"""Packages on whose versions results depend."""


USUAL_ROWS = 25
"""Rows are shown that were learnt from so many real ones, or the next number above."""


@dataclass(frozen=True)
class _Prepared:
    """A task whose rows lie in a file."""

    task: Task
    about: TaskAbout
    place: Path
    data: str


@dataclass(frozen=True)
class Run:
    """What a comparison gives.

    Attributes:
        comparison: What was found.
        shown: For each task, rows minted by ``ours`` (else by the first generator) with the first seed, to look at.
    """

    comparison: Comparison
    shown: tuple[Shown, ...]


def compare(
    tasks: Sequence[Task],
    plan: Plan,
    *,
    title: str = "",
    store: Path | None = None,
    workers: int = 1,
    command: str = "",
    progress: Progress = SILENT,
) -> Run:
    """Compare generators on few real attack rows.

    Each cell splits before anything is fitted, fits its generator on the training rows, balances them,
    trains detectors and scores them on real held-out rows. The audit for shortcuts looks at all rows of
    a task, so that every seed drops the same columns; leaving columns out can only make the task harder.

    Args:
        tasks: What to tell apart.
        plan: How to measure.
        title: What the result is called.
        store: Folder that keeps finished cells and from which a later run goes on; none is kept if absent.
        workers: Cells that run at once. One runs in this process; more run in processes of their own with
            one thread each, and a script that asks for them needs ``if __name__ == "__main__":``.
        command: The command line to write down.
        progress: Shows how far the work is.

    Returns:
        Every cell, those that failed included, what follows from them, and rows to look at.

    Raises:
        SettingError: A setting is unknown or out of range, or a task has too few attack rows.
        LabelError: A class is absent.
        TableError: A table cannot be used.
        ReadError: A cell in the store is damaged.
        WriteError: The store cannot be written.
    """
    plan.check()
    if workers < 1:
        message = f"workers is {workers!r}; give 1 or more"
        raise SettingError(message)
    names = [task.name for task in tasks]
    if not names or len(set(names)) < len(names):
        message = f"tasks are {names!r}; give at least one, each with a name of its own"
        raise SettingError(message)
    kept = Store(store)
    kept.open()
    with tempfile.TemporaryDirectory(prefix="flowmint-") as folder:
        prepared = [
            _prepare(task, plan, Path(folder) / f"{place}.parquet", progress) for place, task in enumerate(tasks)
        ]
        outcomes = _run(prepared, plan, kept, workers=workers, progress=progress)
    cells = tuple(outcome.cell for outcome in outcomes)
    about = plan.about()
    comparison = Comparison(
        title=title or ", ".join(task.attack for task in tasks),
        plan=about,
        tasks=tuple(part.about for part in prepared),
        cells=cells,
        summaries=summarize(cells, about),
        scores=score_meanings(outcomes),
        versions=versions(),
        machine=machine(),
        command=command,
    )
    return Run(comparison, tuple(outcome.shown for outcome in outcomes if outcome.shown is not None))


def _prepare(task: Task, plan: Plan, place: Path, progress: Progress) -> _Prepared:
    """Check and audit a task, and write its rows to a file for the workers."""
    narrow = task.narrowed()
    column, benign = plan.by.column, narrow.benign or ""
    features = narrow.table.drop(column, strict=False) if column is not None else narrow.table
    columns = tuple(name for name in features.columns if name != task.label)
    labels = narrow.table[task.label].cast(str)
    attack_rows = int((labels == task.attack).sum())
    room = attack_rows - attack_rows // 2
    if plan.by.column is None and max(plan.rows) > room:
        message = (
            f"task {task.name!r}: {max(plan.rows)} real rows of {task.attack!r} asked for, but the half of its "
            f"{attack_rows} rows that is for training has {room}; ask for fewer (--rows)"
        )
        raise SettingError(message)
    leakage = audit_leakage(features, label=task.label, benign=benign, progress=progress)
    narrow.table.write_parquet(place)
    about = TaskAbout(
        name=task.name,
        label=task.label,
        attack=task.attack,
        benign=benign,
        attack_rows=attack_rows,
        benign_rows=len(labels) - attack_rows,
        columns=columns,
        shortcuts=leakage.shortcuts,
        leakage=leakage,
    )
    return _Prepared(narrow, about, place, fingerprint(narrow.table))


def make_jobs(prepared: _Prepared, plan: Plan) -> list[Job]:
    """List the cells of a task; all real rows stand once, whatever the number of attack rows."""
    about = prepared.about
    show = _to_show(plan)
    jobs = []
    for shortcuts in _settings_of(about, plan):
        drop = about.shortcuts if shortcuts == "dropped" else ()
        if len(drop) == len(about.columns):
            message = (
                f"task {about.name!r}: every column alone separates {about.attack!r} from {about.benign!r}, so that "
                "none is left without shortcuts; keep them"
            )
            raise SettingError(message)
        for place, rows in enumerate(plan.rows):
            for seed in plan.seeds:
                jobs += [
                    Job(
                        table=prepared.place,
                        task=about.name,
                        label=about.label,
                        attack=about.attack,
                        benign=about.benign,
                        drop=drop,
                        plan=plan,
                        rows=None if name == ALL_REAL else rows,
                        seed=seed,
                        generator=name,
                        shortcuts=shortcuts,
                        show=(name, rows, seed, shortcuts) == show,
                    )
                    for name in plan.generators
                    if name != ALL_REAL or place == 0
                ]
    return jobs


def _to_show(plan: Plan) -> tuple[str | None, int, int, Shortcuts]:
    """Choose the cell whose rows are kept to look at."""
    minting = [name for name in plan.generators if name not in REFERENCES]
    name = plan.about().ours or (minting[0] if minting else None)
    rows = min((n for n in plan.rows if n >= USUAL_ROWS), default=max(plan.rows))
    return name, rows, plan.seeds[0], plan.shortcuts[0]


def _settings_of(about: TaskAbout, plan: Plan) -> list[Shortcuts]:
    """Which of the plan's runs differ: where there are no shortcuts, dropping them changes nothing."""
    if not about.shortcuts and "kept" in plan.shortcuts:
        return ["kept"]
    return list(plan.shortcuts)


def _run(prepared: Sequence[_Prepared], plan: Plan, store: Store, *, workers: int, progress: Progress) -> list[Outcome]:
    """Take finished cells from the store, run the others, keep each as it ends, and give all in order."""
    data = {part.about.name: part.data for part in prepared}
    jobs = [job for part in prepared for job in make_jobs(part, plan)]
    done = {}
    for place, job in enumerate(jobs):
        found = store.read(job, data=data[job.task])
        if found is not None:
            done[place] = found
    missing = {id(job): place for place, job in enumerate(jobs) if place not in done}
    with progress.stage("cells", total=len(missing), unit="cells") as stage:
        for job, outcome in run_jobs(run_job, [jobs[place] for place in missing.values()], workers=workers, lost=lost):
            store.write(job, outcome, data=data[job.task])
            done[missing[id(job)]] = outcome
            stage.advance(1)
    return [done[place] for place in range(len(jobs))]


def score_meanings(outcomes: Iterable[Outcome]) -> tuple[ScoreAbout, ...]:
    """Tell once what each intrinsic score means."""
    found: dict[str, ScoreAbout] = {}
    for outcome in outcomes:
        for score in outcome.scores:
            found.setdefault(score.name, about_score(score))
    return tuple(found.values())


def about_score(score: Score) -> ScoreAbout:
    """Tell what a score means, without its value."""
    described = score.to_json()
    return ScoreAbout(
        name=score.name,
        title=score.title,
        family=score.family,
        better=score.better,
        lowest=described["lowest"],
        highest=described["highest"],
        description=score.description,
        source=score.source,
    )


def versions() -> dict[str, str]:
    """Give the version of each of `PACKAGES` that is installed, and of Python."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Name the machine: processor, cores, system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or "unknown processor"
    return f"{platform.machine()}, {processor}, {os.cpu_count()} cores, {platform.system()}"


def failed(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Tell in one line each which generators failed where.

    Args:
        cells: The cells of a comparison.

    Returns:
        Lines such as ``smote failed in 5 of 25 cells of ARP_Spoofing: out of memory``.
    """
    own: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        own.setdefault((cell.generator, cell.task), []).append(cell)
    lines = []
    for (generator, task), group in own.items():
        wrong = [cell.error for cell in group if cell.error is not None]
        if wrong:
            lines.append(f"{generator} failed in {len(wrong)} of {len(group)} cells of {task}: {wrong[0]}")
    return tuple(lines)
