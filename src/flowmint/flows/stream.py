"""Tables larger than memory: a source of batches that can be read again and again, with the dtypes of `read_table`.

Parquet is read where it lies. What a column of a CSV holds is known only when all of it was read, so its pieces go to
a scratch folder as Parquet, each as what it was found to be, and get the whole column's dtype when they are read from
there. Either way batches hold the same rows whatever the files look like, and a file that changes meanwhile is refused.
"""

from __future__ import annotations

import platform
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import polars as pl

from flowmint.errors import ReadError, WriteError
from flowmint.flows.faults import Faults
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
from flowmint.progress import SILENT, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

Job = TypeVar("Job")
Result = TypeVar("Result")

PIECE_BATCHES = 8
"""Batches of the pieces that a runner reads side by side; a power of two, so that sketches merge as if never cut."""

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


class Runner(Protocol):
    """Does jobs side by side elsewhere, such as `flowmint.cluster.Cluster`."""

    def __call__(self, work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Do jobs and give their results in the jobs' order; what a job raises is raised here."""
        ...


class Stream:
    """The rows of a table, batch by batch, as often as they are asked for.

    Args:
        segments: Where the rows lie, in order.
        schema: The columns.
        runner: Reads pieces of the rows side by side; they are read here, one after the other, if absent.

    Attributes:
        schema: The columns in order, with the dtypes that all files share.
        rows: How many rows there are.
        runner: What reads pieces.
    """

    def __init__(
        self, segments: Sequence[Segment], schema: Mapping[str, pl.DataType], *, runner: Runner | None = None
    ) -> None:
        self._segments = tuple(segments)
        self.schema = dict(schema)
        self.rows = sum(segment.rows for segment in segments)
        self.runner = runner

    @property
    def paths(self) -> list[Path]:
        """The files that are read."""
        return list(dict.fromkeys(segment.path for segment in self._segments))

    @property
    def pieces(self) -> list[Stream]:
        """The rows in order, cut into those that a runner reads at once; all of them where there is none.

        Pieces of `PIECE_BATCHES` batches: what is gathered of them is what is gathered of all, see
        `flowmint.encode.sketch.Sketch.merge`.
        """
        if self.runner is None:
            return [self]
        size = PIECE_BATCHES * BATCH_ROWS
        return [self._cut(first, first + size) for first in range(0, self.rows, size)]

    def _cut(self, first: int, last: int) -> Stream:
        kept, before = [], 0
        for segment in self._segments:
            if before < last and before + segment.rows > first:
                kept.append(segment.cut(first - before, last - before))
            before += segment.rows
        return Stream(kept, self.schema)

    def gather(
        self,
        work: Callable[[Iterator[pl.DataFrame], Any], Result],
        told: Sequence[Any] | None = None,
        *,
        columns: Sequence[str] | None = None,
        name: str = "reading",
        progress: Progress = SILENT,
    ) -> Iterator[Result]:
        """Read all rows once, piece by piece.

        Args:
            work: Makes something of the batches of a piece and of what it is told of it. A runner may send it away.
            told: What it is told of each piece; None if absent.
            columns: As for `batches`, like the following.
            name: What progress calls the pass.
            progress: Shows how far it is.

        Yields:
            What was made of each piece, in order.

        Raises:
            ReadError: A file changed, vanished or is damaged.
        """
        pieces = self.pieces
        known = [None] * len(pieces) if told is None else told
        if self.runner is None:
            yield work(self.batches(columns, name=name, progress=progress), known[0])
            return
        jobs = [_Piece(piece, each, columns) for piece, each in zip(pieces, known, strict=True)]
        with progress.stage(name, total=self.rows, unit="rows") as stage:
            for piece, found in zip(pieces, self.runner(partial(_make, work), jobs), strict=True):
                stage.advance(piece.rows)
                yield found

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


@dataclass(frozen=True)
class _Piece:
    """Rows to read elsewhere: what they are, what is told of them, and which columns."""

    rows: Stream
    told: Any
    columns: Sequence[str] | None


def _make(work: Callable[[Iterator[pl.DataFrame], Any], Result], piece: _Piece) -> Result:
    """Make of a piece elsewhere what there is to make."""
    _check_here(*piece.rows.paths)
    return work(piece.rows.batches(piece.columns), piece.told)


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
    runner: Runner | None = None,
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
        runner: Reads CSV files, and later pieces of all rows, side by side, where ``path`` and ``scratch`` are the
            same; they are read here if absent.
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
    files = find_files(place if runner is None else place.resolve())
    _check_headers(files, wanted)
    with ExitStack() as stack:
        try:
            made = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix=".flowmint-"))
        except OSError as error:
            raise WriteError(f"{scratch} cannot hold scratch files: {error.strerror or error}") from error
        read = _read_files(files, wanted, Path(made).resolve(), runner, progress)
        schema = widest([segments[0].schema for segments in read], files)
        stream = Stream([segment for segments in read for segment in segments], schema, runner=runner)
        if not stream.rows:
            raise ReadError(f"{place} has a header but no rows; give a table with at least one row")
        yield stream


def _read_files(
    files: Sequence[Path], wanted: Wanted, folder: Path, runner: Runner | None, progress: Progress
) -> list[list[Segment]]:
    """Find out what each file holds; CSV files go to a folder as Parquet."""
    jobs = [(file, folder / str(n)) for n, file in enumerate(files) if extension_of(file) != ".parquet"]
    with progress.stage("reading", total=sum(Mark.of(file).size for file, _ in jobs), unit="bytes") as stage:
        spooled = _spooled(jobs, wanted, runner, stage)
        return [_open_parquet(file, wanted) if extension_of(file) == ".parquet" else next(spooled) for file in files]


def _spooled(
    jobs: Sequence[tuple[Path, Path]], wanted: Wanted, runner: Runner | None, stage: Stage
) -> Iterator[list[Segment]]:
    """Turn CSV files into Parquet, here or by a runner, in order."""
    if runner is None:
        for file, folder in jobs:
            yield spool(file, wanted, folder, stage)
        return
    for (file, _), (segments, faults) in zip(jobs, runner(partial(_spool, wanted), jobs), strict=True):
        stage.advance(Mark.of(file).size)
        if wanted.faults is not None and faults is not None:
            wanted.faults.add(faults.rows, faults.first)
        yield segments


def _spool(wanted: Wanted, job: tuple[Path, Path]) -> tuple[list[Segment], Faults | None]:
    """Turn a CSV file into Parquet elsewhere, and count its faults apart."""
    file, folder = job
    _check_here(file, folder.parent)
    own = replace(wanted, faults=None if wanted.faults is None else Faults())
    return spool(file, own, folder, Unseen()), own.faults


def _check_here(*places: Path) -> None:
    """Make sure that what this machine is to read or write is there.

    Raises:
        ReadError: It is not.
    """
    for place in places:
        if not place.exists():
            raise ReadError(
                f"{place} is not there on {platform.node()}, which was to read it; keep the table, and the folder that "
                "--out is in, where all machines see them"
            )


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
