"""Ctrl-C, and what a service manager sends: one line, no partial output."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def start(train: Path, verb: str, out: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a long run with a terminal as stderr, and give the other side of that terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from flowmint.cli import main; main()", verb, str(train), "--label", "Label"]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    return process, ours


def read_until(terminal: int, word: bytes) -> bytes:
    shown = b""
    while word not in shown:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            return shown
        shown += part
    return shown


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("verb", ["fit", "balance"])
def test_a_run_that_is_stopped_leaves_nothing(train, tmp_path, verb, sent, code):
    out = tmp_path / {"fit": "model", "balance": "out.parquet"}[verb]
    process, terminal = start(train, verb, out)
    shown = read_until(terminal, b"autoencoder")
    assert b"autoencoder" in shown
    process.send_signal(sent)
    shown += read_until(terminal, b"\0never")
    assert process.wait(60) == code
    os.close(terminal)
    assert process.stdout is not None
    process.stdout.close()
    assert list(tmp_path.iterdir()) == [train]
    assert b"Traceback" not in shown
    if sent == signal.SIGINT:
        assert b"flowmint: stopped; no partial output was left" in shown
