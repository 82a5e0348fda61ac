"""Cells of CSV files to columns: what kind of values a column holds is found out, and no digit is lost.

A column is of booleans, whole numbers, decimals or text, whichever is the narrowest that takes all of its
cells. Pieces of a file are converted as they come; what they were found to be is reconciled at the end.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import polars as pl

from flowmint.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from flowmint.flows.faults import Faults
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


class NumbersNeededError(Exception):
    """Columns hold numbers but for a few words, so that rows with these must be left out when they are read again."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(*names)
        self.names = frozenset(names)


@dataclass
class ColumnReader:
    """Finds out what one column's cells are, piece by piece, and what the whole column is then.

    Attributes:
        name: The column's name.
        text: Whether its cells are taken for text whatever they look like.
        label: Whether it is the label, where words beside numbers are names.
        kinds: What pieces were found to be.
        dtypes: Of those that hold anything.
        largest: Magnitude of the largest whole number.
        quoted: Whether a piece of empty cells holds text of no letters.
        numbers: How many cells look like numbers.
        words: How many do not.
        stranger: The first cell that is no number, and its line.
    """

    name: str
    text: bool = False
    label: bool = False
    kinds: set[Found] = field(default_factory=set)
    dtypes: set[pl.DataType] = field(default_factory=set)
    largest: float = 0.0
    quoted: bool = False
    numbers: int = 0
    words: int = 0
    stranger: tuple[str, int] | None = None

    def add(self, cells: pl.Series, lines: range | Positions, file: str) -> pl.Series:
        """Take the cells of a piece.

        Args:
            cells: Text [rows].
            lines: Line of each [rows].
            file: What error messages call the file.

        Returns:
            What they are found to be [rows]; `widen` gives them the whole column's dtype.

        Raises:
            ReadError: A number is beyond what can be held exactly.
        """
        if self.text:
            return self._note(cells, "text")
        bare = cells.str.strip_chars()
        bare = bare.set(bare.is_in(ABSENT).fill_null(value=False), None)
        if bare.null_count() == len(bare):
            self.quoted = self.quoted or cells.null_count() < len(cells)
            return self._note(cells if cells.drop_nulls().len() else bare, "empty")
        if bare.is_in([*TRUE, *FALSE, None], nulls_equal=True).all():
            return self._note(bare.is_in(TRUE), "boolean")
        return self._add_numbers(cells, bare, lines, file)

    def _add_numbers(self, cells: pl.Series, bare: pl.Series, lines: range | Positions, file: str) -> pl.Series:
        decimals = bare.cast(pl.Float64, strict=False)
        word = decimals.is_null() & bare.is_not_null()
        self.numbers += int(decimals.is_not_null().sum())
        if count := int(word.sum()):
            if self.stranger is None:
                row = word.arg_max() or 0
                self.stranger = (bare[row], lines[row])
            self.words += count
            return self._note(cells, "text")
        whole = self._whole(bare)
        if whole is not None:
            self.largest = max(self.largest, cast("float", whole.cast(pl.Float64).abs().max() or 0.0))
            return self._note(whole, "integer")
        self._check_size(bare, decimals, lines, file)
        return self._note(decimals, "decimal")

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

    def _note(self, part: pl.Series, kind: Found) -> pl.Series:
        self.kinds.add(kind)
        if kind != "empty":
            self.dtypes.add(part.dtype)
        return part

    def finish(self, file: str) -> pl.DataType:
        """Tell what the whole column is.

        Args:
            file: What error messages call the file.

        Returns:
            Its dtype.

        Raises:
            ReadError: Numbers beside words, or whole numbers beside decimals that cannot hold them.
            TextNeededError: Other parts must be read again as text.
        """
        kinds = self.kinds - {"empty"}
        if not kinds:
            return pl.String() if self.quoted else pl.Null()
        if kinds == {"boolean"}:
            return pl.Boolean()
        if kinds <= {"integer", "decimal"}:
            return self._finish_numbers(file)
        if self.is_strange and self.stranger:
            word, line = self.stranger
            raise ReadError(
                f"{file}: line {line:,} has {word:.60} in column {self.name!r}, where {self.numbers:,} other cells are "
                f"numbers; mend it, or take the column for names (--categorical {self.name!r})"
            )
        if kinds == {"text"} and "empty" not in self.kinds:
            return pl.String()
        raise TextNeededError([self.name])

    @property
    def is_strange(self) -> bool:
        """Whether most cells are numbers, and some are words."""
        return self.numbers > self.words > 0 and not self.label and not self.text

    def _finish_numbers(self, file: str) -> pl.DataType:
        if len(self.dtypes) == 1:
            return next(iter(self.dtypes))
        if self.largest >= MOST_EXACT:
            raise ReadError(
                f"{file}: column {self.name!r} has whole numbers of more than 16 digits beside decimals or "
                f"negative numbers, and no number type holds both; take it for names (--categorical {self.name!r}) "
                f"or leave it out (--drop {self.name!r})"
            )
        return pl.Float64() if pl.Float64() in self.dtypes else pl.Int64()


