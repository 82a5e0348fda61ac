"""What a report is: one plain dict of sections, which every format shows whole.

The dict holds nothing but text, numbers, None, lists and dicts, so that it survives JSON unchanged.
A section has blocks; a block is a paragraph, a list of facts, a table or a figure, and every figure
carries the table of what it draws, which Markdown shows in its place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT_VERSION = 1
"""Version of the dict's layout."""

Direction = Literal["higher", "lower", "reference"]
Tone = Literal["good", "even", "bad", "unknown"]


class Interval(TypedDict):
    """A mean and the ends of its interval, None where there was one seed alone; the best of a column is marked."""

    mean: float
    low: float | None
    high: float | None
    best: bool


class Missing(TypedDict):
    """A value that could not be had, and why."""

    missing: str


Cell: TypeAlias = str | float | int | Interval | Missing | None
"""What stands in a table: text, a number, nothing, an interval, or the reason why it is missing."""


class Table(TypedDict):
    """Rows under named columns; the first column names the row. A folded one is shown on request."""

    block: Literal["table"]
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str
    folded: bool


class Paragraph(TypedDict):
    """A sentence or more."""

    block: Literal["paragraph"]
    text: str


class Facts(TypedDict):
    """Named values, such as settings."""

    block: Literal["facts"]
    title: str
    facts: list[list[str]]


class Code(TypedDict):
    """A command to copy."""

    block: Literal["code"]
    text: str


class Point(TypedDict):
    """A point of a line, with the interval of ``y``."""

    x: float
    y: float
    low: float | None
    high: float | None


class Series(TypedDict):
    """A line through points; ``style`` chooses colour, marker and dashes together."""

    name: str
    style: int
    points: list[Point]


class Reference(TypedDict):
    """A level to compare with."""

    name: str
    value: float


class LinesPanel(TypedDict):
    """Lines over a logarithmic axis of counts."""

    panel: Literal["lines"]
    title: str
    note: str
    x_title: str
    y_title: str
    series: list[Series]
    references: list[Reference]


class DotRow(TypedDict):
    """One value of a panel of dots; ``missing`` says why ``value`` is None."""

    name: str
    style: int
    value: float | None
    low: float | None
    high: float | None
    missing: str


class DotsPanel(TypedDict):
    """One quantity of several things, each on a line of its own."""

    panel: Literal["dots"]
    title: str
    note: str
    rows: list[DotRow]
    reference: Reference | None
    bounds: list[float | None]
    log: bool


class StripPanel(TypedDict):
    """One score between its bounds, with the same score of real rows."""

    panel: Literal["strip"]
    title: str
    note: str
    better: Direction
    bounds: list[float | None]
    value: float | None
    reference: float | None
    missing: str


class HistogramPanel(TypedDict):
    """Shares of real and minted rows over the same bins; ``labels`` name bins that are single values."""

    panel: Literal["histogram"]
    title: str
    note: str
    edges: list[float]
    labels: list[str]
    ticks: list[list[float | str]]
    real: list[float]
    minted: list[float]


class MatrixPanel(TypedDict):
    """A symmetric matrix of values from -1 to 1; None where a column is constant."""

    panel: Literal["matrix"]
    title: str
    names: list[str]
    values: list[list[float | None]]


class Group(TypedDict):
    """Points that share a name and a style."""

    name: str
    style: int
    points: list[list[float]]


class PointsPanel(TypedDict):
    """Rows as points of a plane."""

    panel: Literal["points"]
    title: str
    note: str
    groups: list[Group]


Panel: TypeAlias = LinesPanel | DotsPanel | StripPanel | HistogramPanel | MatrixPanel | PointsPanel


class Figure(TypedDict):
    """Panels with one legend; ``description`` is what a reader who cannot see them is told."""

    block: Literal["figure"]
    name: str
    title: str
    description: str
    note: str
    legend: list[list[str | int]]
    panels: list[Panel]
    table: Table


Block: TypeAlias = Paragraph | Facts | Code | Table | Figure


class Section(TypedDict):
    """A part of the report under a heading; ``name`` is its anchor."""

    name: str
    title: str
    lead: str
    blocks: list[Block]


class Verdict(TypedDict):
    """The answer in a sentence; the tone chooses the sign beside it."""

    tone: Tone
    sentence: str
    details: list[str]


class Document(TypedDict):
    """A whole report."""

    format_version: int
    title: str
    subtitle: str
    verdict: Verdict
    key_facts: list[list[str]]
    sections: list[Section]


def number(value: float | np.number | None) -> float | int | None:
    """Make a number fit for JSON.

    Args:
        value: Any number of Python or NumPy, or None.

    Returns:
        An int or float of Python; None for None, NaN and infinities.
    """
    if value is None:
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    plain = float(value)
    return plain if math.isfinite(plain) else None


def interval(mean: float, low: float | None = None, high: float | None = None) -> Cell:
    """Make a cell of a mean with its interval; a dash where there is no mean."""
    middle = number(mean)
    return None if middle is None else Interval(mean=middle, low=number(low), high=number(high), best=False)


def cell_kind(cell: Cell) -> str:
    """Tell what a cell is: none, text, number, missing or interval."""
    if cell is None:
        return "none"
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, int | float):
        return "number"
    return "missing" if "missing" in cell else "interval"


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, note: str = "", folded: bool = False
) -> Table:
    """Make a table.

    Args:
        title: Its caption.
        columns: Names of its columns.
        rows: Cells of each row, as many as columns.
        note: A sentence below it.
        folded: Whether a page shows it on request alone.

    Returns:
        The block.
    """
    return Table(
        block="table", title=title, columns=list(columns), rows=[list(row) for row in rows], note=note, folded=folded
    )


def paragraph(text: str) -> Paragraph:
    """Make a paragraph."""
    return Paragraph(block="paragraph", text=text)


def facts(title: str, named: Mapping[str, object]) -> Facts:
    """Make a list of named values."""
    return Facts(block="facts", title=title, facts=[[str(name), str(value)] for name, value in named.items()])


def figure(
    name: str,
    title: str,
    *,
    description: str,
    panels: Iterable[Panel],
    data: Table,
    legend: Iterable[tuple[str, int]] = (),
    note: str = "",
) -> Figure:
    """Make a figure.

    Args:
        name: Its anchor, unique in the report.
        title: Its heading.
        description: What it shows, for readers who cannot see it.
        panels: What is drawn.
        data: The table behind it.
        legend: Names and their styles.
        note: How to read it.

    Returns:
        The block.
    """
    return Figure(
        block="figure",
        name=name,
        title=title,
        description=description,
        note=note,
        legend=[[label, style] for label, style in legend],
        panels=list(panels),
        table=data,
    )
