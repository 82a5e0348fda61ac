"""Rendering: the report's dict as HTML, Markdown or JSON, each with all of it.

The HTML is one file that loads nothing: no script, no font, no image from elsewhere, which its
content security policy also forbids. Every text is escaped: class and column names are other people's.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flowmint.report.document import cell_kind
from flowmint.report.plots import draw, legend_mark
from flowmint.report.words import BETTER, DASH, show_cell, show_interval, show_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.report.document import Block, Cell, Document, Figure, Interval, Table

TONE_SIGNS = {"good": "▲", "even": "■", "bad": "▼", "unknown": "?"}
"""The sign beside the verdict: tones are told by more than colour."""

NUMERIC = re.compile(r"[−+\d.,]+( × 10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)?( \([^()]*\))?(\u00a0%)?")
"""Text that is a number: a percentage, or a score with that of real rows in brackets."""

LIST_SIGN = re.compile(r"^(\d*)([-+.)])(?=\s)")
"""What makes a list of a line that begins with it."""

MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def render_json(document: Document) -> str:
    """Write the dict as JSON."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def render_html(document: Document) -> str:
    """Write the dict as one self-contained HTML page.

    Args:
        document: The report's dict.

    Returns:
        The page; the same dict gives the same bytes.
    """
    environment = Environment(
        loader=PackageLoader("flowmint.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "draw": _drawn,
        "legend_mark": _legend_mark,
        "signs": TONE_SIGNS,
        "better": BETTER,
        "dash": DASH,
    }
    environment.globals |= {"style": Markup(environment.get_template("style.css").render())}  # noqa: S704 - ours
    environment.filters |= {"cell_kind": cell_kind, "shown": show_cell, "ends": show_interval}
    environment.filters |= {"aligned": right_aligned, "number": show_number}
    return environment.get_template("page.html").render(document=document)


def _drawn(panel: Any) -> Markup:  # noqa: ANN401 - any kind of panel
    return Markup(draw(panel))  # noqa: S704 - the charts escape what they are given


def _legend_mark(figure: Any, style: int) -> Markup:  # noqa: ANN401 - a figure
    return Markup(legend_mark(figure["panels"][0]["panel"], style))  # noqa: S704 - it holds no text


def right_aligned(table: Table) -> list[bool]:
    """Tell of each column whether it holds numbers, which stand to the right."""
    return [index > 0 and not _is_text(table["rows"], index) for index in range(len(table["columns"]))]


def render_markdown(document: Document) -> str:
    """Write the dict as Markdown; a figure is told by its description and the table behind it.

    Args:
        document: The report's dict.

    Returns:
        Markdown with GitHub's tables.
    """
    verdict = document["verdict"]
    lines = [f"# {plain(document['title'])}", "", plain(document["subtitle"]), ""]
    lines += [
        f"**{TONE_SIGNS[verdict['tone']]} {plain(verdict['sentence'])}**",
        "",
        *(part for sentence in verdict["details"] for part in (plain(sentence), "")),
    ]
    lines += [f"- {plain(name)}: {plain(value)}" for name, value in document["key_facts"]]
    for section in document["sections"]:
        lines += ["", f"## {plain(section['title'])}", "", *([plain(section["lead"]), ""] if section["lead"] else [])]
        for block in section["blocks"]:
            lines += [*_markdown_block(block), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).rstrip() + "\n")


def _markdown_block(block: Block) -> list[str]:
    match block["block"]:
        case "paragraph":
            return [plain(block["text"])]
        case "code":
            fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", block["text"]))])
            return [f"{fence}console", block["text"], fence]
        case "facts":
            return [f"**{plain(block['title'])}**", "", *(f"- {plain(n)}: {plain(v)}" for n, v in block["facts"])]
        case "table":
            return _markdown_table(block)
        case _:
            return _markdown_figure(block)


def _markdown_figure(block: Figure) -> list[str]:
    told = [plain(block["description"]), "", plain(block["note"])]
    return [f"### {plain(block['title'])}", "", *told, "", *_markdown_table(block["table"])]


def _markdown_table(block: Table) -> list[str]:
    lines = [f"**{plain(block['title'])}**", ""] if block["title"] else []
    rule = ["---:" if right else "---" for right in right_aligned(block)]
    lines += [_markdown_row([plain(name) for name in block["columns"]]), _markdown_row(rule)]
    lines += [_markdown_row([_markdown_cell(cell) for cell in row]) for row in block["rows"]]
    return [*lines, *(["", plain(block["note"])] if block["note"] else [])]


def _is_text(rows: Sequence[Sequence[Cell]], index: int) -> bool:
    return any(isinstance(cell := row[index], str) and not NUMERIC.fullmatch(cell) for row in rows)


def _markdown_cell(cell: Cell) -> str:
    """Write a cell; what is best of its column is bold."""
    if cell_kind(cell) != "interval":
        return plain(show_cell(cell))
    interval = cast("Interval", cell)
    mean, ends = show_interval(interval)
    return " ".join(part for part in (f"**{mean}**" if interval["best"] else mean, plain(ends)) if part)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(content: str) -> str:
    r"""Escape text for Markdown, so that it reads as it is and stays on its line.

    Examples:
        >>> plain("<b>a|b</b>")
        '\\<b\\>a\\|b\\</b\\>'
    """
    escaped = MARKDOWN_SIGNS.sub(r"\\\1", " ".join(content.split()))
    return LIST_SIGN.sub(r"\1\\\2", escaped)


RENDERERS = {".html": render_html, ".md": render_markdown, ".json": render_json}
"""What renders each format, by the file's extension."""
