"""Ctrl-C, and what a service manager sends: one line, no partial output, and a fit that goes on when repeated."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from flowmint.generators import GENERATORS, VAE
from flowmint.generators import checkpoint as kept

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
    assert {path.name for path in tmp_path.iterdir()} <= {train.name, ".model.checkpoint"}
    assert b"Traceback" not in shown
    if sent == signal.SIGINT:
        assert b"flowmint: stopped; " in shown


PREPARE = """
import os
from functools import partial
from flowmint.generators import GENERATORS, VAE
from flowmint.generators import checkpoint as kept
GENERATORS["vae"] = partial(VAE, steps=40, width=32)
kept.COPY_SECONDS = kept.WRITE_SECONDS = 0.0
write = kept.Checkpoint.write
def stop(self, stage, step, state):
    write(self, stage, step, state)
    if step == 17:
        {how}
kept.Checkpoint.write = stop
from flowmint.cli import main
main()
"""


def fit(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, "fit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", ["os.kill(os.getpid(), 9)", "raise KeyboardInterrupt"])
def test_a_fit_that_is_stopped_goes_on_when_repeated(flowmint, train, tmp_path, monkeypatch, how):
    arguments = [train, "--label", "Label", "--generator", "vae", "--rules", "none", "--out"]
    stopped = fit(PREPARE.format(how=how), *arguments, tmp_path / "model")
    assert stopped.returncode == (-9 if "kill" in how else 130)
    if "kill" not in how:
        told = "flowmint: stopped; repeat the same command to go on from step 17 of autoencoder\n"
        assert stopped.stderr == told
    assert (tmp_path / ".model.checkpoint").is_dir()
    monkeypatch.setitem(GENERATORS, "vae", partial(VAE, steps=40, width=32))
    recalled = []
    recall = kept.StageKeep.recall
    monkeypatch.setattr(kept.StageKeep, "recall", lambda *a, **k: recalled.append(recall(*a, **k)) or recalled[-1])
    for name in ("model", "whole"):
        result = flowmint("fit", *arguments, tmp_path / name)
        assert result.exit_code == 0, result.output
    assert [None if each is None else each[0] for each in recalled] == [17, None]
    for file in ("model.json", "weights.safetensors"):
        assert (tmp_path / "model" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", train.name, "whole"]


def test_the_checkpoint_of_another_fit_is_refused_in_one_line_and_replaced_by_force(
    flowmint, train, tmp_path, monkeypatch
):
    common = [train, "--label", "Label", "--generator", "vae", "--rules", "none", "--out", tmp_path / "model"]
    fit(PREPARE.format(how="os.kill(os.getpid(), 9)"), *common)
    monkeypatch.setitem(GENERATORS, "vae", partial(VAE, steps=40, width=32))
    result = flowmint("fit", *common, "--seed", 5)
    assert result.exit_code == 1
    assert "of a fit with another seed;" in result.stderr
    assert flowmint("fit", *common, "--seed", 5, "--force").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", train.name]
