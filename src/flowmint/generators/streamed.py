"""Learning from a table larger than memory: a sample of its rows, and what all rows say, in a few passes.

The passes: classes are counted; rows are drawn, class by class; rules that these show are counted in all rows; and the
values of every column are. Networks learn from the drawn rows, which weigh as much as the rows that they stand for;
how often a value occurs, and which rules hold, comes from all rows. In each pass pieces of the rows may be read side by
side (`flowmint.flows.stream.Stream.gather`); what is made of them merges to what is made of all rows.

Of R rows that may be drawn, half are shared in proportion to the classes' rows and the others evenly, so that rare
classes keep all of theirs. Which rows of a class are drawn follows from the seed, its number of rows and their order
alone, not from how batches are cut; each is as likely as any other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from os import cpu_count
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.encode.encoder import Encoder
from flowmint.encode.sketch import Sketch
from flowmint.errors import LabelError, ReadError, TableError, nearest
from flowmint.flows.schema import Classes, Schema, check_classes, count_empty, has_value, refuse_empty
from flowmint.generators.validity import (
    AUTO,
    MOST_BROKEN,
    NONE,
    Validity,
    find_candidates,
    finite_columns,
    named_rules,
    settle,
)
from flowmint.progress import SILENT, Progress
from flowmint.rules.check import Tally
from flowmint.rules.discover import Recount
from flowmint.rules.ruleset import refuse_broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from flowmint.flows.stream import Stream
    from flowmint.rules.ruleset import Rules

    Counts = npt.NDArray[np.int64]
    Codes = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

CHECKING = "checking rules"
"""What progress calls the pass that counts rules."""

LEARN_ROWS = 150_000
"""Rows of a streamed table that are drawn to learn from."""


def unusual(table: pl.DataFrame) -> dict[str, Mask]:
    """Find missing and infinite values.

    Args:
        table: Rows [rows, columns].

    Returns:
        For each column the rows where it has none that is finite or a name [rows].
    """
    found = {}
    for column in table.iter_columns():
        bad = column.is_null()
        if column.dtype.is_float():
            bad = bad | ~column.is_finite().fill_null(value=False)
        found[column.name] = bad.to_numpy()
    return found


@dataclass(frozen=True)
class Census:
    """The classes of a streamed table.

    Attributes:
        classes: The classes.
        counts: Rows of each [classes].
        pieces: Those of each piece of the stream that are learnt from, by the missing-value policy [pieces, classes].
    """

    classes: Classes
    counts: Counts
    pieces: Counts

    @property
    def learnt(self) -> Counts:
        """Rows of each class that are learnt from [classes]."""
        total: Counts = self.pieces.sum(axis=0)
        return total

    @classmethod
    def take(
        cls, stream: Stream, label: str, *, missing: str = "learn", at_least: int = 1, progress: Progress = SILENT
    ) -> Census:
        """Count classes in one pass.

        Args:
            stream: All rows.
            label: The label column.
            missing: The missing-value policy of what learns; unless it is ``learn``, all columns are read.
            at_least: How many classes there must be.
            progress: Shows how far it is.

        Returns:
            The classes and their rows.

        Raises:
            LabelError: There is no such column, a label is empty, or there are too few classes; or the policy leaves no
                row of a class.
            TableError: The policy is ``error``, and there are missing values.
        """
        if label not in stream.schema:
            message = f"there is no column {label!r} to take as label; {nearest(label, list(stream.schema))}"
            raise LabelError(message)
        columns = [label] if missing == "learn" else None
        work = partial(_count, label)
        counted = list(stream.gather(work, columns=columns, name="counting", progress=progress))
        refuse_empty(label, empty=sum(each.empty for each in counted), rows=stream.rows)
        if missing == "error":
            refuse_missing(_summed(each.bad for each in counted))
        rows = _summed(each.rows for each in counted)
        classes = Classes.of(pl.Series(label, list(rows), dtype=stream.schema[label]))
        check_classes(label, classes.names, at_least=at_least)
        counts = np.array([rows[value] for value in classes.values])
        pieces = np.array([[each.learnt.get(value, 0) for value in classes.values] for each in counted])
        census = cls(classes, counts, pieces)
        refuse_unlearnt(classes, census.learnt)
        return census


@dataclass
class _Counted:
    """What counting makes of rows.

    Attributes:
        rows: Rows of each class.
        learnt: Those of them without a value that is missing or infinite.
        bad: Such values of each column.
        empty: Empty labels.
    """

    rows: dict[Any, int] = field(default_factory=dict)
    learnt: dict[Any, int] = field(default_factory=dict)
    bad: dict[str, int] = field(default_factory=dict)
    empty: int = 0


def _count(label: str, batches: Iterator[pl.DataFrame], _: None) -> _Counted:
    """Count the classes of rows."""
    counted = _Counted()
    for batch in batches:
        labels = batch[label]
        counted.empty += count_empty(labels)
        marks = unusual(batch.drop(label))
        counted.bad = _summed([counted.bad, {name: int(rows.sum()) for name, rows in marks.items()}])
        usual = ~np.logical_or.reduce([np.zeros(batch.height, dtype=bool), *marks.values()])
        counted.rows = _summed([counted.rows, _by_value(labels)])
        counted.learnt = _summed([counted.learnt, _by_value(labels.filter(pl.Series(usual)))])
    return counted


def _by_value(labels: pl.Series) -> dict[Any, int]:
    """Count the rows of each value."""
    return dict(labels.value_counts(name="rows").iter_rows())


def _summed(counts: Iterable[dict[Any, int]]) -> dict[Any, int]:
    """Add up counts of the same things."""
    total: dict[Any, int] = {}
    for each in counts:
        for key, rows in each.items():
            total[key] = total.get(key, 0) + rows
    return total


def refuse_missing(bad: dict[str, int]) -> None:
    """Refuse missing and infinite values.

    Args:
        bad: How many there are, by column.

    Raises:
        TableError: There are any.
    """
    for name, rows in bad.items():
        if rows:
            message = (
                f"column {name!r} has {rows} missing or infinite values; "
                "clean them, or learn or drop them (--missing learn, missing='learn')"
            )
            raise TableError(message)


def refuse_unlearnt(classes: Classes, learnt: Counts) -> None:
    """Refuse classes of which no row is left to learn from.

    Raises:
        LabelError: There is one.
    """
    for name, rows in zip(classes.names, learnt.tolist(), strict=True):
        if not rows:
            message = (
                f"every row of class {name!r} has a missing or infinite value, so missing='drop' "
                "leaves none to learn from; use missing='learn'"
            )
            raise LabelError(message)


def shares(counts: Counts, rows: int) -> Counts:
    """Share out the rows that may be drawn among the classes.

    Args:
        counts: Rows of each class [classes].
        rows: How many may be drawn in all.

    Returns:
        Rows to draw of each class [classes], at least one: half of them in proportion to the classes' rows, or what is
        left when each class has one, and the others evenly; all of a class that has fewer.
    """
    if counts.sum() <= rows:
        return counts
    proportional = max(min(rows / 2, rows - len(counts)), 0)
    part = np.floor(proportional * (counts / counts.sum())).astype(np.int64)
    low, high = 1, rows  # the even part: the most that does not draw too many rows
    while low < high:
        even = (low + high + 1) // 2
        low, high = (even, high) if np.minimum(counts, part + even).sum() <= rows else (low, even - 1)
    drawn: Counts = np.minimum(counts, part + low)
    return drawn


@dataclass(frozen=True)
class Drawn:
    """Rows to learn from.

    Attributes:
        table: Their feature columns [rows, columns], in the order of the whole table.
        codes: Their classes' numbers [rows].
        schema: The feature columns.
        finite: Those that are finite in every row that is learnt from, drawn or not.
    """

    table: pl.DataFrame
    codes: Codes
    schema: Schema
    finite: frozenset[str]


@dataclass(frozen=True)
class _Rows:
    """Which rows of a streamed table are learnt from, and how their classes are named.

    Attributes:
        label: The label column.
        missing: The missing-value policy.
        classes: The classes.
    """

    label: str
    missing: str
    classes: Classes

    def kept(self, batch: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Give the feature columns [rows, columns] and labels [rows] of those that are learnt from."""
        table, labels = batch.drop(self.label), batch[self.label]
        if self.missing != "drop":
            return table, labels
        kept = pl.Series(~np.logical_or.reduce([np.zeros(batch.height, dtype=bool), *unusual(table).values()]))
        return table.filter(kept), labels.filter(kept)

    def names(self, labels: pl.Series) -> pl.Series:
        """Give classes as text [rows]."""
        return self.named(self.classes.codes(labels))

    def named(self, codes: Codes) -> pl.Series:
        """Give classes' numbers as text [rows]."""
        return pl.Series("class", np.array(self.classes.names, dtype=object)[codes].tolist(), dtype=pl.String)


