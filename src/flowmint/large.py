"""Balancing tables larger than memory: real rows stream through to the output, minted rows follow part by part."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.base import clone

from flowmint.balance import check_classes, mint_here, rows_to_mint
from flowmint.errors import SettingError
from flowmint.flows.write import check_extension, whole_file, write_tables
from flowmint.generators.adherence import Adherence, describe_adherence
from flowmint.generators.streamed import LEARN_ROWS, Census
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flowmint.balance import Minter, Target
    from flowmint.flows.stream import Stream
    from flowmint.generators import Generator


@dataclass(frozen=True, kw_only=True)
class BalancedFile:
    """What was written.

    Attributes:
        real: Real rows of each class.
        minted: Minted rows of each class that got any.
        generator: The fitted generator; None where nothing was minted.
        adherence: How many rows break the generator's rules; None where nothing was minted.
    """

    real: dict[str, int]
    minted: dict[str, int]
    generator: Generator | None
    adherence: Adherence | None

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.real.values()) + sum(self.minted.values())


def balance_stream(
    stream: Stream,
    out: str | Path,
    *,
    label: str,
    generator: Generator | None,
    target: Target = None,
    origin: str | None = None,
    seed: int = 0,
    learn_rows: int = LEARN_ROWS,
    minter: Minter = mint_here,
    progress: Progress = SILENT,
) -> BalancedFile:
    """Mint the rows that classes lack, as `flowmint.balance.balance_rows` does, into a file.

    Args:
        stream: Real rows, the label column included, see `flowmint.flows.stream.open_stream`.
        out: The file; its extension tells the format. It is replaced once the new one is whole.
        label: Name of the label column.
        generator: A generator, of which a copy is fitted on the stream, or a fitted one; None to mint nothing.
        target: Rows that classes shall have, see `flowmint.balance.rows_to_mint`.
        origin: Name of a column to add that says ``real`` or ``minted``; none if absent.
        seed: Seed of sampling.
        learn_rows: Rows that are drawn to learn from.
        minter: What mints the rows of a class.
        progress: Shows how far each pass is.

    Returns:
        What was written: real rows, unchanged and in order, then minted rows, class by class.

    Raises:
        FlowmintError: As `flowmint.balance.balance_table`; or a file changed or is damaged, or the disk refuses.
    """
    place = Path(out)
    extension = check_extension(place)
    if origin is not None and origin in stream.schema:
        message = f"the table already has a column {origin!r}; give the origin column another name"
        raise SettingError(message)
    census = Census.take(stream, label, at_least=2, progress=progress)
    real = dict(zip(census.classes.names, census.counts.tolist(), strict=True))
    lacking = {name: count for name, count in rows_to_mint(real, target).items() if count}
    fitted = None
    if lacking and generator is not None:
        fitted = _fitted(generator, stream, label, learn_rows=learn_rows, progress=progress)
        check_classes(fitted, lacking)
    writer = _Rows(stream, label, fitted, origin=origin)
    minted = () if fitted is None else _minted(fitted, lacking, minter, seed=seed, progress=progress)
    tables = itertools.chain(writer.real(progress), writer.minted(minted))
    with whole_file(place) as partial:
        write_tables(tables, partial, extension)
    return BalancedFile(
        real=real, minted={} if fitted is None else lacking, generator=fitted, adherence=writer.adherence()
    )


def _fitted(generator: Generator, stream: Stream, label: str, *, learn_rows: int, progress: Progress) -> Generator:
    if not hasattr(generator, "schema_"):
        unfitted: Generator = clone(generator)
        return unfitted.fit_stream(stream, label=label, rows=learn_rows, at_least=2, progress=progress)
    generator.schema_.check(pl.DataFrame(schema={name: d for name, d in stream.schema.items() if name != label}))
    return generator


class _Rows:
    """The rows of the output, counted on their way by the rules that they break."""

    def __init__(self, stream: Stream, label: str, generator: Generator | None, *, origin: str | None) -> None:
        self._stream, self._label, self._generator, self._origin = stream, label, generator, origin
        self._counts = {"real": (0, 0), "minted": (0, 0)}

    def real(self, progress: Progress) -> Iterator[pl.DataFrame]:
        """Give the real rows as they are."""
        for batch in self._stream.batches(name="writing", progress=progress):
            yield self._told(batch, "real")

    def minted(self, parts: Iterable[tuple[Any, pl.DataFrame]]) -> Iterator[pl.DataFrame]:
        """Give minted rows, each part with its class."""
        dtype = self._stream.schema[self._label]
        for value, part in parts:
            labels = pl.Series(self._label, [value]).cast(dtype).new_from_index(0, part.height)
            yield self._told(part.with_columns(labels).select(list(self._stream.schema)), "minted")

    def _told(self, table: pl.DataFrame, said: str) -> pl.DataFrame:
        rows, broken = self._counts[said]
        if self._generator is not None and len(self._generator.validity_.rules):
            valid = self._generator.validity_.rules.check(table, label=self._label).valid
            broken += int(np.sum(~valid))
        self._counts[said] = (rows + table.height, broken)
        if self._origin is None:
            return table
        return table.with_columns(pl.repeat(said, table.height, dtype=pl.String, eager=True).alias(self._origin))

    def adherence(self) -> Adherence | None:
        """Tell how many rows break rules."""
        model = self._generator
        if model is None:
            return None
        real, minted = (self._counts[said] for said in ("real", "minted"))
        return describe_adherence(model, real=real, minted=minted)


def _minted(
    generator: Generator, lacking: dict[str, int], minter: Minter, *, seed: int, progress: Progress
) -> Iterator[tuple[Any, pl.DataFrame]]:
    """Mint the rows that lack, part by part, each with its class."""
    for name, count in lacking.items():
        value = generator.classes_.values[generator.classes_.code(name)]
        for part in minter(generator, count, class_name=name, seed=seed, progress=progress):
            yield value, part
