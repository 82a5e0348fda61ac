from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from xml.etree import ElementTree as ET

import pytest

from flowmint.report import summarize
from flowmint.report.render import RENDERERS, plain, render_html, render_json, render_markdown

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Notes tags, identifiers and text, and that what is opened is closed."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.ids, self.texts, self.attributes = [], Counter(), Counter(), [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids.update(value for name, value in attrs if name == "id")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, _attrs):
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def text(self):
        return " ".join("".join(self.texts).split())


def test_the_page_is_well_formed_with_unique_ids(document):
    page = Page(render_html(document))
    assert page.open == []
    assert [name for name, count in page.ids.items() if count > 1] == []


def test_the_page_loads_nothing(document):
    html = render_html(document)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    links = [value for _, name, value in page.attributes if name in {"src", "href", "action", "xlink:href"}]
    assert all(link.startswith("#") for link in links)
    assert "http:" not in html.replace("http-equiv", "")
    assert "https:" not in html
    assert re.findall(r"url\((.*?)\)", html) == ["#hatch"]
    assert "@import" not in html


def test_links_within_the_page_arrive(document):
    page = Page(render_html(document))
    targets = {value[1:] for _, name, value in page.attributes if name == "href"}
    described = {value for _, name, value in page.attributes if name in {"aria-labelledby", "aria-describedby"}}
    assert targets | described <= set(page.ids)


def test_every_drawing_has_words_and_every_figure_a_table(document):
    page = Page(render_html(document))
    figures = [block for section in document["sections"] for block in section["blocks"] if block["block"] == "figure"]
    roles = [value for tag, name, value in page.attributes if tag == "svg" and name == "role"]
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(roles) == len(labels) == sum(len(f["panels"]) for f in figures) - missing_strips(figures)
    assert all(labels)
    assert page.tags["figure"] == len(figures)
    assert page.tags["table"] >= len(figures)


def missing_strips(figures):
    return sum(p["panel"] == "strip" and p["value"] is None for f in figures for p in f["panels"])


def test_scrolling_boxes_can_be_reached_by_keyboard(document):
    html = render_html(document)
    boxes = re.findall(r'<div class="scroll"[^>]*>', html)
    assert boxes
    assert all('tabindex="0"' in box and 'role="region"' in box for box in boxes)


@pytest.mark.parametrize("make", ["comparison_of", "evaluation_of"])
def test_hostile_names_are_shown_as_they_are(request, make, hostile, picture):
    document = summarize(request.getfixturevalue(make)(attack=hostile), pictures=[picture])
    page = Page(render_html(document))
    assert page.tags["script"] == 0
    assert "<script>alert('x')</script> & ünïcode" in page.text()
    assert "<b>proto</b>" in page.text()


def test_a_name_of_a_template_is_not_run(comparison_of):
    html = render_html(summarize(comparison_of(attack="{{ 7 * 7 }}{% raw %}")))
    assert "{{ 7 * 7 }}{% raw %}" in html
    assert ">49" not in html


@pytest.mark.parametrize("extension", RENDERERS)
def test_the_same_dict_gives_the_same_bytes_after_json(document, extension):
    again = json.loads(render_json(document))
    assert RENDERERS[extension](again) == RENDERERS[extension](document)


def test_every_format_has_every_heading_verdict_and_reason(document):
    html, markdown = Page(render_html(document)).text(), render_markdown(document).replace("\\", "")
    for section in document["sections"]:
        assert section["title"] in html
        assert f"## {section['title']}" in markdown
    for told in (document["verdict"]["sentence"], *document["verdict"]["details"]):
        text = " ".join(told.split())
        assert text in html
        assert text in markdown


def test_every_table_is_in_every_format(document):
    html, markdown = Page(render_html(document)).text(), render_markdown(document).replace("\\", "")
    blocks = [block for section in document["sections"] for block in section["blocks"]]
    tables = [block["table"] if block["block"] == "figure" else block for block in blocks]
    for table in tables:
        if table["block"] == "table":
            assert table["title"] in html
            assert f"**{table['title']}**" in markdown
            assert all(" ".join(name.split()) in markdown for name in table["columns"])


def test_rows_of_markdown_tables_have_as_many_cells_as_their_header(comparison_of):
    document = summarize(comparison_of(attack="a|b\nc<d>`e`"))
    width = None
    for line in render_markdown(document).splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert width in {None, cells}
            width = cells
        else:
            width = None


def test_the_best_of_a_column_is_bold_in_the_page_and_in_markdown(comparison):
    document = summarize(comparison)
    assert '<td class="interval"><b>0.650</b>' in render_html(document)
    assert "| **0.650** \\[0.620, 0.680\\] |" in render_markdown(document)


@pytest.mark.parametrize(("given", "shown"), [("- a", "\\- a"), ("1. a", "1\\. a"), ("-a", "-a"), ("2.5 a", "2.5 a")])
def test_a_line_that_looks_like_a_list_is_none(given, shown):
    assert plain(given) == shown


def test_markdown_has_no_live_html(evaluation_of, hostile):
    markdown = render_markdown(summarize(evaluation_of(attack=hostile)))
    assert not re.search(r"(?<!\\)<", markdown)


def test_a_fence_outlasts_the_ticks_in_a_command(comparison):
    document = summarize(comparison)
    document["sections"][-1]["blocks"].append({"block": "code", "text": "echo ```` x"})
    assert "`````console\necho ```` x\n`````" in render_markdown(document)


def colours(block):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_text_and_marks_stand_out_from_the_paper(mode):
    css = files("flowmint.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    known = colours(re.findall(r":root \{(.*?)\}", css, re.DOTALL)[mode])
    told = ["ink", "soft", "link", "good", "even", "bad", "unknown", *(f"s{i}" for i in range(8))]
    for name in told:
        for ground in ("paper", "card"):
            assert contrast(known[name], known[ground]) >= 4.5, (name, ground)


def test_drawings_are_well_formed_xml(document):
    drawings = re.findall(r"<svg viewBox.*?</svg>", render_html(document), re.DOTALL)
    assert drawings
    for drawing in drawings:
        ET.fromstring(drawing)  # noqa: S314 - our own page
