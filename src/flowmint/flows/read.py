"""Reading flow tables: CSV (also gzip and Zstandard), Parquet, and folders of captures."""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa

from flowmint.errors import FlowmintError, LabelError, ReadError, SettingError, nearest
from flowmint.flows.faults import Faults
from flowmint.flows.parse import NumbersNeededError, Parser, TextNeededError, join
from flowmint.flows.scan import LONGEST_CELL, Piece, Scanner
from flowmint.flows.schema import check_dtype, compare_columns
from flowmint.progress import SILENT, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

EXTENSIONS = (".csv", ".csv.gz", ".csv.zst", ".parquet")
"""What a table's file name may end in."""

CHUNK = 1 << 23
"""Bytes of a CSV file that are read at once."""

NAME_OF_LABEL = "Label"
"""The label column's name where the class comes from file names and nobody names the column."""

CAPTURE = re.compile(r"(?:\.pcap(?:ng)?)?(?:\.csv(?:\.gz|\.zst)?|\.parquet)$", re.IGNORECASE)
SHARD = re.compile(r"[-_. ]?\d+$")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to do with each file; the fields are arguments of `read_table`."""

    label: str | None
    label_from_name: bool
    categorical: frozenset[str]
    drop: frozenset[str]
    delimiter: str
    capture: str | None = None
    faults: Faults | None = None

    @classmethod
    def of(
        cls,
        *,
        label: str | None,
        label_from_name: bool,
        categorical: Collection[str],
        drop: Collection[str],
        delimiter: str | None,
        capture: str | None = None,
        faults: Faults | None = None,
    ) -> Wanted:
        """Take the arguments of `read_table`, with its defaults in place."""
        return cls(
            label=label or (NAME_OF_LABEL if label_from_name else None),
            label_from_name=label_from_name,
            categorical=frozenset(categorical),
            drop=frozenset(drop),
            delimiter=delimiter or ",",
            capture=capture,
            faults=faults,
        )


@dataclass(frozen=True)
class Mark:
    """By what a file that changes while it is read is told.

    Attributes:
        size: Its bytes.
        modified: When it was last written, in nanoseconds.
        node: Its number in the file system; a file put in its place has another.
    """

    size: int
    modified: int
    node: int

    @classmethod
    def of(cls, file: Path) -> Mark:
        """Look at a file.

        Raises:
            ReadError: It is not there, or cannot be looked at.
        """
        try:
            found = file.stat()
        except OSError as error:
            raise ReadError(f"{file} cannot be read: {error.strerror or error}") from error
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)

    def check(self, file: Path) -> None:
        """Make sure that a file is still what it was.

        Raises:
            ReadError: It grew, shrank, was written, was replaced or vanished.
        """
        try:
            now = Mark.of(file)
        except ReadError as error:
            raise ReadError(f"{file} vanished while it was read; keep it in place, and try again") from error
        if now != self:
            how = f"{self.size:,} bytes became {now.size:,}" if now.size != self.size else "it was written or replaced"
            raise ReadError(
                f"{file} changed while it was read ({how}); wait until it is complete, or give a copy of it"
            )


def extension_of(path: Path) -> str | None:
    """Tell which of `EXTENSIONS` a file's name ends in, or None."""
    name = path.name.lower()
    return next((extension for extension in EXTENSIONS if name.endswith(extension)), None)


def class_of(path: Path) -> str:
    """Take a capture's class from its file's name: without extensions and the shard's number.

    Args:
        path: A capture's table.

    Returns:
        Its class.

    Raises:
        LabelError: Nothing remains.

    Examples:
        >>> class_of(Path("Mirai-greip_flood21.pcap.csv"))
        'Mirai-greip_flood'
    """
    name = SHARD.sub("", CAPTURE.sub("", path.name))
    if not name:
        raise LabelError(f"the name of {path} holds no class; name captures as in Mirai-greip_flood21.pcap.csv")
    return name


