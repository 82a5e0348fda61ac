"""Writing flow tables: Parquet and CSV by the file's extension, whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from flowmint.errors import WriteError
from flowmint.flows.read import EXTENSIONS, extension_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def check_extension(path: Path) -> str:
    """Tell the format that a file's name asks for.

    Args:
        path: Where a table shall go.

    Returns:
        One of `EXTENSIONS`.

    Raises:
        WriteError: The name ends in none of them.
    """
    extension = extension_of(path)
    if extension is None:
        raise WriteError(f"{path} names no format that can be written; end it in {', '.join(EXTENSIONS)}")
    return extension


def write_table(table: pl.DataFrame, path: str | Path) -> None:
    """Write a table; an existing file is replaced once the new one is whole.

    Args:
        table: The rows.
        path: Where to; the extension tells the format.

    Raises:
        WriteError: The extension is unknown, or the disk refuses; nothing is left behind.
    """
    place = Path(path)
    extension = check_extension(place)
    with whole_file(place) as partial:
        if extension == ".parquet":
            table.write_parquet(partial)
        else:
            write_csv([table], partial, extension)


def write_tables(tables: Iterable[pl.DataFrame], path: Path, extension: str) -> None:
    """Write tables of the same columns one below the other, holding one of them at a time.

    Args:
        tables: The rows, part by part; in Parquet each becomes a row group.
        path: Where to.
        extension: One of `EXTENSIONS`.
    """
    if extension == ".parquet":
        write_parquet(tables, path)
    else:
        write_csv(tables, path, extension)


def write_parquet(tables: Iterable[pl.DataFrame], path: Path) -> None:
    """Write tables of the same columns one below the other as Parquet, a row group for each.

    Args:
        tables: The rows, part by part.
        path: Where to.
    """
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            rows = table.to_arrow()
            if writer is None:
                writer = pq.ParquetWriter(path, rows.schema, compression="zstd")
            writer.write_table(rows)
    finally:
        if writer is not None:
            writer.close()


def write_csv(tables: Iterable[pl.DataFrame], path: Path, extension: str) -> None:
    """Write tables of the same columns one below the other as CSV, the header once.

    Args:
        tables: The rows, part by part.
        path: Where to.
        extension: ``.csv``, ``.csv.gz`` or ``.csv.zst``.
    """
    kinds = {".csv.gz": "gzip", ".csv.zst": "zstd"}
    with pa.CompressedOutputStream(str(path), kinds[extension]) if extension in kinds else path.open("wb") as stream:
        for number, table in enumerate(tables):
            table.write_csv(stream, include_header=number == 0)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place to write to that becomes ``path`` only when all went well.

    Args:
        path: The file to make.

    Yields:
        A path beside it, gone afterwards whatever happens.

    Raises:
        WriteError: The disk refuses.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise WriteError(f"{path} cannot be written: {why}") from error
    finally:
        partial.unlink(missing_ok=True)
