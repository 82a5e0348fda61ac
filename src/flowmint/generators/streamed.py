"""Learning from a table larger than memory: a sample of its rows, and what all rows say, in a few passes.

The passes: classes are counted; rows are drawn, class by class; rules that these show are counted in all rows; and the
values of every column are. Networks learn from the drawn rows, which weigh as much as the rows that they stand for;
how often a value occurs, and which rules hold, comes from all rows.

Of R rows that may be drawn, half are shared in proportion to the classes' rows and the others evenly, so that rare
classes keep all of theirs. Which rows of a class are drawn follows from the seed, its number of rows and their order
alone, not from how batches are cut; each is as likely as any other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
    from collections.abc import Iterator

    import numpy.typing as npt

    from flowmint.flows.stream import Stream
    from flowmint.rules.ruleset import Rules

    Counts = npt.NDArray[np.int64]
    Codes = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

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
        learnt: Those of them that are learnt from, by the missing-value policy [classes].
    """

    classes: Classes
    counts: Counts
    learnt: Counts

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
        found: dict[Any, Counts] = {}
        bad: dict[str, int] = {}
        empty = 0
        for batch in stream.batches(columns, name="counting", progress=progress):
            labels = batch[label]
            empty += count_empty(labels)
            marks = unusual(batch.drop(label))
            for name, rows in marks.items():
                bad[name] = bad.get(name, 0) + int(rows.sum())
            kept = ~np.logical_or.reduce([np.zeros(batch.height, dtype=bool), *marks.values()])
            for place, part in enumerate((labels, labels.filter(pl.Series(kept)))):
                for value, rows in part.value_counts(name="rows").iter_rows():
                    found.setdefault(value, np.zeros(2, dtype=np.int64))[place] += rows
        refuse_empty(label, empty=empty, rows=stream.rows)
        if missing == "error":
            refuse_missing(bad)
        classes = Classes.of(pl.Series(label, list(found), dtype=stream.schema[label]))
        check_classes(label, classes.names, at_least=at_least)
        counts = np.array([found[value] for value in classes.values])
        refuse_unlearnt(classes, counts[:, 1])
        return cls(classes, counts[:, 0], counts[:, 1])


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


class Learnt:
    """The rows of a streamed table that are learnt from, by the missing-value policy, batch by batch.

    Args:
        stream: All rows.
        label: The label column.
        missing: The policy.
        census: The classes.
    """

    def __init__(self, stream: Stream, label: str, *, missing: str, census: Census) -> None:
        self.stream, self.label, self.missing, self.census = stream, label, missing, census

    def batches(self, name: str, progress: Progress) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        """Read the rows once.

        Args:
            name: What progress calls the pass.
            progress: Shows how far it is.

        Yields:
            Feature columns [rows, columns] and labels [rows].
        """
        for batch in self.stream.batches(name=name, progress=progress):
            yield self.kept(batch)

    def kept(self, batch: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Leave out the rows that are not learnt from."""
        table, labels = batch.drop(self.label), batch[self.label]
        if self.missing != "drop":
            return table, labels
        kept = pl.Series(~np.logical_or.reduce([np.zeros(batch.height, dtype=bool), *unusual(table).values()]))
        return table.filter(kept), labels.filter(kept)

    def names(self, labels: pl.Series) -> pl.Series:
        """Give classes as text [rows]."""
        codes = self.census.classes.codes(labels)
        return pl.Series("class", np.array(self.census.classes.names, dtype=object)[codes].tolist(), dtype=pl.String)

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
        census = self.census
        rng = np.random.default_rng(seed)
        chosen = [
            np.sort(rng.choice(count, size=share, replace=False, shuffle=False))
            for count, share in zip(census.learnt.tolist(), shares(census.learnt, rows).tolist(), strict=True)
        ]
        seen = np.zeros(len(census.learnt), dtype=np.int64)
        dtypes = {name: dtype for name, dtype in self.stream.schema.items() if name != self.label}
        filled: set[str] = set()
        finite = set(dtypes)
        tables, codes = [], []
        for batch in self.stream.batches(name="drawing", progress=progress):
            filled |= {name for name in dtypes if name not in filled and has_value(batch[name])}
            table, labels = self.kept(batch)
            finite &= finite_columns(table)
            numbers = census.classes.codes(labels)
            drawn = _drawn(numbers, chosen, seen)
            tables.append(table[drawn])
            codes.append(numbers[drawn])
        if (seen != census.learnt).any():
            message = f"{int(census.learnt.sum()):,} rows became {int(seen.sum()):,} while they were read; try again"
            raise ReadError(message)
        schema = Schema.of(dtypes, rows=self.stream.rows, filled=filled)
        return Drawn(pl.concat(tables), np.concatenate(codes), schema, frozenset(finite))

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
            for table, labels in self.batches("checking rules", progress):
                tally.add(rules.check(table, label=self.names(labels)))
            refuse_broken(tally.broken, most_broken=1.0 if force else MOST_BROKEN)
            rules = rules.fitting(drawn.table)
        return Validity.of(rules, drawn.table, finite=drawn.finite)

    def _find_rules(self, drawn: Drawn, progress: Progress) -> Rules:
        """Find rules on the rows that were drawn, and leave out those that too many of all rows break."""
        names = pl.Series("class", np.array(self.census.classes.names, dtype=object)[drawn.codes].tolist())
        shown, profile = find_candidates(drawn.table, names.cast(pl.String), progress=progress)
        recount, tally = Recount(shown), Tally()
        for table, _ in self.batches("checking rules", progress):
            recount.add(table)
            if profile is not None:
                tally.add(profile.check(table))
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
        sketches = [Sketch(column) for column in learnt.columns]
        told = {each.column for each in validity.relative}
        invalid = 0
        with ThreadPoolExecutor(cpu_count() or 1) as pool:
            for table, labels in self.batches("measuring", progress):
                if len(validity.rules):
                    invalid += int((~validity.rules.check(table, label=self.names(labels)).valid).sum())
                with np.errstate(all="ignore"):  # beyond the rows that were drawn, bounds may leave no room
                    reduced = validity.reduce(table)
                columns = [_usable(reduced[sketch.column.name], told) for sketch in sketches]
                list(pool.map(Sketch.add, sketches, columns))
        return Encoder(schema=learnt, supports=tuple(sketch.support() for sketch in sketches)), invalid


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