class Learnt:
    """The rows of a streamed table that are learnt from, by the missing-value policy, pass by pass.

    Args:
        stream: All rows.
        label: The label column.
        missing: The policy.
        census: The classes.
    """

    def __init__(self, stream: Stream, label: str, *, missing: str, census: Census) -> None:
        self._stream, self._census = stream, census
        self._rows = _Rows(label, missing, census.classes)

    def draw(self, rows: int, *, seed: int, progress: Progress) -> Drawn:
        """Draw rows in one pass.

        Args:
            rows: How many at most, but for one of each class.
            seed: Seed of the draw.
            progress: Shows how far it is.

        Returns:
            The rows.

        Raises:
            TableError: A column holds no value at all, or is of an unusable dtype.
            ReadError: There are not as many rows as were counted.
        """
        learnt, pieces = self._census.learnt, self._census.pieces
        rng = np.random.default_rng(seed)
        chosen = [
            np.sort(rng.choice(count, size=share, replace=False, shuffle=False))
            for count, share in zip(learnt.tolist(), shares(learnt, rows).tolist(), strict=True)
        ]
        work = partial(_draw, self._rows)
        drawn = list(self._stream.gather(work, _by_piece(chosen, pieces), name="drawing", progress=progress))
        seen = np.array([each.seen for each in drawn])
        if (seen != pieces).any():
            message = f"{int(pieces.sum()):,} rows became {int(seen.sum()):,} while they were read; try again"
            raise ReadError(message)
        dtypes = {name: dtype for name, dtype in self._stream.schema.items() if name != self._rows.label}
        filled = frozenset[str]().union(*(each.filled for each in drawn))
        return Drawn(
            pl.concat([each.table for each in drawn]),
            np.concatenate([each.codes for each in drawn]),
            Schema.of(dtypes, rows=self._stream.rows, filled=filled),
            drawn[0].finite.intersection(*(each.finite for each in drawn)),
        )

    def learn_rules(self, wanted: str | Rules, drawn: Drawn, *, force: bool, progress: Progress) -> Validity:
        """Find rules as `Validity.learn` does, on the rows that were drawn, and count them in all rows.

        Args:
            wanted: As for `Validity.learn`, like ``force``.
            drawn: The rows.
            force: Whether rules that are named or given are kept however many rows break them.
            progress: Told of the search, and of the pass.

        Returns:
            The rules and the columns that need not be learnt.

        Raises:
            RuleError: As `Validity.learn`.
        """
        if isinstance(wanted, str) and wanted == NONE:
            return Validity()
        if isinstance(wanted, str) and wanted == AUTO:
            rules = self._find_rules(drawn, progress)
        else:
            rules, tally = named_rules(wanted) if isinstance(wanted, str) else wanted, Tally()
            for each in self._stream.gather(partial(_check, self._rows, rules), name=CHECKING, progress=progress):
                tally.merge(each)
            refuse_broken(tally.broken, most_broken=1.0 if force else MOST_BROKEN)
            rules = rules.fitting(drawn.table)
        return Validity.of(rules, drawn.table, finite=drawn.finite)

    def _find_rules(self, drawn: Drawn, progress: Progress) -> Rules:
        """Find rules on the rows that were drawn, and leave out those that too many of all rows break."""
        shown, profile = find_candidates(drawn.table, self._rows.named(drawn.codes), progress=progress)
        recount, tally = Recount(shown), Tally()
        work = partial(_recount, self._rows, shown, profile)
        for counted, judged in self._stream.gather(work, name=CHECKING, progress=progress):
            recount.merge(counted)
            tally.merge(judged)
        return settle(replace(shown, rules=recount.rules), profile, tally.broken)

    def measure(self, validity: Validity, schema: Schema, *, progress: Progress) -> tuple[Encoder, int]:
        """Count the values of every learnt column in one pass.

        Args:
            validity: What rules mean for the rows.
            schema: The feature columns.
            progress: Shows how far it is.

        Returns:
            The encoder of what `Validity.reduce` gives, and how many rows break a rule.
        """
        learnt = validity.schema(schema)
        threads = (cpu_count() or 1) if self._stream.runner is None else 1  # a runner has pieces for all cores
        work = partial(_measure, self._rows, validity, learnt, threads)
        sketches, invalid = [Sketch(column) for column in learnt.columns], 0
        for measured, broken in self._stream.gather(work, name="measuring", progress=progress):
            for sketch, part in zip(sketches, measured, strict=True):
                sketch.merge(part)
            invalid += broken
        return Encoder(schema=learnt, supports=tuple(sketch.support() for sketch in sketches)), invalid


