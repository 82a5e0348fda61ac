"""Tables larger than memory: a source of batches that can be read again and again, with the dtypes of `read_table`.

Parquet is read where it lies. What a column of a CSV holds is known only when all of it was read, so its pieces go to
a scratch folder as Parquet, each as what it was found to be, and get the whole column's dtype when they are read from
there. Either way batches hold the same rows whatever the files look like, and a file that changes meanwhile is refused.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flowmint.errors import ReadError, WriteError
from flowmint.flows.read import (
    Mark,
    Unseen,
    Wanted,
    added_to,
    check_columns,
    check_dtypes,
    check_exact,
    extension_of,
    find_files,
    opened_csv,
    widest,
)
from flowmint.flows.schema import compare_columns
from flowmint.flows.segment import BATCH_ROWS, Segment, opened_parquet
from flowmint.flows.spool import spool
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from flowmint.flows.faults import Faults

STREAM_BYTES = 1 << 29
"""Tables that would take more memory than this are streamed: about 1.7 million rows of 40 columns."""

CELL_BYTES = 8
"""Memory that a cell of Parquet takes, about."""

COMPRESSED = 5
"""How many times smaller a compressed CSV is than what it holds, about."""


def estimate_bytes(path: str | Path) -> int:
    """Guess how much memory a table would take, by its files' sizes and headers alone.

    Args:
        path: A file or folder, as `read_table` takes it.

    Returns:
        Bytes: 8 for each cell of Parquet, those of the file for a CSV, five times as many if it is compressed.

    Raises:
        ReadError: There is nothing to read.
    """
    total = 0
    for file in find_files(Path(path)):
        if extension_of(file) == ".parquet":
            with opened_parquet(file) as opened:
                total += opened.metadata.num_rows * len(opened.schema_arrow.names) * CELL_BYTES
        else:
            total += Mark.of(file).size * (1 if extension_of(file) == ".csv" else COMPRESSED)
    return total


def is_large(path: str | Path) -> bool:
    """Tell whether a table is to be streamed unless somebody says otherwise; see `STREAM_BYTES`."""
    return estimate_bytes(path) > STREAM_BYTES


class Stream:
    """The rows of a table, batch by batch, as often as they are asked for.

    Args:
        segments: Where the rows lie, in order.
        schema: The columns.

    Attributes:
        schema: The columns in order, with the dtypes that all files share.
        rows: How many rows there are.
    """

    def __init__(self, segments: Sequence[Segment], schema: Mapping[str, pl.DataType]) -> None:
        self._segments = tuple(segments)
        self.schema = dict(schema)
        self.rows = sum(segment.rows for segment in segments)

    def batches(
        self, columns: Sequence[str] | None = None, *, name: str = "reading", progress: Progress = SILENT
    ) -> Iterator[pl.DataFrame]:
        """Read all rows once.

        Args:
            columns: Which columns, in which order; all if absent.
            name: What progress calls the pass.
            progress: Shows how far it is.

        Yields:
            `BATCH_ROWS` rows each but for the last, however files and row groups are cut.

        Raises:
            ReadError: A file changed, vanished or is damaged.
        """
        wanted = list(self.schema) if columns is None else list(columns)
        with progress.stage(name, total=self.rows, unit="rows") as stage:
            for batch in _even(self._parts(wanted), BATCH_ROWS):
                yield batch
                stage.advance(batch.height)

    def _parts(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        for segment in self._segments:
            found = 0
            for part in segment.batches(columns):
                check_exact(part, self.schema, segment.file)
                found += part.height
                yield part.cast({name: self.schema[name] for name in columns})
            if found != segment.rows:
                raise ReadError(
                    f"{segment.file} changed while it was read ({segment.rows:,} rows became {found:,}); "
                    "give a copy of it"
                )


def _even(parts: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Cut parts anew, so that each has so many rows but for the last."""
    held: list[pl.DataFrame] = []
    count = 0
    for part in parts:
        held.append(part)
        count += part.height
        if count >= rows:
            joined = pl.concat(held)
            whole = count - count % rows
            yield from (joined[start : start + rows] for start in range(0, whole, rows))
            held, count = ([joined[whole:]], count - whole) if count > whole else ([], 0)
    if count:
        yield pl.concat(held)


