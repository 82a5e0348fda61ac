"""Tables larger than memory: a source of batches that can be read again and again, with the dtypes of `read_table`.

Parquet is read where it lies. What a column of a CSV holds is known only when all of it was read, so its pieces go to
a scratch folder as Parquet, each as what it was found to be, and get the whole column's dtype when they are read from
there. Either way batches hold the same rows whatever the files look like, and a file that changes meanwhile is refused.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from flowmint.errors import ReadError, WriteError
from flowmint.flows.parse import NumbersNeededError, TextNeededError, widen
from flowmint.flows.read import (
    Mark,
    Unseen,
    Wanted,
    added_to,
    check_columns,
    check_dtypes,
    check_exact,
    check_lengths,
    extension_of,
    find_files,
    note_faults,
    opened_csv,
    whole_parquet,
    widest,
)
from flowmint.flows.schema import compare_columns
from flowmint.progress import SILENT, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from flowmint.flows.faults import Faults

BATCH_ROWS = 1 << 17
"""Rows that are in memory at once: some 40 MB of 39 columns."""

STREAM_BYTES = 1 << 29
"""Tables that would take more memory than this are streamed: about 1.7 million rows of 40 columns."""

CELL_BYTES = 8
"""Memory that a cell of Parquet takes, about."""

COMPRESSED = 5
"""How many times smaller a compressed CSV is than what it holds, about."""

SCRATCH_CODEC = ("zstd", 1)
"""Compression of the scratch folder's files: to a tenth of a capture's CSV, a third where numbers have many digits."""


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
            with _parquet(file) as opened:
                total += opened.metadata.num_rows * len(opened.schema_arrow.names) * CELL_BYTES
        else:
            total += Mark.of(file).size * (1 if extension_of(file) == ".csv" else COMPRESSED)
    return total


def is_large(path: str | Path) -> bool:
    """Tell whether a table is to be streamed unless somebody says otherwise; see `STREAM_BYTES`."""
    return estimate_bytes(path) > STREAM_BYTES


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Rows of one file, as they lie in Parquet.

    Attributes:
        file: The file that the user gave, for messages.
        path: Where the rows lie: the same, or a file of the scratch folder.
        mark: What the file must still be when it is read; None in the scratch folder.
        rows: How many rows.
        stored: The columns as they are stored.
        dtypes: The dtypes that the whole file has.
        added: What is added to each row, by column.
    """

    file: Path
    path: Path
    mark: Mark | None
    rows: int
    stored: Mapping[str, pl.DataType]
    dtypes: Mapping[str, pl.DataType]
    added: Mapping[str, str]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The columns of what `batches` gives, as far as this file tells them."""
        return {**self.dtypes, **dict.fromkeys(self.added, pl.String())}

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
        with _parquet(self.path) as opened:
            for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                table = cast("pl.DataFrame", pl.from_arrow(pa.Table.from_batches([batch])))
                yield table.select(columns).cast(dtypes)  # type: ignore[arg-type]


def _empty(rows: int) -> Iterator[pl.DataFrame]:
    """Stand for rows of which no stored column is wanted."""
    for start in range(0, rows, BATCH_ROWS):
        yield pl.DataFrame({"": pl.repeat(None, min(BATCH_ROWS, rows - start), dtype=pl.Null, eager=True)})


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file that is read column by column, little at a time, however large its row groups are."""
    with whole_parquet(path):
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as opened:
                yield opened
        except OSError as error:
            if error.errno is not None:  # the disk; without a number it is the library, about what it read
                raise ReadError(f"{path} cannot be read: {error.strerror or error}") from error
            why = str(error).splitlines()[0][:200]
            raise ReadError(f"{path} is no whole Parquet file ({why}); is it cut short?") from error


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
                else _spool(file, wanted, folder / str(number), stage)
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
        with _parquet(file) as opened:
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
    with _parquet(file) as opened:
        rows = int(opened.metadata.num_rows)
        stored = {n: dtype for n, dtype in pl.read_parquet_schema(file).items() if n not in wanted.drop}
    check_dtypes(stored, file)
    mark.check(file)
    dtypes = {name: pl.String() if name in wanted.categorical else dtype for name, dtype in stored.items()}
    added = added_to(list(dtypes), file, wanted)
    return [Segment(file=file, path=file, mark=mark, rows=rows, stored=stored, dtypes=dtypes, added=added)]


def _spool(file: Path, wanted: Wanted, folder: Path, stage: Stage) -> list[Segment]:
    """Turn a CSV into files of Parquet; each holds pieces whose columns were found to be the same."""
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