@dataclass(frozen=True)
class _DrawnPiece:
    """What drawing makes of a piece of the rows.

    Attributes:
        table: The feature columns of what is drawn [rows, columns].
        codes: Their classes' numbers [rows].
        seen: The piece's rows of each class that are learnt from [classes].
        filled: Columns that hold a value.
        finite: Those that are finite in every row that is learnt from.
    """

    table: pl.DataFrame
    codes: Codes
    seen: Counts
    filled: frozenset[str]
    finite: frozenset[str]


def _draw(rows: _Rows, batches: Iterator[pl.DataFrame], chosen: list[Counts]) -> _DrawnPiece:
    """Draw rows of a piece: of each class those that are chosen, counted from its first in the piece."""
    seen = np.zeros(len(chosen), dtype=np.int64)
    filled: set[str] = set()
    finite: set[str] | None = None
    tables, codes = [], []
    for batch in batches:
        table, labels = rows.kept(batch)
        filled |= {name for name in table.columns if name not in filled and has_value(batch[name])}
        finite = finite_columns(table) if finite is None else finite & finite_columns(table)
        numbers = rows.classes.codes(labels)
        drawn = _drawn(numbers, chosen, seen)
        tables.append(table[drawn])
        codes.append(numbers[drawn])
    return _DrawnPiece(pl.concat(tables), np.concatenate(codes), seen, frozenset(filled), frozenset(finite or ()))


