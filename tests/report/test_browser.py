"""The page in a browser: no error on its console, every section there, nothing wider than a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from flowmint.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
)
WIDE = """<!DOCTYPE html><title>a phone</title><iframe id="page" src="{page}" width="360" height="3000"></iframe>
<pre id="told"></pre><script>
document.getElementById("page").onload = (event) => {{
  const body = event.target.contentDocument.documentElement;
  document.getElementById("told").textContent = `wide ${{body.scrollWidth}} of ${{body.clientWidth}}`;
}};
</script>"""
"""A page that measures another one on a narrow screen, since a report may run no script of its own."""


@pytest.fixture(scope="session")
def browser() -> str:
    """The Chromium of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is installed")


def visit(browser: str, page: Path, profile: Path, *flags: str) -> tuple[str, str]:
    """Give the page's elements after loading, and what the browser logged."""
    command = [browser, *FLAGS, *flags, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize("kind", ["comparison", "evaluation"])
def test_the_page_shows_every_section_without_an_error(browser, kind, request, picture, tmp_path):
    page = write_report(request.getfixturevalue(kind), tmp_path / "report.html", pictures=[picture])
    elements, log = visit(browser, page, tmp_path / "profile")
    assert "CONSOLE" not in log
    sections = re.findall(r'<section id="([\w-]+)"', elements)
    assert sections == re.findall(r'<section id="([\w-]+)"', page.read_text(encoding="utf-8"))
    assert {"columns", "correlations", "projection", "leakage", "failures", "settings"} <= set(sections)


def test_the_console_is_heard(browser, tmp_path):
    page = tmp_path / "loud.html"
    page.write_text("<script>console.error('heard')</script>", encoding="utf-8")
    assert "heard" in visit(browser, page, tmp_path / "profile")[1]


def test_nothing_is_wider_than_a_phone(browser, comparison_of, hostile, picture, tmp_path):
    page = write_report(comparison_of(attack=hostile, task=hostile), tmp_path / "report.html", pictures=[picture])
    phone = tmp_path / "phone.html"
    phone.write_text(WIDE.format(page=page.as_uri()), encoding="utf-8")
    elements, _ = visit(browser, phone, tmp_path / "profile", "--allow-file-access-from-files")
    wide, most = map(int, re.search(r"wide (\d+) of (\d+)", elements).groups())
    assert wide <= most <= 360
