"""Repairing a table: which rows, how often, and what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flowmint.rules.check import in_pieces, judge_rows, piece_of
from flowmint.rules.evaluate import Columns
from flowmint.rules.solve import Rows
from flowmint.rules.table import fit_dtype, with_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from flowmint.flows.frames import Native
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


def repair_table(
    table: pl.DataFrame,
    *,
    rules: Sequence[Rule],
    columns: Columns,
    classes: Mapping[str, Booleans] | None,
    solver: Solver,
) -> tuple[pl.DataFrame, Repaired]:
    """Repair a table; see `flowmint.rules.ruleset.Rules.repair`.

    Args:
        table: The rows.
        rules: The rules.
        columns: Its columns that the rules speak of.
        classes: Which rows are of each class that a rule names; None without a label.
        solver: What settles rows by the rules.

    Returns:
        The repaired table, and what was done, with the table in Polars.
    """
    before = judge_rows(rules, columns, classes).all(axis=1)
    values = {name: array.copy() for name, array in columns.numbers.items()}
    after = before.copy()
    pending = np.flatnonzero(~before)
    broken = pending
    current = {name: array[pending] for name, array in values.items()}
    for _ in range(PASSES):
        if not len(pending):
            break
        texts = piece_of(Columns({}, columns.texts, columns.rows), pending).texts
        own = None if classes is None else {name: mask[pending] for name, mask in classes.items()}
        settled = _settle(solver, table, Columns(current, texts, len(pending)), own)
        good = judge_rows(rules, Columns(settled, texts, len(pending)), own).all(axis=1)
        for name, array in settled.items():
            values[name][pending[good]] = array[good]
        after[pending[good]] = True
        pending = pending[~good]
        current = {name: array[~good] for name, array in settled.items()}
    repaired = broken[after[broken]]
    changes = _changes(columns.numbers, values, repaired)
    changed = {change.name for change in changes}
    new = [with_numbers(table[name], repaired, values[name][repaired]) for name in values if _differs(columns.numbers[name], values[name], repaired)]
    table = table.with_columns(new)
    del changed
    return table, Repaired(frame=table, before=before, after=after, changes=changes)


def _differs(old: Floats, new: Floats, rows: np.ndarray) -> bool:
    return not np.array_equal(old[rows], new[rows], equal_nan=True)


def _settle(
    solver: Solver, table: pl.DataFrame, columns: Columns, classes: Mapping[str, Booleans] | None
) -> dict[str, Floats]:
    """Settle rows piece by piece."""
    dtypes = {name: table[name].dtype for name in columns.numbers}
    settled = {name: np.empty(columns.rows) for name in columns.numbers}

    def work(rows: slice) -> None:
        piece = piece_of(columns, rows)
        found = solver.settle(
            Rows(
                numbers=piece.numbers,
                texts=piece.texts,
                classes=None if classes is None else {name: mask[rows] for name, mask in classes.items()},
                whole=frozenset(name for name, dtype in dtypes.items() if dtype.is_integer()),
                fit=lambda name, values: fit_dtype(values, dtypes[name]),
                precision=lambda name: 2.0**-23 if str(dtypes[name]) == "Float32" else 2.0**-52,
            )
        )
        for name, values in found.items():
            settled[name][rows] = values

    in_pieces(columns.rows, work, size=1 << 13)
    return settled


def _changes(old: Mapping[str, Floats], new: Mapping[str, Floats], rows: np.ndarray) -> tuple[ColumnChange, ...]:
    """Tell what changed in which column, the most changed first."""
    changes = []
    with np.errstate(all="ignore"):
        for name in old:
            before, after = old[name][rows], new[name][rows]
            same = (before == after) | (np.isnan(before) & np.isnan(after))
            apart = np.abs(after - before)
            differs = ~same & ~(apart <= CHANGED * np.maximum(np.abs(before), np.abs(after)))
            if differs.any():
                moved = apart[differs]
                changes.append(
                    ColumnChange(name=name, rows=len(moved), mean=float(moved.mean()), most=float(moved.max()))
                )
    return tuple(sorted(changes, key=lambda change: -change.rows))
