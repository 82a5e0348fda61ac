from __future__ import annotations

import io
import re
from contextlib import redirect_stderr

import pytest

from flowmint.cli.progress import bars
from flowmint.progress import SILENT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def rows(self) -> list[str]:
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        return plain.replace("\r", "\n").splitlines()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


def show(terminal: io.StringIO, name: str, *, total: int, unit: str, quiet: bool = False) -> None:
    with (
        redirect_stderr(terminal),
        bars(quiet=quiet) as progress,
        progress.stage(name, total=total, unit=unit) as stage,
    ):
        stage.advance(total // 3)
        stage.advance(total - total // 3)


def test_a_terminal_sees_count_and_rate_of_a_stage(terminal):
    show(terminal, "diffusion [x]", total=1500, unit="steps")
    last = terminal.rows()[-1]
    assert last.startswith("diffusion [x] ")
    assert " 1,500/1,500 " in last
    assert re.search(r" [\d,]+ steps/s 0:00:\d\d 0:00:00 left", last)


def test_bytes_are_shown_in_their_units(terminal):
    show(terminal, "reading", total=3_000_000, unit="bytes")
    assert " 3.0 MB/3.0 MB " in terminal.rows()[-1]


def test_a_stage_stays_on_one_line_of_the_terminal(terminal):
    show(terminal, "autoencoder", total=100_000, unit="steps")
    shown = [row for row in terminal.rows() if row]
    assert max(map(len, shown)) <= 80
    assert all(row.startswith("autoencoder") for row in shown)


def test_quiet_shows_nothing(terminal):
    show(terminal, "reading", total=3, unit="rows", quiet=True)
    assert terminal.getvalue() == ""


def test_a_pipe_sees_nothing():
    pipe = io.StringIO()
    show(pipe, "reading", total=3, unit="rows")
    assert pipe.getvalue() == ""


def test_a_dumb_terminal_sees_nothing(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    show(terminal, "reading", total=3, unit="rows")
    assert terminal.getvalue() == ""


def test_without_bars_the_library_is_silent():
    with bars(quiet=True) as progress:
        assert progress is SILENT


def test_an_error_inside_a_stage_passes(terminal):
    with (
        redirect_stderr(terminal),
        pytest.raises(KeyError),
        bars(quiet=False) as progress,
        progress.stage("sampling", total=1, unit="rows"),
    ):
        raise KeyError
