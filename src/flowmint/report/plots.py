"""The charts: each panel of a figure becomes one small SVG image.

Panels are narrow on purpose: the page puts as many side by side as fit, and on a phone one below the
other at a size that can be read. Real rows are always drawn grey and filled, minted rows with an
outline and hatches or with a marker of their own, so that nothing hangs on colour.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np

from flowmint.report.svg import (
    coordinate,
    line,
    log_ticks,
    marker,
    nice_ticks,
    outline,
    picture,
    polyline,
    rectangle,
    shorten,
    style_class,
    tag,
    text,
)
from flowmint.report.words import show_number, show_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flowmint.report.document import (
        DotRow,
        DotsPanel,
        Group,
        HistogramPanel,
        LinesPanel,
        MatrixPanel,
        Panel,
        Point,
        PointsPanel,
        StripPanel,
    )

    Scale = Callable[[float], float]

REAL_STYLE, MINTED_STYLE, LEARNT_STYLE = 0, 1, 4
"""The styles of real rows held out, of minted rows, and of the real rows they were learnt from."""

WIDTH = 400.0
"""Width of a panel in pixels of its own."""

LEAST_SPAN = 0.1
"""The least share of a score's range that an axis shows, lest small differences look large."""

LEVELS = 6
"""Steps of size in which a matrix shows how strong a correlation is."""


LEAST_PAD = 0.004
"""Room above and below lines of F1, at least: where all are alike, noise shall not fill the chart."""


def draw(panel: Panel) -> str:
    """Draw one panel.

    Args:
        panel: What to draw.

    Returns:
        An ``svg`` element.
    """
    return DRAWERS[panel["panel"]](panel)


