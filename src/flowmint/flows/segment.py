"""Rows of one file, as they lie in Parquet: read from any row on, little at a time, and never from a changed file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from flowmint.errors import ReadError
from flowmint.flows.parse import widen
from flowmint.flows.read import Mark, check_lengths, whole_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

BATCH_ROWS = 1 << 17
"""Rows that are in memory at once: some 40 MB of 39 columns."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Rows of one file, as they lie in Parquet.

    Attributes:
        file: The file that the user gave, for messages.
        path: Where the rows lie: the same, or a file of the scratch folder.
        mark: What the file must still be when it is read; None in the scratch folder.
        first: The first of the rows, counted from 0.
        rows: How many rows.
        stored: The columns as they are stored.
        dtypes: The dtypes that the whole file has.
        added: What is added to each row, by column.
    """

    file: Path
    path: Path
    mark: Mark | None
    first: int = 0
    rows: int
    stored: Mapping[str, pl.DataType]
    dtypes: Mapping[str, pl.DataType]
    added: Mapping[str, str]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The columns of what `batches` gives, as far as this file tells them."""
        return {**self.dtypes, **dict.fromkeys(self.added, pl.String())}

    def cut(self, first: int, last: int) -> Segment:
        """Leave out the rows before ``first`` and from ``last`` on, counted from this segment's first."""
        first, last = max(first, 0), min(last, self.rows)
        return replace(self, first=self.first + first, rows=last - first)

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Read the rows.

        Args:
            columns: Which columns.

        Yields:
            Up to `BATCH_ROWS` rows, in order.

        Raises:
            ReadError: The file changed, or is damaged.
        """
        own = [name for name in columns if name in self.dtypes]
        with ExitStack() as checks:
            if self.mark is not None:
                self.mark.check(self.file)
                checks.callback(self.mark.check, self.file)
            parts = self._stored(own) if own else _empty(self.rows)
            for part in parts if self.rows else ():
                table = widen(part, {name: self.dtypes[name] for name in own}) if own else part
                check_lengths(table, self.file)
                added = [
                    pl.repeat(value, part.height, dtype=pl.String, eager=True).alias(name)
                    for name, value in self.added.items()
                    if name in columns
                ]
                yield pl.DataFrame([*(table.get_columns() if own else ()), *added]).select(columns)

    def _stored(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        dtypes = {name: self.stored[name] for name in columns}
        with opened_parquet(self.path) as opened:
            groups, skip = _groups(opened.metadata, self.first, self.rows)
            left = self.rows
            for batch in opened.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=list(columns)):
                wanted = batch.slice(skip, left)
                skip, left = max(skip - batch.num_rows, 0), left - wanted.num_rows
                if wanted.num_rows:
                    table = cast("pl.DataFrame", pl.from_arrow(pa.Table.from_batches([wanted])))
                    yield table.select(columns).cast(dtypes)  # type: ignore[arg-type]
                if not left:
                    return


def _groups(metadata: Any, first: int, rows: int) -> tuple[list[int], int]:  # noqa: ANN401 - pyarrow has no types
    """Find the row groups that hold rows, and how many rows of the first of them come before."""
    ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
    start = int(np.searchsorted(ends, first, side="right"))
    stop = int(np.searchsorted(ends, first + rows, side="left")) + 1
    return list(range(start, min(stop, len(ends)))), first - (int(ends[start - 1]) if start else 0)


def _empty(rows: int) -> Iterator[pl.DataFrame]:
    """Stand for rows of which no stored column is wanted."""
    for start in range(0, rows, BATCH_ROWS):
        yield pl.DataFrame({"": pl.repeat(None, min(BATCH_ROWS, rows - start), dtype=pl.Null, eager=True)})


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file that is read column by column, little at a time, however large its row groups are.

    Args:
        path: The file.

    Yields:
        The `pyarrow.parquet.ParquetFile`.

    Raises:
        ReadError: It cannot be read, or is damaged.
    """
    with whole_parquet(path):
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as opened:
                yield opened
        except OSError as error:
            if error.errno is not None:  # the disk; without a number it is the library, about what it read
                raise ReadError(f"{path} cannot be read: {error.strerror or error}") from error
            why = str(error).splitlines()[0][:200]
            raise ReadError(f"{path} is no whole Parquet file ({why}); is it cut short?") from error
