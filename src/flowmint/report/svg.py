"""The few strokes that the charts are made of, as SVG text.

Nothing here names a colour: elements carry classes, and the page's style sheet gives them the
colours of the light, the dark or the printed page. Coordinates are rounded to a tenth of a pixel, so
that the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CHARACTER = 6.6
"""Mean width of a character at the charts' 12 pixels, rather too wide than too narrow."""

CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "wedge": ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
}
"""Corners of the filled markers in units of their size."""

STROKES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "cross": ((-1, -1, 1, 1), (-1, 1, 1, -1)),
    "plus": ((-1.2, 0, 1.2, 0), (0, -1.2, 0, 1.2)),
}
"""Strokes of the open markers in units of their size."""

SHAPES = ("cross", "circle", "square", "triangle", "diamond", "wedge", "plus", "ring")
"""The marker of each style, in order; colours repeat after as many, at another shift."""


def coordinate(value: float) -> str:
    """Write a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return "0" if text in {"-0.0", "0.0"} else text.removesuffix(".0")


def style_class(style: int) -> str:
    """Name the class that colours a style."""
    return f"s{style % len(SHAPES)}"


def shape_of(style: int) -> str:
    """Name the marker of a style; a second round of colours meets other markers."""
    return SHAPES[(style + style // len(SHAPES)) % len(SHAPES)]


def tag(name: str, content: str = "", **attributes: str | float) -> str:
    """Write an element; ``class_`` stands for ``class``, and an underscore for a hyphen."""
    parts = [name]
    for key, value in attributes.items():
        shown = coordinate(value) if isinstance(value, int | float) else escape(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    opened = " ".join(parts)
    return f"<{opened}>{content}</{name}>" if content else f"<{opened}/>"


def text(x: float, y: float, content: str, *, anchor: str = "start", kind: str = "") -> str:
    """Write text; its colour and size follow its class."""
    classes = {"class_": kind} if kind else {}
    anchors = {"text_anchor": anchor} if anchor != "start" else {}
    return tag("text", escape(content), x=x, y=y, **anchors, **classes)


def line(x1: float, y1: float, x2: float, y2: float, *, kind: str) -> str:
    """Draw a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def polyline(points: Iterable[tuple[float, float]], *, kind: str) -> str:
    """Draw a line through points."""
    joined = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
    return tag("polyline", points=joined, class_=kind)


def rectangle(x: float, y: float, width: float, height: float, *, kind: str) -> str:
    """Draw a rectangle."""
    return tag("rect", x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), class_=kind)


def marker(x: float, y: float, style: int, *, size: float = 4.2, hint: str = "") -> str:
    """Draw the marker of a style, with a hint for the pointer."""
    shape, content = shape_of(style), tag("title", escape(hint)) if hint else ""
    colour = style_class(style)
    if shape in {"circle", "ring"}:
        return tag("circle", content, cx=x, cy=y, r=size, class_=f"{'open' if shape == 'ring' else 'mark'} {colour}")
    return tag(
        "path", content, d=outline(shape, x, y, size), class_=f"{'open' if shape in STROKES else 'mark'} {colour}"
    )


def outline(shape: str, x: float, y: float, size: float) -> str:
    """Give the path of a marker with corners or strokes."""
    if shape in STROKES:
        ends = ((x + a * size, y + b * size, x + c * size, y + d * size) for a, b, c, d in STROKES[shape])
        return "".join(f"M{coordinate(a)} {coordinate(b)}L{coordinate(c)} {coordinate(d)}" for a, b, c, d in ends)
    corners = ((x + a * size, y + b * size) for a, b in CORNERS[shape])
    return "M" + "L".join(f"{coordinate(a)} {coordinate(b)}" for a, b in corners) + "Z"


def shorten(content: str, width: float) -> str:
    """Cut text that is wider than ``width`` pixels, with an ellipsis in its middle, where names differ least."""
    room = max(int(width / CHARACTER), 3)
    if len(content) <= room:
        return content
    head = (room - 1) * 2 // 3
    return f"{content[:head]}…{content[len(content) - (room - 1 - head) :]}"


def picture(width: float, height: float, content: Iterable[str], *, label: str) -> str:
    """Wrap strokes into an image that a screen reader reads as its label.

    Args:
        width: Width of the drawing area in pixels; the page scales it to the room there is.
        height: Its height.
        content: What is drawn.
        label: What it shows, in words.

    Returns:
        The ``svg`` element.
    """
    opened = f'<svg viewBox="0 0 {coordinate(width)} {coordinate(height)}" role="img" aria-label="{escape(label)}">'
    return f"{opened}{''.join(content)}</svg>"


def nice_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Choose round numbers between two ends.

    Args:
        low: Lower end.
        high: Upper end, above the lower.
        most: How many ticks at most, about.

    Returns:
        Multiples of 1, 2, 2.5 or 5 times a power of ten inside the ends.
    """
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Choose powers of ten between two positive ends: fewer where they are many, 2 and 5 times them where few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        candidates = [factor * 10.0**power for power in (first - 1, first, first + 1) for factor in (1, 2, 5)]
        return [float(f"{tick:.6g}") for tick in candidates if low <= tick <= high]
    stride = max(1, math.ceil((last - first + 1) / 6))
    return [float(f"1e{power}") for power in range(first, last + 1, stride)]