def read_table(
    path: str | Path,
    *,
    label: str | None = None,
    label_from_name: bool = False,
    categorical: Collection[str] = (),
    drop: Collection[str] = (),
    delimiter: str | None = None,
    capture: str | None = None,
    faults: Faults | None = None,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Read a flow table.

    Whole numbers, decimals, booleans and text are told apart column by column; no digit is lost. Empty cells,
    NaN and infinities stay what they are. The cells ``NA``, ``N/A``, ``null`` and ``None`` count as empty among
    numbers.

    Args:
        path: A CSV (also ``.gz``, ``.zst``) or Parquet file, or a folder of such files with the same columns.
        label: The label column, checked for early; with ``label_from_name`` the name it shall have.
        label_from_name: Whether the class comes from each file's name, see `class_of`.
        categorical: Columns whose values are names, whatever they look like.
        drop: Columns to leave out.
        delimiter: What separates the cells of a CSV; a comma if absent.
        capture: Name of a column to add that tells each row's file; none if absent.
        faults: Where malformed rows of CSV files are counted, and so skipped: lines of too few or too many cells, of
            wrong quotes or characters, and words in columns of numbers. None to refuse them.
        progress: Shows how far reading is.

    Returns:
        The rows [rows, columns] in the order of the files' names and lines.

    Raises:
        ReadError: The path is absent, or a file is malformed; the message names file, line and column.
        LabelError: The label column is absent or there twice.
        SettingError: A column in ``categorical`` or ``drop`` is unknown.
    """
    place = Path(path)
    wanted = Wanted.of(
        label=label,
        label_from_name=label_from_name,
        categorical=categorical,
        drop=drop,
        delimiter=delimiter,
        capture=capture,
        faults=faults,
    )
    files = find_files(place)
    with progress.stage("reading", total=sum(Mark.of(file).size for file in files), unit="bytes") as stage:
        tables = [_read_file(file, wanted, stage) for file in files]
    table = concatenate(tables, files)
    if not table.height:
        raise ReadError(f"{place} has a header but no rows; give a table with at least one row")
    return table


def find_files(path: Path) -> list[Path]:
    """List the tables that a path stands for.

    Args:
        path: A file or a folder.

    Returns:
        The file, or the folder's tables by name; hidden files and others than tables are passed over.

    Raises:
        ReadError: There is nothing to read.
    """
    allowed = ", ".join(EXTENSIONS)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if extension_of(p) and p.is_file() and not p.name.startswith("."))
        if not files:
            raise ReadError(f"the folder {path} holds no tables; their names end in {allowed}")
        return files
    if not path.exists():
        near = [p.name for p in path.parent.iterdir() if extension_of(p)] if path.parent.is_dir() else []
        hint = f"; {nearest(path.name, near)}" if near else ""
        raise ReadError(f"there is no file {path}{hint}")
    if extension_of(path) is None or not path.is_file():
        raise ReadError(f"{path} is no table; give a folder or a file whose name ends in {allowed}")
    return [path]


def _read_file(file: Path, wanted: Wanted, stage: Stage) -> pl.DataFrame:
    mark = Mark.of(file)
    try:
        read = _read_parquet if extension_of(file) == ".parquet" else _read_csv
        table = read(file, wanted, stage)
    except OSError as error:
        raise ReadError(f"{file} cannot be read: {error.strerror or error}") from error
    finally:
        mark.check(file)  # where it changed, what is wrong with it is no news
    check_dtypes(table.schema, file)
    return table.with_columns(
        pl.lit(value).alias(name) for name, value in added_to(table.columns, file, wanted).items()
    )


def check_dtypes(dtypes: Mapping[str, pl.DataType], file: Path) -> None:
    """Refuse columns whose dtype flow tables do not have.

    Raises:
        ReadError: There is one; the message names it.
    """
    for name, dtype in dtypes.items():
        try:
            check_dtype(pl.Series(name, [], dtype=dtype))
        except FlowmintError as error:
            raise ReadError(f"{file}: {error}; or leave it out (--drop {name!r})") from error


def added_to(columns: Collection[str], file: Path, wanted: Wanted) -> dict[str, str]:
    """Tell what reading adds to each row of a file.

    Args:
        columns: The columns that it has.
        file: The file.
        wanted: What to do with it.

    Returns:
        One value for each added column: the class that the file's name tells, and its name as its capture.

    Raises:
        LabelError: The name holds no class.
        ReadError: The capture's column is there already.
    """
    added = {wanted.label: class_of(file)} if wanted.label_from_name and wanted.label else {}
    if wanted.capture is not None:
        if wanted.capture in {*columns, *added}:
            raise ReadError(f"{file} has a column {wanted.capture!r} already; rename it")
        added[wanted.capture] = file.name
    return added


def check_columns(names: Sequence[str], wanted: Wanted, file: Path) -> None:
    """Refuse a header that does not go together with what is wanted."""
    for name in names:
        if names.count(name) > 1:
            raise ReadError(
                f"{file}: the column {name!r} is there {names.count(name)} times; rename or drop the others"
            )
    for option, given in (("--drop", wanted.drop), ("--categorical", wanted.categorical)):
        for name in sorted(given):
            if name not in names:
                raise SettingError(f"{option} names the column {name!r}, which {file} lacks; {nearest(name, names)}")
    if wanted.label is None:
        return
    if wanted.label in wanted.drop:
        raise SettingError(f"the column {wanted.label!r} is the label and cannot be dropped too; give --label another")
    if wanted.label_from_name and wanted.label in names:
        raise LabelError(
            f"{file} has a column {wanted.label!r} already; read the class from it, or give --label another name"
        )
    if not wanted.label_from_name and wanted.label not in names:
        raise LabelError(f"there is no column {wanted.label!r} to take as label; {nearest(wanted.label, names)}")


def _read_parquet(file: Path, wanted: Wanted, stage: Stage) -> pl.DataFrame:
    with whole_parquet(file):
        names = list(pl.read_parquet_schema(file))
        check_columns(names, wanted, file)
        table = pl.read_parquet(file, columns=[name for name in names if name not in wanted.drop])
    check_lengths(table, file)
    stage.advance(Mark.of(file).size)
    return table.with_columns(pl.col(name).cast(pl.String) for name in table.columns if name in wanted.categorical)


@contextmanager
def whole_parquet(file: Path) -> Iterator[None]:
    """Turn what libraries say of a damaged Parquet file into one sentence.

    Args:
        file: The file that is read meanwhile.

    Raises:
        ReadError: It is damaged.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException) as error:
        why = str(error).splitlines()[0][:200]
        raise ReadError(f"{file} is no whole Parquet file ({why}); is it cut short?") from error


