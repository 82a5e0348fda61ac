"""Repairing a table: which rows, how often, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flowmint.rules.check import in_pieces, judge_rows, piece_of
from flowmint.rules.evaluate import Columns, TextColumn
from flowmint.rules.solve import Rows
from flowmint.rules.table import fit_dtype, with_numbers, with_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import polars as pl

    from flowmint.flows.frames import Native
    from flowmint.progress import Progress
    from flowmint.rules.evaluate import Booleans, Floats
    from flowmint.rules.language import Rule
    from flowmint.rules.solve import Solver

PASSES = 3
"""How often a row is settled at most: what one pass leaves broken is nearer to a valid row for the next."""

PIECE = 1 << 13
"""Rows that are settled at once."""

CHANGED = 1e-6
"""From which share of its size on a difference counts as a change: less is the rounding of float32."""


@dataclass(frozen=True, kw_only=True)
class ColumnChange:
    """What repair changed in one column.

    Attributes:
        name: The column.
        rows: How many of its values changed.
        mean: By how much on average, among those; NaN where values were missing or infinite.
        most: By how much at most.
    """

    name: str
    rows: int
    mean: float
    most: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """A repaired table, and what was done.

    Attributes:
        frame: The table, of the kind that came in.
        before: The rows that broke no rule before [rows].
        after: The rows that break no rule now [rows]; the others are as they came, for want of a valid row near them.
        changes: What changed, column by column, the most changed first.
    """

    frame: Native
    before: Booleans
    after: Booleans
    changes: tuple[ColumnChange, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.before)

    @property
    def changed(self) -> int:
        """How many rows were replaced by valid ones."""
        return int((self.after & ~self.before).sum())

    @property
    def failed(self) -> Booleans:
        """The rows that could not be repaired [rows], for a generator to mint anew."""
        return ~self.after

    def to_json(self) -> dict[str, Any]:
        """Describe in JSON what was done."""
        return {
            "rows": self.rows,
            "valid_before": int(self.before.sum()),
            "valid_after": int(self.after.sum()),
            "changed": self.changed,
            "failed": [int(i) for i in np.flatnonzero(self.failed)[:1000]],
            "columns": [
                {"name": c.name, "rows": c.rows, "mean": _plain(c.mean), "most": _plain(c.most)} for c in self.changes
            ],
        }


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A table to repair.

    Attributes:
        table: The rows.
        rules: The rules.
        columns: Its columns that the rules speak of.
        classes: Which rows are of each class that a rule names; None without a label.
        solver: What settles rows by the rules.
        progress: Shows how far it is.
    """

    table: pl.DataFrame
    rules: Sequence[Rule]
    columns: Columns
    classes: Mapping[str, Booleans] | None
    solver: Solver
    progress: Progress


def repair_table(task: Task) -> Repaired:
    """Repair a table; see `flowmint.rules.ruleset.Rules.repair`.

    Args:
        task: The table and its rules.

    Returns:
        The repaired table, in Polars, and what was done.
    """
    columns, table = task.columns, task.table
    with task.progress.stage("checking", total=columns.rows, unit="rows") as stage:
        before: Booleans = np.asarray(judge_rows(task.rules, columns, task.classes, stage.advance).all(axis=1))
    found, pending = _find(np.flatnonzero(~before), task)
    after = np.ones_like(before)
    after[pending] = False
    changes: list[ColumnChange] = []
    series: list[pl.Series] = []
    for name in (*columns.numbers, *columns.texts):
        change = _put(table[name], columns, found)
        if change is not None:
            series.append(change[0])
            changes += change[1:]
    changes.sort(key=lambda change: -change.rows)
    return Repaired(frame=table.with_columns(series), before=before, after=after, changes=tuple(changes))


def _find(
    pending: npt.NDArray[np.int64], task: Task
) -> tuple[list[tuple[npt.NDArray[np.int64], Columns]], npt.NDArray[np.int64]]:
    """Find valid rows for broken ones; give parts of them with what was found, and those without."""
    found: list[tuple[npt.NDArray[np.int64], Columns]] = []
    current = piece_of(task.columns, pending)
    for attempt in range(PASSES):
        if not len(pending):
            break
        own = None if task.classes is None else {name: mask[pending] for name, mask in task.classes.items()}
        settled = _settle(current, own, task, "repairing again" if attempt else "repairing")
        good = judge_rows(task.rules, settled, own).all(axis=1)
        found.append((pending[good], piece_of(settled, np.flatnonzero(good))))
        pending, current = pending[~good], piece_of(settled, np.flatnonzero(~good))
    return found, pending


def _put(
    series: pl.Series, columns: Columns, found: Sequence[tuple[npt.NDArray[np.int64], Columns]]
) -> tuple[pl.Series, *tuple[ColumnChange, ...]] | None:
    """Put what was found into a column; None where nothing differs."""
    name = series.name
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(rows for rows, _ in found)])
    if name in columns.texts:
        old = columns.texts[name].codes[rows]
        new = np.concatenate([np.empty(0, dtype=np.int64), *(each.texts[name].codes for _, each in found)])
        differs = old != new
        if not differs.any():
            return None
        text = TextColumn(new[differs], columns.texts[name].names)
        change = ColumnChange(name=name, rows=int(differs.sum()), mean=float("nan"), most=float("nan"))
        return with_texts(series, rows[differs], text), change
    before = columns.numbers[name][rows]
    after = np.concatenate([np.empty(0), *(each.numbers[name] for _, each in found)])
    differs = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    if not differs.any():
        return None
    return with_numbers(series, rows[differs], after[differs]), *_change(name, before[differs], after[differs])


def _change(name: str, before: Floats, after: Floats) -> tuple[ColumnChange, ...]:
    """Tell what changed in a column, unless it is only the rounding of float32."""
    with np.errstate(all="ignore"):
        apart = np.abs(after - before)
        differs = ~(apart <= CHANGED * np.maximum(np.abs(before), np.abs(after)))
        if not differs.any():
            return ()
        moved = apart[differs]
        return (ColumnChange(name=name, rows=len(moved), mean=float(moved.mean()), most=float(moved.max())),)


def _settle(columns: Columns, classes: Mapping[str, Booleans] | None, task: Task, stage_name: str) -> Columns:
    """Settle rows piece by piece."""
    table = task.table
    dtypes = {name: table[name].dtype for name in columns.numbers}
    numbers = {name: np.empty(columns.rows) for name in columns.numbers}
    codes = {name: np.empty(columns.rows, dtype=np.int64) for name in columns.texts}

    def work(rows: slice) -> None:
        piece = piece_of(columns, rows)
        found = task.solver.settle(
            Rows(
                numbers=piece.numbers,
                texts=piece.texts,
                classes=None if classes is None else {name: mask[rows] for name, mask in classes.items()},
                whole=frozenset(name for name, dtype in dtypes.items() if dtype.is_integer()),
                fit=lambda name, values: fit_dtype(values, dtypes[name]),
                count=piece.rows,
                precision=lambda name: 2.0**-23 if str(dtypes[name]) == "Float32" else 2.0**-52,
            )
        )
        for name, values in found.numbers.items():
            numbers[name][rows] = values
        for name, text in found.texts.items():
            codes[name][rows] = text.codes

    with task.progress.stage(stage_name, total=columns.rows, unit="rows") as stage:
        in_pieces(columns.rows, work, size=PIECE, done=stage.advance)
    texts = {name: TextColumn(codes[name], text.names) for name, text in columns.texts.items()}
    return Columns(numbers, texts, columns.rows)
