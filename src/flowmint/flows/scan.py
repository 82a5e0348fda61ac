"""CSV bytes, checked while they stream: encoding, quotes, cells in each line and length of each cell.

Quotes follow RFC 4180: they stand around a whole cell, and a quote inside is doubled. Lines end in LF or
CR LF; empty lines are skipped. What passes here can be parsed in only one way.
"""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from flowmint.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from flowmint.flows.faults import Faults

    Bytes = npt.NDArray[np.uint8]
    Positions = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

LONGEST_CELL = 4096
"""Most characters that a cell may have."""

LONGEST_LINE = 1 << 24
"""Most bytes that a line may have."""

LONGEST_RECORD = 4 * LONGEST_CELL
"""Bytes after the end of a line within which a quote that is open there must be closed, where faults are skipped."""

SMALL_BLOCK = 1 << 16
"""Bytes of the block of lines that is tried after a malformed one."""

NEWLINE, RETURN, QUOTE = b'\n\r"'
DELIMITERS = (",", ";", "\t", "|")

FOREIGN = {
    b"\x1f\x8b": "gzip data; name it .csv.gz",
    b"\x28\xb5\x2f\xfd": "zstd data; name it .csv.zst",
    b"PAR1": "Parquet; name it .parquet",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; unpack it, or export it as CSV",
    b"\xd4\xc3\xb2\xa1": "captured packets; extract flows from it first",
    b"\x0a\x0d\x0d\x0a": "captured packets; extract flows from it first",
    codecs.BOM_UTF16_LE: "UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8",
}
"""What a file may hold that is named as CSV, by its first bytes, and what to do about it."""


@dataclass(frozen=True)
class Piece:
    """Whole lines of a CSV file.

    Attributes:
        text: The lines.
        kept: Which of them are not empty [lines].
        lines: Number in the file of each line that is kept [rows].
    """

    text: bytes
    kept: Mask
    lines: range | Positions


NOTHING = Piece(b"", np.array([], dtype=bool), range(0))