def legend_mark(panel: str, style: int) -> str:
    """Draw what stands for a style in one kind of panel, for a legend."""
    drawn = {
        ("histogram", REAL_STYLE): [rectangle(3, 1, 20, 10, kind="real-bar")],
        ("histogram", MINTED_STYLE): [rectangle(3, 1, 20, 10, kind="minted-bar boxed")],
        ("strip", REAL_STYLE): [rectangle(11.5, 0, 3, 12, kind="real-tick")],
        ("strip", MINTED_STYLE): [marker(13, 6, style, size=5.5)],
        ("points", REAL_STYLE): [_marks("disc", [(13, 6)])],
        ("points", MINTED_STYLE): [_marks("cross", [(13, 6)])],
        ("points", LEARNT_STYLE): [_marks("diamond", [(13, 6)])],
    }.get((panel, style), [line(1, 6, 25, 6, kind=f"series {style_class(style)}"), marker(13, 6, style)])
    return f'<svg viewBox="0 0 26 12" aria-hidden="true">{"".join(drawn)}</svg>'


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Map numbers from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Map positive numbers onto pixels by their logarithm."""
    scale = linear(math.log(low), math.log(high), start, end)
    return lambda value: scale(math.log(max(value, low / 10)))


def draw_lines(panel: LinesPanel) -> str:
    """Draw lines with intervals over a logarithmic axis of counts."""
    left, right, top, bottom = 38.0, WIDTH - 6, 14.0, 226.0
    counts = sorted({point["x"] for series in panel["series"] for point in series["points"]})
    edges = (counts[0] / 1.25, counts[-1] * 1.25)
    x_of = logarithmic(*edges, left, right)
    low, high, ticks = _value_range(panel)
    straight = linear(low, high, bottom, top)

    def y_of(value: float) -> float:
        return straight(min(max(value, low), high))

    parts = [line(left, y_of(tick), right, y_of(tick), kind="grid") for tick in ticks]
    parts += [text(left - 7, y_of(tick) + 4, show_tick(tick), anchor="end", kind="tick") for tick in ticks]
    parts += [text(x_of(count), bottom + 17, show_tick(count), anchor="middle", kind="tick") for count in counts]
    parts += [line(x_of(count), bottom, x_of(count), bottom + 4, kind="axis") for count in counts]
    parts += [line(left, bottom, right, bottom, kind="axis")]
    parts += [text((left + right) / 2, bottom + 35, panel["x_title"], anchor="middle", kind="axis-title")]
    for reference in panel["references"]:
        y = y_of(reference["value"])
        parts += [
            line(left, y, right, y, kind="reference"),
            text(right, y - 5, reference["name"], anchor="end", kind="tick"),
        ]
    middle = (len(panel["series"]) - 1) / 2
    for index, series in enumerate(panel["series"]):
        parts += _line(series["points"], series["style"], series["name"], x_of, y_of, shift=(index - middle) * 3.0)
    return picture(WIDTH, 266, parts, label=f"{panel['title']}: {panel['y_title']} by {panel['x_title']}")


def _value_range(panel: LinesPanel) -> tuple[float, float, list[float]]:
    """Find the ends of the vertical axis and its ticks."""
    values = [reference["value"] for reference in panel["references"]]
    for series in panel["series"]:
        for point in series["points"]:
            values += [value for value in (point["y"], point["low"], point["high"]) if value is not None]
    low, high = max(min(values), -1.0), min(max(values), 1.0)
    pad = max((high - low) * 0.06, LEAST_PAD)
    low, high = low - pad, high + pad
    return low, high, [tick for tick in nice_ticks(low, high) if abs(tick) <= 1]  # no F1 and no gain is beyond


def _line(points: Sequence[Point], style: int, name: str, x_of: Scale, y_of: Scale, *, shift: float) -> list[str]:
    """Draw one series: whiskers, line, markers; neighbours are shifted, lest they hide one another."""
    places = [(x_of(point["x"]) + shift, y_of(point["y"])) for point in points]
    colour = style_class(style)
    parts = []
    for point, (x, _) in zip(points, places, strict=True):
        if point["low"] is not None and point["high"] is not None:
            parts.append(line(x, y_of(point["low"]), x, y_of(point["high"]), kind=f"whisker {colour}"))
    parts.append(polyline(places, kind=f"series {colour}"))
    for point, (x, y) in zip(points, places, strict=True):
        hint = f"{name}, {show_tick(point['x'])}: {show_number(point['y'])}"
        parts.append(marker(x, y, style, hint=hint))
    return parts


def draw_dots(panel: DotsPanel) -> str:
    """Draw one quantity of several things, each on its line, with intervals and a reference."""
    left, right, row, top = 132.0, WIDTH - 62, 23.0, 18.0
    bottom = top + row * len(panel["rows"])
    low, high = _dot_range(panel)
    x_of = logarithmic(low, high, left, right) if panel["log"] else linear(low, high, left, right)
    ticks = log_ticks(low, high) if panel["log"] else nice_ticks(low, high, most=4)
    ticks = [tick for tick in ticks if _within(tick, panel["bounds"])]
    parts = [line(x_of(tick), top - 4, x_of(tick), bottom, kind="grid") for tick in ticks]
    parts += [text(x_of(tick), bottom + 15, show_tick(tick), anchor="middle", kind="tick") for tick in ticks]
    reference = panel["reference"]
    if reference is not None:
        x = x_of(reference["value"])
        parts += [line(x, top - 4, x, bottom, kind="reference")]
        parts += [text(x, 10, reference["name"], anchor=_side(x, left, right), kind="tick")]
    for index, entry in enumerate(panel["rows"]):
        parts += _dot(entry, x_of, y=top + row * (index + 0.5), left=left)
    return picture(WIDTH, bottom + 22, parts, label=panel["title"])


def _within(value: float, bounds: Sequence[float | None]) -> bool:
    lowest, highest = bounds
    return (lowest is None or value >= lowest) and (highest is None or value <= highest)


def _side(x: float, left: float, right: float) -> str:
    """Choose how text at ``x`` is anchored so that it stays inside."""
    return "start" if x < left + 40 else "end" if x > right - 10 else "middle"


def _dot_range(panel: DotsPanel) -> tuple[float, float]:
    """Find the ends of the axis: of the values, within the bounds, never without width."""
    values = [value for row in panel["rows"] for value in (row["value"], row["low"], row["high"]) if value is not None]
    values += [panel["reference"]["value"]] if panel["reference"] else []
    if panel["log"]:
        positive = [value for value in values if value > 0] or [1.0]
        return min(positive) / 1.5, max(positive) * 1.5
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    lowest, highest = panel["bounds"]
    least = LEAST_SPAN * (highest - lowest) if lowest is not None and highest is not None else 0.0
    pad = max((high - low) * 0.08, (least - (high - low)) / 2) or abs(high) * 0.1 or 0.1
    low = low - pad if lowest is None else max(low - pad, lowest - (high - low) * 0.08)
    high = high + pad if highest is None else min(high + pad, highest + (high - low) * 0.08)
    return (low, high) if high > low else (low - 0.1, high + 0.1)


def _dot(entry: DotRow, x_of: Scale, *, y: float, left: float) -> list[str]:
    colour = style_class(entry["style"])
    name = tag("g", tag("title", _safe(entry["name"])) + text(0, y + 4, shorten(entry["name"], left - 12), kind="name"))
    if entry["value"] is None:
        return [name, text(left, y + 4, "not available", kind="tick")]
    x = x_of(entry["value"])
    parts = [name, line(left, y, WIDTH - 62, y, kind="rail")]
    if entry["low"] is not None and entry["high"] is not None:
        parts.append(line(x_of(entry["low"]), y, x_of(entry["high"]), y, kind=f"whisker {colour}"))
    parts += [
        marker(x, y, entry["style"], size=4.8),
        text(WIDTH, y + 4, show_number(entry["value"]), anchor="end", kind="value"),
    ]
    return parts


def _safe(content: str) -> str:
    return content.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def draw_strip(panel: StripPanel) -> str:
    """Draw one score between its bounds: minted rows as a mark, real rows as a tall tick."""
    width, y = 260.0, 13.0
    low, high = _strip_range(panel)
    x_of = linear(low, high, 8, width - 8)
    parts = [line(8, y, width - 8, y, kind="rail strong")]
    parts += [line(x, y - 3, x, y + 3, kind="axis") for x in (8, width - 8)]
    if panel["reference"] is not None:
        x = x_of(panel["reference"])
        parts += [rectangle(x - 1.5, y - 12, 3, 24, kind="real-tick")]
    if panel["value"] is not None:
        if panel["reference"] is not None:
            parts += [line(x_of(panel["reference"]), y, x_of(panel["value"]), y, kind="gap")]
        parts += [marker(x_of(panel["value"]), y, MINTED_STYLE, size=5.5)]
    return picture(width, 26, parts, label=_strip_label(panel))


def _strip_range(panel: StripPanel) -> tuple[float, float]:
    """Take the bounds where they are finite, else round up from what there is."""
    values = [value for value in (panel["value"], panel["reference"]) if value is not None] or [0.0]
    lowest, highest = panel["bounds"]
    low = min(values) - 0.1 * abs(min(values)) if lowest is None else lowest
    top = max(values)
    high = (top * 1.25 if top > 0 else top * 0.8) or 1.0
    high = high if highest is None else highest
    return (low, high) if high > low else (low, low + 1.0)


def _strip_label(panel: StripPanel) -> str:
    if panel["value"] is None:
        return f"{panel['title']}: not available, {panel['missing']}"
    real = "" if panel["reference"] is None else f", real rows {show_number(panel['reference'])}"
    return f"{panel['title']}: minted rows {show_number(panel['value'])}{real}"


def draw_histogram(panel: HistogramPanel) -> str:
    """Draw shares of real rows as filled steps, those of minted rows as hatched bars with an outline."""
    left, right, top, bottom = 6.0, 274.0, 8.0, 112.0
    most = max([*panel["real"], *panel["minted"], 1e-9])
    y_of = linear(0, most * 1.04, bottom, top)
    edges = panel["edges"]
    x_of = linear(edges[0], edges[-1], left, right)
    gap, boxed = (1.5, " boxed") if panel["labels"] else (0.0, "")
    parts = []
    for kind, shares in (("real-bar", panel["real"]), (f"minted-bar{boxed}", panel["minted"])):
        for (start, end), part in zip(pairwise(edges), shares, strict=True):
            if part > 0:
                parts.append(
                    rectangle(
                        x_of(start) + gap, y_of(part), x_of(end) - x_of(start) - 2 * gap, bottom - y_of(part), kind=kind
                    )
                )
    parts += _steps(
        panel["minted"],
        [x_of(edge) for edge in edges],
        [y_of(part) for part in panel["minted"]],
        bottom,
        apart=bool(gap),
    )
    parts += [line(left, bottom, right, bottom, kind="axis")]
    parts += [
        line(x_of(cast("float", place)), bottom, x_of(cast("float", place)), bottom + 4, kind="axis")
        for place, _ in panel["ticks"]
    ]
    for place, label in panel["ticks"]:
        x = x_of(cast("float", place))
        parts.append(
            text(
                x,
                bottom + 17,
                str(label),
                anchor="start" if x < left + 14 else "end" if x > right - 14 else "middle",
                kind="tick",
            )
        )
    return picture(280, 134, parts, label=f"{panel['title']}: shares of real and minted rows. {panel['note']}")


def _steps(
    shares: Sequence[float], xs: Sequence[float], ys: Sequence[float], bottom: float, *, apart: bool
) -> list[str]:
    """Outline minted bars: one staircase, or a box for each bar that stands apart."""
    if apart:
        return []
    path = [(xs[0], bottom)]
    for index in range(len(shares)):
        path += [(xs[index], ys[index]), (xs[index + 1], ys[index])]
    return [polyline([*path, (xs[-1], bottom)], kind="minted-line")]


def draw_matrix(panel: MatrixPanel) -> str:
    """Draw a matrix: squares are positive, diamonds negative, and size is strength."""
    names, side = panel["names"], 320.0
    cell = side / max(len(names), 1)
    shapes: dict[tuple[str, int], list[str]] = {}
    for row, values in enumerate(panel["values"]):
        for column, value in enumerate(values):
            level = 0 if value is None else min(LEVELS, math.ceil(abs(value) * LEVELS - 0.2))
            if level > 0 and value is not None:
                sign = "square" if value > 0 else "diamond"
                size = cell * (0.47 if sign == "square" else 0.42) * math.sqrt(level / LEVELS)
                path = outline(sign, (column + 0.5) * cell, (row + 0.5) * cell, size)
                shapes.setdefault((sign, level), []).append(path)
    parts = [rectangle(0, 0, side, side, kind="frame")]
    for (sign, level), paths in sorted(shapes.items()):
        parts.append(tag("path", d="".join(paths), class_=f"{'positive' if sign == 'square' else 'negative'} l{level}"))
    return picture(side, side, parts, label=f"{panel['title']}: {len(names)} by {len(names)} columns")


def draw_points(panel: PointsPanel) -> str:
    """Draw rows as points of a plane, real ones as filled circles below, minted ones as crosses above."""
    side = 360.0
    places = np.array([point for group in panel["groups"] for point in group["points"]], dtype=np.float64)
    if not len(places):
        return picture(side, 40, [text(8, 24, "no rows to show", kind="tick")], label=panel["title"])
    low, high = places.min(axis=0), places.max(axis=0)
    x_of, y_of = linear(low[0], high[0], 10, side - 10), linear(low[1], high[1], side - 10, 10)
    parts = [rectangle(0, 0, side, side, kind="frame")]
    parts += [_cloud(group, x_of, y_of) for group in panel["groups"]]
    return picture(side, side, parts, label=f"{panel['title']}. {panel['note']}")


def _cloud(group: Group, x_of: Scale, y_of: Scale) -> str:
    shape = {MINTED_STYLE: "cross", LEARNT_STYLE: "diamond"}.get(group["style"], "disc")
    return _marks(shape, [(x_of(x), y_of(y)) for x, y in group["points"]])


def _marks(shape: str, places: Sequence[tuple[float, float]]) -> str:
    """Draw points as one path, which keeps the page small."""
    if shape == "disc":  # a line of no length with round ends
        return tag("path", d="".join(f"M{coordinate(x)} {coordinate(y)}h0" for x, y in places), class_="cloud disc")
    if shape == "cross":
        return tag("path", d="".join(outline(shape, x, y, 2.6) for x, y in places), class_="cloud open s1")
    return tag("path", d="".join(outline(shape, x, y, 4.2) for x, y in places), class_="learnt")


DRAWERS: dict[str, Callable[..., str]] = {
    "lines": draw_lines,
    "dots": draw_dots,
    "strip": draw_strip,
    "histogram": draw_histogram,
    "matrix": draw_matrix,
    "points": draw_points,
}
"""What draws each kind of panel."""
