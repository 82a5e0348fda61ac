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
from flowmint.flows.parse import TextNeededError, parse_pieces
from flowmint.flows.scan import LONGEST_CELL, Scanner
from flowmint.flows.schema import check_dtype, compare_columns
from flowmint.progress import SILENT, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

EXTENSIONS = (".csv", ".csv.gz", ".csv.zst", ".parquet")
"""What a table's file name may end in."""

CHUNK = 1 << 23
"""Bytes of a CSV file that are read at once."""

CAPTURE = re.compile(r"(?:\.pcap(?:ng)?)?(?:\.csv(?:\.gz|\.zst)?|\.parquet)$", re.IGNORECASE)
SHARD = re.compile(r"[-_. ]?\d+$")


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What to do with each file; the fields are arguments of `read_table`."""

    label: str | None
    label_from_name: bool
    categorical: frozenset[str]
    drop: frozenset[str]
    delimiter: str
    capture: str | None


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
        progress: Shows how far reading is.

    Returns:
        The rows [rows, columns] in the order of the files' names and lines.

    Raises:
        ReadError: The path is absent, or a file is malformed; the message names file, line and column.
        LabelError: The label column is absent or there twice.
        SettingError: A column in ``categorical`` or ``drop`` is unknown.
    """
    place = Path(path)
    wanted = _Wanted(
        label=label or ("Label" if label_from_name else None),
        label_from_name=label_from_name,
        categorical=frozenset(categorical),
        drop=frozenset(drop),
        delimiter=delimiter or ",",
        capture=capture,
    )
    files = find_files(place)
    sizes = [_size(file) for file in files]
    with progress.stage("reading", total=sum(sizes), unit="bytes") as stage:
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


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise ReadError(f"{file} cannot be read: {error.strerror or error}") from error


def _read_file(file: Path, wanted: _Wanted, stage: Stage) -> pl.DataFrame:
    try:
        read = _read_parquet if extension_of(file) == ".parquet" else _read_csv
        table = read(file, wanted, stage)
    except OSError as error:
        raise ReadError(f"{file} cannot be read: {error.strerror or error}") from error
    for series in table.iter_columns():
        try:
            check_dtype(series)
        except FlowmintError as error:
            raise ReadError(f"{file}: {error}; or leave it out (--drop {series.name!r})") from error
    if wanted.label_from_name and wanted.label:
        table = table.with_columns(pl.lit(class_of(file)).alias(wanted.label))
    if wanted.capture is not None:
        if wanted.capture in table.columns:
            raise ReadError(f"{file} has a column {wanted.capture!r} already; rename it")
        table = table.with_columns(pl.lit(file.name).alias(wanted.capture))
    return table


def _check_columns(names: Sequence[str], wanted: _Wanted, file: Path) -> None:
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


def _read_parquet(file: Path, wanted: _Wanted, stage: Stage) -> pl.DataFrame:
    try:
        names = list(pl.read_parquet_schema(file))
        _check_columns(names, wanted, file)
        table = pl.read_parquet(file, columns=[name for name in names if name not in wanted.drop])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        why = str(error).splitlines()[0][:200]
        raise ReadError(f"{file} is no whole Parquet file ({why}); is it cut short?") from error
    for series in table.select(pl.col(pl.String)).iter_columns():
        if (longest := cast("int | None", series.str.len_chars().max()) or 0) > LONGEST_CELL:
            raise ReadError(
                f"{file}: column {series.name!r} has a cell of {longest:,} characters, at most {LONGEST_CELL:,} "
                f"are allowed; shorten it, or leave the column out (--drop {series.name!r})"
            )
    stage.advance(_size(file))
    return table.with_columns(pl.col(name).cast(pl.String) for name in table.columns if name in wanted.categorical)


def _read_csv(file: Path, wanted: _Wanted, stage: Stage) -> pl.DataFrame:
    text = wanted.categorical
    while True:
        with ExitStack() as stack:
            chunks = stack.enter_context(_chunks(file, stage))
            scanner = Scanner(chunks, name=str(file), delimiter=wanted.delimiter)
            names = scanner.header()
            _check_columns(names, wanted, file)
            try:
                return parse_pieces(
                    scanner.pieces(len(names)),
                    names,
                    file=str(file),
                    delimiter=wanted.delimiter,
                    label=wanted.label,
                    text=text,
                    drop=wanted.drop,
                )
            except TextNeededError as needed:
                text |= needed.names
        stage = _Unseen()  # these bytes were counted already


class _Unseen:
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
    first = tables[0]
    if len(tables) == 1:
        return first
    wide = dict(first.schema)
    for table in tables[1:]:
        for name, dtype in table.schema.items():
            wide[name] = _wider(wide[name], dtype) if name in wide else dtype
    parts = []
    for table, file in zip(tables, files, strict=True):
        own = {name: wide[name] if _widens(dtype, wide[name]) else dtype for name, dtype in table.schema.items()}
        if difference := compare_columns(wide if set(wide) == set(first.columns) else dict(first.schema), own):
            raise ReadError(f"{file} has other columns than {files[0]}: {difference}")
        _check_exact(table, wide, file)
        parts.append(table.select(pl.col(name).cast(wide[name]) for name in first.columns))
    return pl.concat(parts)


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    return other if _widens(one, other) else one


def _widens(narrow: pl.DataType, wide: pl.DataType) -> bool:
    if narrow in (wide, pl.Null):
        return True
    return narrow.is_integer() and wide.is_float()


def _check_exact(table: pl.DataFrame, wide: dict[str, pl.DataType], file: Path) -> None:
    for name, dtype in table.schema.items():
        if dtype.is_integer() and wide[name].is_float():
            limit = 2**53 if wide[name] == pl.Float64 else 2**24
            if (cast("int | None", table[name].cast(pl.Float64).abs().max()) or 0) >= limit:
                raise ReadError(
                    f"{file}: column {name!r} has whole numbers of too many digits for the decimals that other "
                    f"files have there; take it for names (--categorical {name!r}) or leave it out (--drop {name!r})"
                )