class Parser:
    """Turns checked lines into columns, piece by piece; what each column holds is known at the end.

    Args:
        names: The header.
        file: What error messages call the file.
        delimiter: What separates cells.
        label: The label column, if any.
        text: Columns to take for text.
        drop: Columns to leave out.
        numbers: Columns of numbers, whose words make a row malformed.
        faults: Where malformed rows are counted instead of refused; None to refuse them.

    Attributes:
        names: The header.
        faults: As given.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        file: str,
        delimiter: str,
        label: str | None,
        text: Collection[str],
        drop: Collection[str],
        numbers: Collection[str] = (),
        faults: Faults | None = None,
    ) -> None:
        self.faults, self._numbers = faults, numbers
        self.names, self._file, self._delimiter = names, file, delimiter
        self._readers = {n: ColumnReader(n, text=n in text, label=n == label) for n in names if n not in drop}

    def add(self, piece: Piece) -> pl.DataFrame:
        """Turn a piece into columns of what its cells are found to be.

        Raises:
            ReadError: A number cannot be held exactly.
        """
        cells = _cells(piece, self.names, self._delimiter)
        lines = piece.lines
        for name in self._numbers:
            cells, lines = self._without_words(cells, lines, name)
        readers = self._readers.items()
        return pl.DataFrame([reader.add(cells[name], lines, self._file).alias(name) for name, reader in readers])

    def _without_words(
        self, cells: pl.DataFrame, lines: range | Positions, name: str
    ) -> tuple[pl.DataFrame, range | Positions]:
        """Leave out the rows where a column of numbers holds a word."""
        bare = cells[name].str.strip_chars()
        absent = bare.is_in(ABSENT).fill_null(value=True)
        words = ~absent & bare.cast(pl.Float64, strict=False).is_null()
        if not words.any() or self.faults is None:
            return cells, lines
        first = words.arg_max() or 0
        told = f"{self._file}: line {lines[first]:,} has {bare[first]:.60} in column {name!r}, which holds numbers"
        self.faults.add(int(words.sum()), told)
        return cells.filter(~words), np.asarray(lines)[~words.to_numpy()]

    def finish(self) -> dict[str, pl.DataType]:
        """Tell each column's dtype, which `widen` gives to the pieces.

        Raises:
            ReadError: A column's cells cannot be held.
            TextNeededError: Columns must be read again as text.
            NumbersNeededError: Rows with words among numbers must be left out, where malformed rows are skipped.
        """
        dtypes: dict[str, pl.DataType] = {}
        again: set[str] = set()
        if self.faults is not None and (strange := {n for n, each in self._readers.items() if each.is_strange}):
            raise NumbersNeededError(strange)
        for name, reader in self._readers.items():
            try:
                dtypes[name] = reader.finish(self._file)
            except TextNeededError as needed:
                again |= needed.names
        if again:
            raise TextNeededError(again)
        return dtypes


def widen(part: pl.DataFrame, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Give a piece's columns the dtypes of the whole file's.

    Args:
        part: What `Parser.add` gave [rows, columns].
        dtypes: What `Parser.finish` told.

    Returns:
        The piece with these dtypes.
    """
    return pl.DataFrame([_widened(part[name], dtype) for name, dtype in dtypes.items()])


def _widened(part: pl.Series, dtype: pl.DataType) -> pl.Series:
    if part.dtype == pl.String and dtype not in (pl.String(), pl.Null()):  # a piece of empty cells
        return pl.Series(part.name, [None], dtype=dtype).new_from_index(0, len(part))
    return part.cast(dtype)


def join(parts: Sequence[pl.DataFrame], dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Put the pieces of a file together.

    Args:
        parts: What `Parser.add` gave, in order.
        dtypes: What `Parser.finish` told.

    Returns:
        The table; without rows if there are no pieces.
    """
    return pl.concat([widen(part, dtypes) for part in parts]) if parts else pl.DataFrame(schema=dtypes)


def _cells(piece: Piece, names: Sequence[str], delimiter: str) -> pl.DataFrame:
    """Part lines into cells of text [kept lines, columns]."""
    # Polars would leave empty lines at the beginning out, but not those further on: a first line holds them back
    first = delimiter.join("x" * len(names)).encode() + b"\n"
    text = io.BytesIO(first + piece.text)
    cells = pl.read_csv(text, has_header=False, separator=delimiter, schema=dict.fromkeys(names, pl.String))[1:]
    return cells if piece.kept.all() else cells.filter(pl.Series(piece.kept))
