"""Repairing a table: which rows, how often, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flowmint.rules.check import piece_of, pieces_of, valid_rows
from flowmint.rules.evaluate import Columns, TextColumn
from flowmint.rules.solve import Rows
from flowmint.rules.table import fit_dtype, replace_numbers, with_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import polars as pl

    from flowmint.flows.frames import Native
    from flowmint.progress import Progress, Stage
    from flowmint.rules.evaluate import Booleans, Floats
    from flowmint.rules.language import Rule
    from flowmint.rules.solve import Solver

PASSES = 3
"""How often a row is settled at most: what one pass leaves broken is nearer to a valid row for the next."""

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
    found = _find(task)
    old = task.columns.numbers
    changes = [change for name, new in found.columns.numbers.items() for change in _change(name, old[name], new)]
    for name, text in found.columns.texts.items():
        rows = int((text.codes != task.columns.texts[name].codes).sum())
        if rows:
            changes.append(ColumnChange(name=name, rows=rows, mean=float("nan"), most=float("nan")))
    changes.sort(key=lambda change: -change.rows)
    return Repaired(frame=found.frame(task), before=found.before, after=found.after, changes=tuple(changes))


def make_valid(task: Task) -> tuple[pl.DataFrame, Booleans]:
    """Repair a table as `repair_table` does, without telling what changed.

    Args:
        task: The table and its rules.

    Returns:
        The repaired table, and the rows that break no rule now [rows].
    """
    found = _find(task)
    return found.frame(task), found.after


@dataclass(frozen=True)
class _Found:
    """Valid rows for broken ones.

    Attributes:
        columns: The columns that rules speak of, with what was found.
        before: The rows that broke no rule before [rows].
        after: The rows that break none now [rows]; the others are as they came.
    """

    columns: Columns
    before: Booleans
    after: Booleans

    def frame(self, task: Task) -> pl.DataFrame:
        """Put what was found into the table."""
        table, old = task.table, task.columns
        if self.before.all():
            return table
        numbers = [replace_numbers(table[name], old.numbers[name], new) for name, new in self.columns.numbers.items()]
        texts = []
        for name, text in self.columns.texts.items():
            rows = np.flatnonzero(text.codes != old.texts[name].codes)
            if len(rows):
                texts.append(with_texts(table[name], rows, TextColumn(text.codes[rows], text.names)))
        return table.with_columns(*numbers, *texts)


def _find(task: Task) -> _Found:
    """Find valid rows for broken ones."""
    columns, rules = task.columns, task.rules
    with task.progress.stage("checking", total=columns.rows, unit="rows") as stage:
        before = valid_rows(rules, columns, task.classes, stage.advance)
    found = Columns(
        {name: np.array(values) for name, values in columns.numbers.items()},
        {name: TextColumn(np.array(text.codes), text.names) for name, text in columns.texts.items()},
        columns.rows,
    )
    lacking, current = np.flatnonzero(~before), None
    for attempt in range(PASSES):
        if not len(lacking):
            break
        name = "repairing again" if attempt else "repairing"
        with task.progress.stage(name, total=len(lacking), unit="rows") as stage:
            lacking, current = _pass(task, found, lacking, current, stage)
    after = np.ones_like(before)
    after[lacking] = False
    return _Found(found, before, after)


def _pass(
    task: Task, found: Columns, lacking: npt.NDArray[np.int64], current: Columns | None, stage: Stage
) -> tuple[npt.NDArray[np.int64], Columns]:
    """Settle rows piece by piece and keep those that are valid then.

    Args:
        task: The table and its rules.
        found: Where to put valid rows.
        lacking: Positions of the rows [n].
        current: What they are now [n]; what they are in the table if absent.
        stage: Told how far it is.

    Returns:
        Positions of the rows that are not valid yet, and what they are now.
    """
    left, now = [], []
    for piece in pieces_of(len(lacking)):
        rows = lacking[piece]
        classes = None if task.classes is None else {name: mask[rows] for name, mask in task.classes.items()}
        begun = piece_of(task.columns, rows) if current is None else piece_of(current, piece)
        settled = task.solver.settle(_rows(task, begun, classes))
        valid = valid_rows(task.rules, settled, classes)
        good, bad = np.flatnonzero(valid), np.flatnonzero(~valid)
        _put(found, rows[good], piece_of(settled, good))
        left.append(rows[bad])
        now.append(piece_of(settled, bad))
        stage.advance(len(rows))
    return np.concatenate(left), _join(now)


def _put(found: Columns, rows: npt.NDArray[np.int64], settled: Columns) -> None:
    """Put rows where they belong."""
    for name, values in settled.numbers.items():
        found.numbers[name][rows] = values
    for name, text in settled.texts.items():
        found.texts[name].codes[rows] = text.codes


def _join(parts: Sequence[Columns]) -> Columns:
    """Put parts of columns one under the other."""
    first = parts[0]
    return Columns(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
        {
            name: TextColumn(np.concatenate([part.texts[name].codes for part in parts]), text.names)
            for name, text in first.texts.items()
        },
        sum(part.rows for part in parts),
    )


def _rows(task: Task, piece: Columns, classes: Mapping[str, Booleans] | None) -> Rows:
    """Describe rows to the solver."""
    dtypes = {name: task.table[name].dtype for name in piece.numbers}
    return Rows(
        numbers=piece.numbers,
        texts=piece.texts,
        classes=classes,
        whole=frozenset(name for name, dtype in dtypes.items() if dtype.is_integer()),
        fit=lambda name, values: fit_dtype(values, dtypes[name]),
        count=piece.rows,
        precision=lambda name: 2.0**-23 if str(dtypes[name]) == "Float32" else 2.0**-52,
    )


def _change(name: str, before: Floats, after: Floats) -> tuple[ColumnChange, ...]:
    """Tell what changed in a column, unless it is only the rounding of float32."""
    with np.errstate(all="ignore"):
        apart = np.abs(after - before)
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        differs = ~(same | (apart <= CHANGED * np.maximum(np.abs(before), np.abs(after))))
        if not differs.any():
            return ()
        moved = apart[differs]
        return (ColumnChange(name=name, rows=len(moved), mean=float(moved.mean()), most=float(moved.max())),)