def check_lengths(table: pl.DataFrame, file: Path) -> None:
    """Refuse cells of too many characters.

    Raises:
        ReadError: There is one; the message names its column.
    """
    for series in table.select(pl.col(pl.String)).iter_columns():
        if (longest := cast("int | None", series.str.len_chars().max()) or 0) > LONGEST_CELL:
            raise ReadError(
                f"{file}: column {series.name!r} has a cell of {longest:,} characters, at most {LONGEST_CELL:,} "
                f"are allowed; shorten it, or leave the column out (--drop {series.name!r})"
            )


def _read_csv(file: Path, wanted: Wanted, stage: Stage) -> pl.DataFrame:
    text, numbers = wanted.categorical, frozenset[str]()
    while True:
        with opened_csv(file, wanted, stage, text=text, numbers=numbers) as (parser, pieces):
            try:
                parts = [parser.add(piece) for piece in pieces]
                table = join(parts, parser.finish())
            except TextNeededError as needed:
                text |= needed.names
            except NumbersNeededError as needed:
                numbers |= needed.names
            else:
                note_faults(parser, wanted)
                return table
        stage = Unseen()  # these bytes were counted already


def note_faults(parser: Parser, wanted: Wanted) -> None:
    """Count the malformed rows of a file that was read to its end."""
    if wanted.faults is not None and parser.faults is not None:
        wanted.faults.add(parser.faults.rows, parser.faults.first)


