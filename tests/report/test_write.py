from __future__ import annotations

import json

import pytest

from flowmint.errors import SettingError, WriteError
from flowmint.report import check_report, write_report
from flowmint.report.render import RENDERERS


@pytest.mark.parametrize("extension", RENDERERS)
def test_the_extension_chooses_the_format(comparison, tmp_path, extension):
    place = write_report(comparison, tmp_path / f"report{extension}")
    start = {".html": "<!DOCTYPE html>", ".md": "# ", ".json": "{"}[extension]
    assert place.read_text(encoding="utf-8").startswith(start)


def test_another_extension_is_refused_with_those_allowed(comparison, tmp_path):
    with pytest.raises(WriteError, match=r"report\.pdf names no format .* \.html, \.md, \.json"):
        write_report(comparison, tmp_path / "report.pdf")


def test_a_report_that_exists_is_kept(comparison, tmp_path):
    place = tmp_path / "report.md"
    place.write_text("mine", encoding="utf-8")
    with pytest.raises(WriteError, match="exists and is kept"):
        write_report(comparison, place)
    assert place.read_text(encoding="utf-8") == "mine"


def test_force_replaces_a_report(comparison, tmp_path):
    place = tmp_path / "report.json"
    place.write_text("old", encoding="utf-8")
    write_report(comparison, place, force=True)
    assert json.loads(place.read_text(encoding="utf-8"))["format_version"] == 1


def test_force_replaces_no_folder(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        check_report(tmp_path / "report.html", force=True)


def test_an_absent_folder_is_told_before_long_work(tmp_path):
    with pytest.raises(WriteError, match="there is no folder"):
        check_report(tmp_path / "none" / "report.html")


def test_a_failure_leaves_nothing_behind(comparison, tmp_path, monkeypatch):
    def fail(_document):
        raise WriteError("no")

    monkeypatch.setitem(RENDERERS, ".html", fail)
    with pytest.raises(WriteError):
        write_report(comparison, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_anything_else_is_no_report(tmp_path):
    with pytest.raises(SettingError, match="not of dict"):
        write_report({}, tmp_path / "report.html")
