"""Work beside a block ends with it, fails with it, and gives what it would have given after it."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Barrier, get_ident

import numpy as np
import polars as pl
import pytest
import torch

from flowmint.generators import LatentDiffusion
from flowmint.generators.beside import beside, pays
from flowmint.generators.trainer import Trainer
from flowmint.progress import SILENT

ROWS = 300
BRIEF = {"steps": 30, "autoencoder_steps": 30, "width": 16, "evaluations": 2, "seed": 5}


class BlockError(Exception):
    """What a block raises."""


class WorkError(Exception):
    """What work raises."""


class Stopping:
    """A progress that stops a stage after so many steps, whatever other stages do meanwhile."""

    def __init__(self, stage: str, after: int) -> None:
        self.wanted, self.after, self.threads = stage, after, {}

    @contextmanager
    def stage(self, name, **_):
        self.threads[name] = get_ident()
        yield _Steps(self, name)


class _Steps:
    def __init__(self, whole: Stopping, name: str) -> None:
        self.whole, self.name, self.done = whole, name, 0

    def advance(self, amount: int) -> None:
        self.done += amount
        if self.name == self.whole.wanted and self.done >= self.whole.after:
            raise BlockError


@pytest.fixture
def _two_threads():
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


def make_numbers() -> tuple[pl.DataFrame, list[str]]:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"number{i}": rng.normal(size=ROWS) for i in range(4)})
    return table, ["attack"] * 20 + ["benign"] * (ROWS - 20)


def saved(model, folder):
    model.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_without_a_thread_the_work_comes_after_the_block():
    log = []
    with beside(lambda _: log.append("work"), Trainer(), thread=False):
        log.append("block")
    assert log == ["block", "work"]


@pytest.mark.usefixtures("_two_threads")
def test_with_a_thread_both_are_done_at_once_on_one_core_each():
    meet, threads = Barrier(2, timeout=60), []

    def work(_: Trainer) -> None:
        meet.wait()  # for the block, which waits too
        threads.append(torch.get_num_threads())

    with beside(work, Trainer(), thread=True):
        meet.wait()
        threads.append(torch.get_num_threads())
    assert threads == [1, 1]
    assert torch.get_num_threads() == 2


def test_a_block_that_fails_stops_the_work_at_its_next_step():
    begun, ended = Barrier(2, timeout=60), []

    def work(trainer: Trainer) -> None:
        try:
            with trainer.progress.stage("columns", total=10**9, unit="steps") as stage:
                stage.advance(1)
                begun.wait()
                while True:
                    stage.advance(1)
        finally:
            ended.append(True)

    def block() -> None:
        with beside(work, Trainer(), thread=True):
            begun.wait()
            raise BlockError

    with pytest.raises(BlockError):
        block()
    assert ended == [True]


@pytest.mark.parametrize("thread", [False, True])
def test_work_that_fails_is_told(thread):
    def work(_: Trainer) -> None:
        raise WorkError

    log = []
    with pytest.raises(WorkError), beside(work, Trainer(), thread=thread):
        log.append("block")
    assert log == ["block"]


@pytest.mark.usefixtures("_two_threads")
def test_a_second_core_pays_on_a_processor_only():
    assert pays(device=torch.device("cpu"))
    assert not pays(device=torch.device("cuda"))
    torch.set_num_threads(1)
    assert not pays(device=torch.device("cpu"))


@pytest.mark.usefixtures("_two_threads")
def test_a_fit_on_two_cores_equals_one_on_one(tmp_path):
    table, labels = make_numbers()
    watch = Stopping("never", 0)
    two = LatentDiffusion(**BRIEF).fit(table, labels, progress=watch)
    assert watch.threads["columns"] != watch.threads["autoencoder"] == watch.threads["diffusion"]
    torch.set_num_threads(1)
    one = LatentDiffusion(**BRIEF).fit(table, labels, progress=watch)
    assert len(set(watch.threads.values())) == 1
    assert saved(two, tmp_path / "two") == saved(one, tmp_path / "one")


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("stage", ["autoencoder", "columns"])
def test_a_fit_on_two_cores_that_was_stopped_goes_on(tmp_path, monkeypatch, stage):
    monkeypatch.setattr("flowmint.generators.checkpoint.COPY_SECONDS", 0.0)
    monkeypatch.setattr("flowmint.generators.checkpoint.WRITE_SECONDS", 0.0)
    table, labels = make_numbers()
    with pytest.raises(BlockError):
        LatentDiffusion(**BRIEF).fit(table, labels, checkpoint=tmp_path / "kept", progress=Stopping(stage, 9))
    assert (tmp_path / "kept" / f"{stage}-9.safetensors").exists()
    again = LatentDiffusion(**BRIEF).fit(table, labels, checkpoint=tmp_path / "kept")
    whole = LatentDiffusion(**BRIEF).fit(table, labels, progress=SILENT)
    assert saved(again, tmp_path / "again") == saved(whole, tmp_path / "whole")
    assert not (tmp_path / "kept").exists()