@contextmanager
def open_stream(
    path: str | Path,
    *,
    scratch: str | Path,
    label: str | None = None,
    label_from_name: bool = False,
    categorical: Collection[str] = (),
    drop: Collection[str] = (),
    delimiter: str | None = None,
    faults: Faults | None = None,
    progress: Progress = SILENT,
) -> Iterator[Stream]:
    """Open a table that may be larger than memory, for the length of a ``with`` block.

    Args:
        path: A CSV (also ``.gz``, ``.zst``) or Parquet file, or a folder of such files with the same columns.
        scratch: A folder in which room is made for what CSV files hold, a tenth to a third of their bytes. Nothing is
            left there afterwards.
        label: As for `flowmint.flows.read.read_table`, like the following.
        label_from_name: Whether the class comes from each file's name.
        categorical: Columns whose values are names.
        drop: Columns to leave out.
        delimiter: What separates the cells of a CSV.
        faults: Where malformed rows of CSV files are counted, and so skipped.
        progress: Shows how far CSV files are read.

    Yields:
        The rows that `read_table` gives, in the same order and of the same dtypes.

    Raises:
        ReadError: A file is absent, malformed, or changes while it is read, or the columns of files differ.
        LabelError: The label column is absent or there twice.
        SettingError: A column in ``categorical`` or ``drop`` is unknown.
        WriteError: The scratch folder's disk refuses.
    """
    place = Path(path)
    wanted = Wanted.of(
        label=label,
        label_from_name=label_from_name,
        categorical=categorical,
        drop=drop,
        delimiter=delimiter,
        faults=faults,
    )
    files = find_files(place)
    _check_headers(files, wanted)
    texts = [file for file in files if extension_of(file) != ".parquet"]
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix=".flowmint-")))
        except OSError as error:
            raise WriteError(f"{scratch} cannot hold scratch files: {error.strerror or error}") from error
        with progress.stage("reading", total=sum(Mark.of(file).size for file in texts), unit="bytes") as stage:
            read = [
                _open_parquet(file, wanted)
                if extension_of(file) == ".parquet"
                else spool(file, wanted, folder / str(number), stage)
                for number, file in enumerate(files)
            ]
        schema = widest([segments[0].schema for segments in read], files)
        stream = Stream([segment for segments in read for segment in segments], schema)
        if not stream.rows:
            raise ReadError(f"{place} has a header but no rows; give a table with at least one row")
        yield stream


def _check_headers(files: Sequence[Path], wanted: Wanted) -> None:
    """Refuse files of different columns before any of them is read to its end.

    Raises:
        ReadError: They differ; the message tells how.
    """
    first: dict[str, pl.DataType] = {}
    for file in files:
        own = dict.fromkeys((name for name in _header(file, wanted) if name not in wanted.drop), pl.DataType())
        if difference := compare_columns(first or own, own):
            raise ReadError(f"{file} has other columns than {files[0]}: {difference}")
        first = first or own


def _header(file: Path, wanted: Wanted) -> list[str]:
    if extension_of(file) == ".parquet":
        with opened_parquet(file) as opened:
            names = list(opened.schema_arrow.names)
        check_columns(names, wanted, file)
        return names
    try:
        with opened_csv(file, wanted, Unseen(), text=()) as (parser, _):
            return list(parser.names)
    except OSError as error:
        raise ReadError(f"{file} cannot be read: {error.strerror or error}") from error


def _open_parquet(file: Path, wanted: Wanted) -> list[Segment]:
    mark = Mark.of(file)
    with opened_parquet(file) as opened:
        rows = int(opened.metadata.num_rows)
        stored = {n: dtype for n, dtype in pl.read_parquet_schema(file).items() if n not in wanted.drop}
    check_dtypes(stored, file)
    mark.check(file)
    dtypes = {name: pl.String() if name in wanted.categorical else dtype for name, dtype in stored.items()}
    added = added_to(list(dtypes), file, wanted)
    return [Segment(file=file, path=file, mark=mark, rows=rows, stored=stored, dtypes=dtypes, added=added)]