@contextmanager
def opened_csv(
    file: Path, wanted: Wanted, stage: Stage, *, text: Collection[str], numbers: Collection[str] = ()
) -> Iterator[tuple[Parser, Iterator[Piece]]]:
    """Open a CSV file and read its header.

    Args:
        file: The file.
        wanted: What to do with it.
        stage: Told of the bytes that are read.
        text: Columns to take for text.
        numbers: Columns of numbers, whose words make a row malformed.

    Yields:
        What turns pieces into columns, and the pieces.

    Raises:
        ReadError: It is malformed; the message names the line.
    """
    with _chunks(file, stage) as chunks:
        faults = None if wanted.faults is None else Faults()
        scanner = Scanner(chunks, name=str(file), delimiter=wanted.delimiter, faults=faults)
        names = scanner.header()
        check_columns(names, wanted, file)
        parser = Parser(
            names,
            file=str(file),
            delimiter=wanted.delimiter,
            label=wanted.label,
            text=text,
            drop=wanted.drop,
            numbers=numbers,
            faults=faults,
        )
        yield parser, scanner.pieces(len(names))


class Unseen:
    """A stage for work that is done again, which was counted already."""

    def advance(self, amount: int) -> None:
        """Ignore the report."""


@contextmanager
def _chunks(file: Path, stage: Stage) -> Iterator[Iterator[bytes]]:
    """Open a CSV and give its bytes, decompressed; the stage hears of bytes as they lie on disk."""
    with file.open("rb") as raw, ExitStack() as stack:
        opened: IO[bytes] | Any = raw
        if extension_of(file) == ".csv.gz":
            opened = stack.enter_context(gzip.open(raw))
        elif extension_of(file) == ".csv.zst":
            opened = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw), "zstd"))

        def read() -> Iterator[bytes]:
            done = 0
            try:
                while chunk := opened.read(CHUNK):
                    yield chunk
                    stage.advance(raw.tell() - done)
                    done = raw.tell()
            except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
                raise ReadError(f"{file} cannot be decompressed ({error}); is it cut short?") from error

        yield read()


def concatenate(tables: Sequence[pl.DataFrame], files: Sequence[Path]) -> pl.DataFrame:
    """Put tables with the same columns together; whole numbers widen to decimals where another file has them.

    Args:
        tables: One or more tables.
        files: Where each comes from, for messages.

    Returns:
        Their rows, in the first table's order of columns.

    Raises:
        ReadError: Columns differ, or a whole number has more digits than decimals hold.
    """
    if len(tables) == 1:
        return tables[0]
    wide = widest([table.schema for table in tables], files)
    parts = []
    for table, file in zip(tables, files, strict=True):
        check_exact(table, wide, file)
        parts.append(table.select(pl.col(name).cast(dtype) for name, dtype in wide.items()))
    return pl.concat(parts)


def widest(schemas: Sequence[Mapping[str, pl.DataType]], files: Sequence[Path]) -> dict[str, pl.DataType]:
    """Find the dtypes that hold the columns of all files.

    Args:
        schemas: The columns of each file.
        files: The files, for messages.

    Returns:
        Dtypes in the first file's order of columns.

    Raises:
        ReadError: Columns differ; the message tells how.
    """
    first = dict(schemas[0])
    wide = dict(first)
    for schema in schemas[1:]:
        for name, dtype in schema.items():
            wide[name] = _wider(wide[name], dtype) if name in wide else dtype
    for schema, file in zip(schemas, files, strict=True):
        own = {name: wide[name] if _widens(dtype, wide[name]) else dtype for name, dtype in schema.items()}
        if difference := compare_columns(wide if set(wide) == set(first) else first, own):
            raise ReadError(f"{file} has other columns than {files[0]}: {difference}")
    return {name: wide[name] for name in first}


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    return other if _widens(one, other) else one


def _widens(narrow: pl.DataType, wide: pl.DataType) -> bool:
    if narrow in (wide, pl.Null):
        return True
    return narrow.is_integer() and wide.is_float()


def check_exact(table: pl.DataFrame, wide: Mapping[str, pl.DataType], file: Path) -> None:
    """Refuse whole numbers whose digits would be lost among the decimals of other files.

    Raises:
        ReadError: There is one; the message names its column.
    """
    for name, dtype in table.schema.items():
        if dtype.is_integer() and wide[name].is_float():
            limit = 2**53 if wide[name] == pl.Float64 else 2**24
            if (cast("int | None", table[name].cast(pl.Float64).abs().max()) or 0) >= limit:
                raise ReadError(
                    f"{file}: column {name!r} has whole numbers of too many digits for the decimals that other "
                    f"files have there; take it for names (--categorical {name!r}) or leave it out (--drop {name!r})"
                )