def _check(rows: _Rows, rules: Rules, batches: Iterator[pl.DataFrame], _: None) -> Tally:
    """Count the rows of a piece that break rules."""
    tally = Tally()
    for batch in batches:
        table, labels = rows.kept(batch)
        tally.add(rules.check(table, label=rows.names(labels)))
    return tally


def _recount(
    rows: _Rows, shown: Rules, profile: Rules | None, batches: Iterator[pl.DataFrame], _: None
) -> tuple[Recount, Tally]:
    """Count in a piece the rules that drawn rows show, and those of an extractor."""
    recount, tally = Recount(shown), Tally()
    for batch in batches:
        table, _labels = rows.kept(batch)
        recount.add(table)
        if profile is not None:
            tally.add(profile.check(table))
    return recount, tally


def _measure(
    rows: _Rows, validity: Validity, learnt: Schema, threads: int, batches: Iterator[pl.DataFrame], _: None
) -> tuple[list[Sketch], int]:
    """Count the values of a piece, and the rows that break a rule."""
    sketches = [Sketch(column) for column in learnt.columns]
    told = {each.column for each in validity.relative}
    invalid = 0
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            table, labels = rows.kept(batch)
            if len(validity.rules):
                invalid += int((~validity.rules.check(table, label=rows.names(labels)).valid).sum())
            with np.errstate(all="ignore"):  # beyond the rows that were drawn, bounds may leave no room
                reduced = validity.reduce(table)
            columns = [_usable(reduced[sketch.column.name], told) for sketch in sketches]
            list(pool.map(Sketch.add, sketches, columns))
    return sketches, invalid


def _by_piece(chosen: list[Counts], pieces: Counts) -> list[list[Counts]]:
    """Share out the rows that are drawn of each class among pieces.

    Args:
        chosen: Of each class, which of its rows to draw, counted from 0 and ascending.
        pieces: Rows of each class in each piece [pieces, classes].

    Returns:
        For each piece the same, counted from its first.
    """
    ends = np.cumsum(pieces, axis=0)
    found = []
    for first, last in zip((ends - pieces).tolist(), ends.tolist(), strict=True):
        spans = zip(chosen, first, last, strict=True)
        found.append([rows[slice(*np.searchsorted(rows, [a, b]))] - a for rows, a, b in spans])
    return found


def _drawn(codes: Codes, chosen: list[Counts], seen: Counts) -> Codes:
    """Find the rows of a batch that are drawn.

    Args:
        codes: Classes' numbers [rows].
        chosen: Of each class, which of its rows to draw, counted from 0 and ascending.
        seen: Rows of each class before this batch [classes]; counted on.

    Returns:
        Positions in the batch, ascending.
    """
    found = []
    for code in np.unique(codes).tolist():
        places = np.flatnonzero(codes == code)
        first, last = np.searchsorted(chosen[code], [seen[code], seen[code] + len(places)])
        found.append(places[chosen[code][first:last] - seen[code]])
        seen[code] += len(places)
    return np.sort(np.concatenate([np.array([], dtype=np.int64), *found]))


def _usable(series: pl.Series, told: set[str]) -> pl.Series:
    """Leave out what bounds do not tell: columns that are told by them are finite."""
    return series.filter(series.is_finite()) if series.name in told else series


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """What a generator that learnt from a streamed table knows of it.

    Attributes:
        rows: Rows of the table.
        drawn: Rows that networks learnt from.
        invalid: Rows that are learnt from by the missing-value policy and break a rule.
        counts: Rows of each class that are learnt from by the missing-value policy [classes].
        encoder: The values of every learnt column in all rows.
    """

    rows: int
    drawn: int
    invalid: int
    counts: Counts
    encoder: Encoder


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a generator learns from, read from a table larger than memory; of bounded size, and may be sent elsewhere.

    Attributes:
        classes: The classes.
        drawn: The rows that networks learn from.
        validity: What rules mean for them.
        streamed: What was counted.
    """

    classes: Classes
    drawn: Drawn
    validity: Validity
    streamed: Streamed
