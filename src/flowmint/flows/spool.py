"""CSV files turned into Parquet in a scratch folder: what a column holds is known only when all of it was read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowmint.errors import ReadError, WriteError
from flowmint.flows.parse import NumbersNeededError, TextNeededError
from flowmint.flows.read import Mark, Unseen, Wanted, added_to, note_faults, opened_csv
from flowmint.flows.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from flowmint.progress import Stage

SCRATCH_CODEC = ("zstd", 1)
"""Compression of the scratch folder's files: to a tenth of a capture's CSV, a third where numbers have many digits."""


def spool(file: Path, wanted: Wanted, folder: Path, stage: Stage) -> list[Segment]:
    """Turn a CSV into files of Parquet; each holds pieces whose columns were found to be the same.

    Args:
        file: The CSV.
        wanted: What to do with it.
        folder: Where the files go; made where there is a row.
        stage: Told of the bytes that are read.

    Returns:
        Its rows, in order.

    Raises:
        ReadError: It is malformed, or changes while it is read.
        WriteError: The scratch folder's disk refuses.
    """
    mark, text, numbers = Mark.of(file), wanted.categorical, frozenset[str]()
    spool = Spool(folder)
    try:
        while True:
            with opened_csv(file, wanted, stage, text=text, numbers=numbers) as (parser, pieces):
                try:
                    for piece in pieces:
                        spool.add(parser.add(piece))
                    dtypes = parser.finish()
                    note_faults(parser, wanted)
                    break
                except TextNeededError as needed:
                    text |= needed.names
                except NumbersNeededError as needed:
                    numbers |= needed.names
                finally:
                    spool.close()
            spool.clear()
            stage = Unseen()  # these bytes were counted already
    except OSError as error:
        raise ReadError(f"{file} cannot be read: {error.strerror or error}") from error
    finally:
        mark.check(file)
    added = added_to(list(dtypes), file, wanted)
    parts = spool.parts or [(folder, 0, dtypes)]  # a header alone still has columns
    return [
        Segment(file=file, path=path, mark=None, rows=rows, stored=stored, dtypes=dtypes, added=added)
        for path, rows, stored in parts
        if rows or len(parts) == 1
    ]


class Spool:
    """Writes tables one after the other to files of Parquet, a new file whenever the columns' dtypes change.

    Args:
        folder: Where to; made when the first table comes.

    Attributes:
        parts: The files: where, how many rows, and their columns.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._opened = 0
        self.parts: list[tuple[Path, int, dict[str, pl.DataType]]] = []

    def add(self, table: pl.DataFrame) -> None:
        """Write a table.

        Raises:
            WriteError: The disk refuses.
        """
        with self._writing():
            rows = table.to_arrow()
            if self._writer is None or self.parts[-1][2] != table.schema:
                self._begin(rows.schema, dict(table.schema))
            self._writer.write_table(rows)
        path, count, schema = self.parts[-1]
        self.parts[-1] = (path, count + table.height, schema)

    def _begin(self, schema: Any, dtypes: dict[str, pl.DataType]) -> None:  # noqa: ANN401 - pyarrow has no types
        self.close()
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{self._opened}.parquet"
        self._opened += 1
        codec, level = SCRATCH_CODEC
        self._writer = pq.ParquetWriter(path, schema, compression=codec, compression_level=level)
        self.parts.append((path, 0, dtypes))

    def close(self) -> None:
        """Finish the file that is open."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._writing():
                writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
            raise WriteError(
                f"the scratch folder {self._folder.parent} cannot be written: {why}; make room there, or give --out a "
                "place with more room"
            ) from error

    def clear(self) -> None:
        """Remove what was written."""
        for path, _, _ in self.parts:
            path.unlink()
        self.parts = []