class Scanner:
    """Reads a CSV file's header, then its lines piece by piece, and refuses what is malformed.

    Args:
        chunks: The file's bytes, in order.
        name: What error messages call the file.
        delimiter: What separates cells.
        faults: Where malformed lines after the header are counted instead of refused; None to refuse them.
    """

    def __init__(self, chunks: Iterable[bytes], *, name: str, delimiter: str, faults: Faults | None = None) -> None:
        self._chunks = iter(chunks)
        self._faults = faults
        self._name = name
        self._delimiter = delimiter
        self._rest = b""
        self._offset = 0  # of the rest in the file, in bytes
        self._line = 1  # of the rest's first byte

    def header(self) -> list[str]:
        """Read the column names, without a byte order mark and surrounding spaces.

        Raises:
            ReadError: The file is empty, no text, or seems to have another delimiter.
        """
        self._start()
        text, final = self._rest, False
        while not len(newlines := np.flatnonzero(self._find_ends(np.frombuffer(text, dtype=np.uint8))[1])):
            if final or len(text) > LONGEST_LINE:
                self._rest = text
                self._fail_unfinished(final=final)
            chunk = next(self._chunks, b"")
            final = not chunk
            text += chunk or b"\n"
        ends = self._find_ends(np.frombuffer(text, dtype=np.uint8))[0][: newlines[0] + 1]
        line = text[: ends[-1] + 1]
        self._check_text(line)
        self._check_quotes(np.frombuffer(line, dtype=np.uint8), line)
        self._check_cells(line, ends, np.array([], dtype=np.int64))
        self._advance(text, len(line))
        return self._names(line.decode().rstrip("\r\n"))

    def pieces(self, width: int) -> Iterator[Piece]:
        """Read the lines after the header.

        Args:
            width: Cells that each line must have.

        Yields:
            Whole lines.

        Raises:
            ReadError: They are malformed; the message names the line.
        """
        final = False
        while not final:
            chunk = next(self._chunks, b"")
            final = not chunk
            text = self._rest + chunk
            if final and text and not text.endswith(b"\n"):
                text += b"\n"
            if self._faults is None:
                piece = self._cut(text, width)
                self._advance(text, len(piece.text))
                if piece.text:
                    yield piece
            else:
                self._rest = text
                yield from self._sound(width, self._faults, final=final)
            if self._rest and (final or len(self._rest) > LONGEST_LINE):
                self._fail_unfinished(final=final)

    def _sound(self, width: int, faults: Faults, *, final: bool) -> Iterator[Piece]:
        """Cut whole lines off the rest and leave malformed ones out.

        Lines are tried in blocks: one that fails is halved until the line is found, and after it blocks double again.
        """
        size = len(self._rest)
        while stop := self._rest.rfind(b"\n", 0, size) + 1 or self._rest.find(b"\n") + 1:
            block = self._rest[:stop]
            alone = self._rest.find(b"\n") + 1 == stop
            piece, problem = self._try(block, width)
            if not piece.text and not alone:
                size = stop // 2
                continue
            if not piece.text and not problem:  # a quote is open at the line's end
                record = self._record()
                if not record and not final and len(self._rest) < LONGEST_RECORD:
                    return  # its end may come
                piece, _ = self._try(record, width)
                if len(piece.text) < len(record):
                    piece = NOTHING
                problem = self._told(self._line, "opens a quote that is never closed")
            if not piece.text:
                faults.add(1, problem)
            self._advance(self._rest, len(piece.text) or stop)
            if piece.text:
                yield piece
            size = 2 * size if piece.text else SMALL_BLOCK

    def _try(self, block: bytes, width: int) -> tuple[Piece, str]:
        """Cut whole lines off the rest's first bytes; nothing, and what is wrong, if any is malformed."""
        try:
            return self._cut(block, width), ""
        except ReadError as error:
            return NOTHING, str(error)

    def _record(self) -> bytes:
        """Give the rest's first lines up to where the quotes that they open are closed; nothing if that is too far."""
        stop = self._rest.find(b"\n") + 1
        limit = stop + LONGEST_RECORD
        while 0 < stop <= limit:
            if self._rest.count(QUOTE, 0, stop) % 2 == 0:
                return self._rest[:stop]
            stop = self._rest.find(b"\n", stop) + 1
        return b""

    def _start(self) -> None:
        """Read the first bytes and leave a byte order mark and empty lines out."""
        text = b""
        while not text.strip(b"\r\n") and len(text) < LONGEST_LINE and (chunk := next(self._chunks, b"")):
            text += chunk
        for magic, told in FOREIGN.items():
            if text.startswith(magic):
                message = f"{self._name} holds {told}"
                raise ReadError(message)
        if text.startswith(codecs.BOM_UTF8):
            self._advance(text, 3)
            text = self._rest
        self._advance(text, len(text) - len(text.lstrip(b"\r\n")))
        if not self._rest.strip():
            message = f"{self._name} is empty; give a table with a header and rows"
            raise ReadError(message)

    def _names(self, header: str) -> list[str]:
        try:
            names = next(csv.reader([header], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            message = (
                f"{self._name}: the header cannot be read ({error}); do lines end in CR alone? try: tr '\\r' '\\n'"
            )
            raise ReadError(message) from error
        others = [other for other in DELIMITERS if other != self._delimiter and other in header]
        if len(names) == 1 and others:
            best = max(others, key=header.count)
            shown = "$'\\t'" if best == "\t" else f"'{best}'"
            message = f"{self._name} has no {self._delimiter!r} in its header but {best!r}; try --delimiter {shown}"
            raise ReadError(message)
        return [name.strip() for name in names]

    def _cut(self, text: bytes, width: int) -> Piece:
        """Check text and cut its whole lines off."""
        data = np.frombuffer(text, dtype=np.uint8)
        ends, is_newline = self._find_ends(data)
        newlines = np.flatnonzero(is_newline)
        stops = ends[newlines]
        whole = text[: stops[-1] + 1] if len(stops) else b""
        self._check_text(whole)
        self._check_quotes(data, text)
        self._check_cells(text, ends, newlines)
        starts = np.concatenate([[0], stops[:-1] + 1]) if len(stops) else stops
        kept = self._check_widths(text, np.diff(newlines, prepend=-1), starts, width)
        if kept.all() and whole.count(b"\n") == len(stops):
            return Piece(whole, kept, range(self._line, self._line + len(stops)))
        lines = np.searchsorted(np.flatnonzero(data == NEWLINE), starts) + self._line
        return Piece(whole, kept, lines[kept])

    def _find_ends(self, data: Bytes) -> tuple[Positions, Mask]:
        """Find where cells end, quotes heeded, and which of these ends also end a line."""
        marks = np.flatnonzero((data == ord(self._delimiter)) | (data == NEWLINE) | (data == QUOTE))
        kinds = data[marks]
        quotes = kinds == QUOTE
        if quotes.any():
            outside = (np.cumsum(quotes) % 2 == 0) & ~quotes
            marks, kinds = marks[outside], kinds[outside]
        return marks, kinds == NEWLINE

    def _check_text(self, text: bytes) -> None:
        position = text.find(b"\0")
        if position >= 0:
            self._fail(
                self._line_of(text, position), f"has a NUL byte (byte {self._offset + position:,}); is this a CSV?"
            )
        if text.isascii():
            return
        try:
            text.decode()
        except UnicodeDecodeError as error:
            where = f"is not UTF-8 (byte {self._offset + error.start:,}: 0x{text[error.start]:02x})"
            self._fail(self._line_of(text, error.start), f"{where}; convert it, e.g.: iconv -f WINDOWS-1252 -t UTF-8")

    def _check_quotes(self, data: Bytes, text: bytes) -> None:
        quotes = np.flatnonzero(data == QUOTE)
        if not len(quotes):
            return
        separators = [ord(self._delimiter), NEWLINE, QUOTE]
        opening, closing = quotes[::2], quotes[1::2]
        before = data[opening[opening > 0] - 1]
        closing = closing[closing < len(data) - 1]
        after = data[closing + 1]
        wrong = opening[opening > 0][~np.isin(before, separators)]
        wrong = np.append(wrong, closing[~np.isin(after, [*separators, RETURN])])
        if len(wrong):
            line = self._line_of(text, int(wrong.min()))
            self._fail(line, "has a quote inside a cell; put quotes around the whole cell and double those inside")

    def _check_cells(self, text: bytes, ends: Positions, newlines: Positions) -> None:
        bounds = np.concatenate([[-1], ends, [len(text)]])
        for cell in np.flatnonzero(np.diff(bounds) > LONGEST_CELL).tolist():
            start, end = int(bounds[cell]) + 1, int(bounds[cell + 1])
            length = len(text[start:end].decode(errors="ignore"))
            if length > LONGEST_CELL:
                column = cell - int(newlines[newlines < cell].max(initial=-1))
                told = f"{'over ' if cell == len(ends) else ''}{length:,}"
                hint = (
                    "is a quote left open?" if text[start] == QUOTE else "shorten it, or leave the column out (--drop)"
                )
                where = f"has a cell of {told} characters in column {column}"
                self._fail(self._line_of(text, start), f"{where}, at most {LONGEST_CELL:,} are allowed; {hint}")

    def _check_widths(self, text: bytes, widths: Positions, starts: Positions, width: int) -> Mask:
        """Refuse lines of too few or too many cells, and tell which lines are not empty [lines]."""
        other = np.flatnonzero(widths != width)
        kept = np.ones(len(widths), dtype=bool)
        for line in other.tolist():
            start = int(starts[line])
            if widths[line] > 1 or not text.startswith((b"\n", b"\r\n"), start):
                cells = f"{widths[line]} cell{'s' * int(widths[line] > 1)}"
                hint = "mend it, or put quotes around cells that hold the delimiter or a line break"
                self._fail(self._line_of(text, start), f"has {cells} where the header has {width}; {hint}")
            kept[line] = False
        return kept

    def _fail_unfinished(self, *, final: bool) -> NoReturn:
        if not final:
            self._fail(self._line, f"is longer than {LONGEST_LINE:,} bytes; is this a CSV?")
        self._fail(self._line_of(self._rest, self._rest.rindex(QUOTE)), "opens a quote that is never closed")

    def _advance(self, text: bytes, used: int) -> None:
        self._offset += used
        self._line += text.count(b"\n", 0, used)
        self._rest = text[used:]

    def _line_of(self, text: bytes, position: int) -> int:
        return self._line + text.count(b"\n", 0, position)

    def _fail(self, line: int, problem: str) -> NoReturn:
        raise ReadError(self._told(line, problem))

    def _told(self, line: int, problem: str) -> str:
        return f"{self._name}: line {line:,} {problem}"
