"""Cells of CSV files to columns: what kind of values a column holds is found out, and no digit is lost.

A column is of booleans, whole numbers, decimals or text, whichever is the narrowest that takes all of its
cells. Pieces of a file are converted as they come; what they were found to be is reconciled at the end.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import polars as pl

from flowmint.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from flowmint.flows.scan import Piece, Positions

Found = Literal["empty", "boolean", "integer", "decimal", "text"]

ABSENT = ("", "NA", "N/A", "null", "NULL", "None", "<NA>", "NaT")
"""How other programs write an empty cell among numbers."""

TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
MOST_EXACT = 2**53
"""Whole numbers beyond this are not all exact as decimals."""


class TextNeededError(Exception):
    """Columns that looked like numbers hold words too, so their cells must be read again as text."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(*names)
        self.names = frozenset(names)


@dataclass
class ColumnReader:
    """Collects one column's cells, piece by piece.

    Attributes:
        name: The column's name.
        text: Whether its cells are taken for text whatever they look like.
        label: Whether it is the label, where words beside numbers are names.
        parts: What was read so far.
        kinds: What each part was found to be.
        numbers: How many cells look like numbers.
        words: How many do not.
        stranger: The first cell that is no number, and its line.
    """

    name: str
    text: bool = False
    label: bool = False
    parts: list[pl.Series] = field(default_factory=list)
    kinds: list[Found] = field(default_factory=list)
    numbers: int = 0
    words: int = 0
    stranger: tuple[str, int] | None = None

    def add(self, cells: pl.Series, lines: range | Positions, file: str) -> None:
        """Take the cells of a piece.

        Args:
            cells: Text [rows].
            lines: Line of each [rows].
            file: What error messages call the file.

        Raises:
            ReadError: A number is beyond what can be held exactly.
        """
        if self.text:
            self._keep(cells, "text")
            return
        bare = cells.str.strip_chars()
        bare = bare.set(bare.is_in(ABSENT).fill_null(value=False), None)
        if bare.null_count() == len(bare):
            self._keep(cells if cells.drop_nulls().len() else bare, "empty")
        elif bare.is_in([*TRUE, *FALSE, None], nulls_equal=True).all():
            self._keep(bare.is_in(TRUE), "boolean")
        else:
            self._add_numbers(cells, bare, lines, file)

    def _add_numbers(self, cells: pl.Series, bare: pl.Series, lines: range | Positions, file: str) -> None:
        decimals = bare.cast(pl.Float64, strict=False)
        word = decimals.is_null() & bare.is_not_null()
        self.numbers += int(decimals.is_not_null().sum())
        if count := int(word.sum()):
            if self.stranger is None:
                row = word.arg_max() or 0
                self.stranger = (bare[row], lines[row])
            self.words += count
            self._keep(cells, "text")
            return
        whole = self._whole(bare)
        if whole is not None:
            self._keep(whole, "integer")
            return
        self._check_size(bare, decimals, lines, file)
        self._keep(decimals, "decimal")

    @staticmethod
    def _whole(bare: pl.Series) -> pl.Series | None:
        for dtype in (pl.Int64, pl.UInt64):
            numbers = bare.cast(dtype, strict=False)
            if numbers.null_count() == bare.null_count():
                return numbers
        return None

    def _check_size(self, bare: pl.Series, decimals: pl.Series, lines: range | Positions, file: str) -> None:
        """Refuse numbers that a double cannot hold: too large, or whole and of too many digits."""
        digits = bare.str.contains(r"^[+-]?\d+$") & (decimals.abs() >= MOST_EXACT)
        large = decimals.is_infinite() & ~bare.str.to_lowercase().str.contains("inf", literal=True)
        wrong = (digits | large).fill_null(value=False)
        if wrong.any():
            row = wrong.arg_max() or 0
            raise ReadError(
                f"{file}: line {lines[row]:,} has {bare[row]:.60} in column {self.name!r}, whose digits would be "
                f"lost; whole numbers may have 64 bits and decimals 16 digits; take it for a name "
                f"(--categorical {self.name!r}) or leave it out (--drop {self.name!r})"
            )

    def _keep(self, part: pl.Series, kind: Found) -> None:
        self.parts.append(part)
        self.kinds.append(kind)

    def finish(self, file: str) -> pl.Series:
        """Put the parts together.

        Args:
            file: What error messages call the file.

        Returns:
            The column [rows].

        Raises:
            ReadError: Numbers beside words, or whole numbers beside decimals that cannot hold them.
            TextNeededError: Other parts must be read again as text.
        """
        kinds = set(self.kinds) - {"empty"}
        if not kinds:
            texts = any(part.null_count() < len(part) for part in self.parts)
            return self._join(pl.String if texts else pl.Null)
        if kinds == {"boolean"}:
            return self._join(pl.Boolean)
        if kinds <= {"integer", "decimal"}:
            return self._join_numbers(file)
        if self.numbers > self.words and self.stranger and not self.label:
            word, line = self.stranger
            raise ReadError(
                f"{file}: line {line:,} has {word:.60} in column {self.name!r}, where {self.numbers:,} other cells are "
                f"numbers; mend it, or take the column for names (--categorical {self.name!r})"
            )
        if kinds == {"text"} and "empty" not in self.kinds:
            return self._join(pl.String)
        raise TextNeededError([self.name])

    def _join_numbers(self, file: str) -> pl.Series:
        present = [part for part, kind in zip(self.parts, self.kinds, strict=True) if kind != "empty"]
        dtypes = {part.dtype for part in present}
        if len(dtypes) == 1:
            return self._join(dtypes.pop())
        for part in present:
            if part.dtype.is_integer() and part.len() and part.cast(pl.Float64).abs().max() >= MOST_EXACT:  # type: ignore[operator]
                raise ReadError(
                    f"{file}: column {self.name!r} has whole numbers of more than 16 digits beside decimals or "
                    f"negative numbers, and no number type holds both; take it for names (--categorical {self.name!r}) "
                    f"or leave it out (--drop {self.name!r})"
                )
        return self._join(pl.Float64 if pl.Float64() in dtypes else pl.Int64)

    def _join(self, dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
        parts = [
            pl.Series(self.name, [None], dtype=dtype).new_from_index(0, len(part))
            if kind == "empty" and dtype not in {pl.String, pl.Null}
            else part.cast(dtype)
            for part, kind in zip(self.parts, self.kinds, strict=True)
        ]
        return pl.concat(parts).alias(self.name) if parts else pl.Series(self.name, [], dtype=dtype)


def parse_pieces(
    pieces: Iterable[Piece],
    names: Sequence[str],
    *,
    file: str,
    delimiter: str,
    label: str | None,
    text: Collection[str],
    drop: Collection[str],
) -> pl.DataFrame:
    """Turn checked lines into a table.

    Args:
        pieces: The lines after the header.
        names: The header.
        file: What error messages call the file.
        delimiter: What separates cells.
        label: The label column, if any.
        text: Columns to take for text.
        drop: Columns to leave out.

    Returns:
        The table; without rows if there are no lines.

    Raises:
        ReadError: A column's cells cannot be held.
        TextNeededError: Columns must be read again as text.
    """
    readers = {n: ColumnReader(n, text=n in text, label=n == label) for n in names if n not in drop}
    for piece in pieces:
        cells = _cells(piece, names, delimiter)
        for name, reader in readers.items():
            reader.add(cells[name], piece.lines, file)
    columns: list[pl.Series] = []
    again: set[str] = set()
    for reader in readers.values():
        try:
            columns.append(reader.finish(file))
        except TextNeededError as needed:
            again |= needed.names
    if again:
        raise TextNeededError(again)
    return pl.DataFrame(columns)


def _cells(piece: Piece, names: Sequence[str], delimiter: str) -> pl.DataFrame:
    """Part lines into cells of text [kept lines, columns]."""
    # Polars would leave empty lines at the beginning out, but not those further on: a first line holds them back
    first = delimiter.join("x" * len(names)).encode() + b"\n"
    text = io.BytesIO(first + piece.text)
    cells = pl.read_csv(text, has_header=False, separator=delimiter, schema=dict.fromkeys(names, pl.String))[1:]
    return cells if piece.kept.all() else cells.filter(pl.Series(piece.kept))
