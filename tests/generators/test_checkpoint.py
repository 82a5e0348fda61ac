"""A fit that is interrupted goes on from its checkpoint and gives the bytes of an uninterrupted one."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
import torch
from safetensors.torch import load, save

from flowmint.errors import FlowmintError, ModelError, WriteError
from flowmint.flows.stream import open_stream
from flowmint.generators import checkpoint as kept
from flowmint.generators.checkpoint import ABOUT, Checkpoint

from .conftest import make, make_flows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowmint.generators import Generator

NAMES = ("latent_diffusion", "data_diffusion", "vae", "gan")
LABELS = ["Benign"] * 60 + ["ARP_Spoofing"] * 8


class StoppedError(Exception):
    pass


class Stopping:
    """A progress that stops the work after so many steps of a stage, and counts those that are done."""

    def __init__(self, stage: str, after: int) -> None:
        self.wanted, self.after, self.stages = stage, after, {}

    @contextlib.contextmanager
    def stage(self, name: str, **_: object) -> Iterator[Stopping]:
        self.name, self.reports = name, self.stages.setdefault(name, [])
        yield self

    def advance(self, amount: int) -> None:
        self.reports.append(amount)
        if self.name == self.wanted and sum(self.reports) >= self.after:
            raise StoppedError


@pytest.fixture(autouse=True)
def _each_step_is_kept(monkeypatch):
    monkeypatch.setattr(kept, "COPY_SECONDS", 0.0)
    monkeypatch.setattr(kept, "WRITE_SECONDS", 0.0)


def fit(name: str, folder: Path | None, *, stop: Stopping | None = None, seed: int = 3, **settings) -> Generator:
    watched = {} if stop is None else {"progress": stop}
    if name.endswith("diffusion"):
        settings["sharpness"] = 0.0  # a forest is not what is kept
    model = make(name, seed=seed, rules="none", **settings)
    return model.fit(make_flows(), LABELS, checkpoint=folder, **watched)


def stop(name: str, folder: Path, stage: str, after: int) -> None:
    with pytest.raises(StoppedError):
        fit(name, folder, stop=Stopping(stage, after))


def saved(model: Generator, folder: Path) -> dict[str, bytes]:
    model.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module", params=NAMES)
def whole(request, tmp_path_factory):
    """A generator's name and the model folder of an uninterrupted fit."""
    return request.param, saved(fit(request.param, None), tmp_path_factory.mktemp("whole") / "model")


LAST = {"latent_diffusion": "diffusion", "data_diffusion": "diffusion", "vae": "autoencoder", "gan": "adversaries"}


@pytest.mark.parametrize("after", [1, 20])
def test_what_goes_on_equals_what_was_never_interrupted(whole, tmp_path, after):
    name, expected = whole
    folder = tmp_path / "kept"
    stop(name, folder, LAST[name], after)
    again = Stopping("never", 0)
    assert saved(fit(name, folder, stop=again), tmp_path / "model") == expected
    assert again.stages[LAST[name]][0] == after  # what was done is reported at once, and not done again
    assert sum(again.stages[LAST[name]]) == sum([after, *again.stages[LAST[name]][1:]])
    assert not folder.exists()


@pytest.mark.parametrize("name", ["latent_diffusion", "vae"])
def test_a_streamed_fit_goes_on_too(tmp_path, name):
    table = pl.concat([make_flows()] * 3).with_columns(Label=pl.Series(LABELS * 3))
    table.write_parquet(tmp_path / "table.parquet")

    def learn(folder: Path | None, **watched: Stopping) -> Generator:
        model = make(name, seed=3, rules="none")
        with open_stream(tmp_path / "table.parquet", scratch=tmp_path) as source:  # of 204 rows 150 are drawn
            return model.fit_stream(source, label="Label", rows=150, checkpoint=folder, **watched)

    with pytest.raises(StoppedError):
        learn(tmp_path / "kept", progress=Stopping("autoencoder", 12))
    assert (tmp_path / "kept" / "autoencoder-12.safetensors").exists()
    again = Stopping("never", 0)
    model = learn(tmp_path / "kept", progress=again)
    assert again.stages["autoencoder"][0] == 12
    assert saved(model, tmp_path / "one") == saved(learn(None), tmp_path / "two")
    assert not (tmp_path / "kept").exists()


def test_a_fit_may_be_interrupted_more_than_once_and_keeps_finished_stages(tmp_path):
    folder = tmp_path / "kept"
    stop("latent_diffusion", folder, "autoencoder", 4)
    stop("latent_diffusion", folder, "autoencoder", 9)
    stop("latent_diffusion", folder, "diffusion", 2)
    again = Stopping("never", 0)
    model = fit("latent_diffusion", folder, stop=again)
    assert again.stages["autoencoder"] == [30]
    assert again.stages["diffusion"] == [2] + [1] * 28
    assert saved(model, tmp_path / "one") == saved(fit("latent_diffusion", None), tmp_path / "two")


def test_a_fit_that_keeps_checkpoints_equals_one_that_keeps_none(whole, tmp_path):
    name, expected = whole
    assert saved(fit(name, tmp_path / "kept"), tmp_path / "model") == expected
    assert not (tmp_path / "kept").exists()


def test_an_interrupted_learner_with_a_fixed_momentum_and_no_average_goes_on(tmp_path):
    # the critic of a GAN: five steps for each of the generator's
    stop("gan", tmp_path / "kept", "adversaries", 3)
    state = load((tmp_path / "kept" / "adversaries-3.safetensors").read_bytes())
    assert {name.split("/")[0] for name in state} == {"learner", "opponent", "generator"}


def test_nothing_is_kept_of_a_quick_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "COPY_SECONDS", 1e9)
    stop("vae", tmp_path / "kept", "autoencoder", 29)
    assert not (tmp_path / "kept").exists()


def test_a_copy_is_written_when_the_fit_is_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "WRITE_SECONDS", 1e9)
    stop("vae", tmp_path / "kept", "autoencoder", 11)
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == ["autoencoder-11.safetensors", ABOUT]


def test_the_owner_of_a_checkpoint_removes_it(tmp_path):
    with Checkpoint.beside(tmp_path / "model") as checkpoint:
        make("vae", rules="none").fit(make_flows(), LABELS, checkpoint=checkpoint)
        assert checkpoint.folder == tmp_path / ".model.checkpoint"
        assert checkpoint.reached == "step 30 of autoencoder"
        assert checkpoint.folder.is_dir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [({"seed": 4}, "seed"), ({"batch_rows": 64, "seed": 4}, "batch_rows and seed"), ({"steps": 31}, "steps")],
)
def test_the_checkpoint_of_other_settings_is_refused_and_kept(tmp_path, change, told):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    before = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    with pytest.raises(ModelError, match=f"of a fit with another {told};"):
        fit("vae", tmp_path / "kept", **change)
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == before


def test_the_checkpoint_of_another_generator_is_refused(tmp_path):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    with pytest.raises(ModelError, match="generator"):
        fit("gan", tmp_path / "kept")


@pytest.mark.parametrize("change", ["a cell", "a label", "the order"])
def test_the_checkpoint_of_other_rows_is_refused(tmp_path, change):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    flows, labels = make_flows(), list(LABELS)
    if change == "a cell":
        flows = flows.with_columns(number=flows["number"].scatter(3, 13))
    elif change == "a label":
        labels[0] = "ARP_Spoofing"
    else:
        flows = flows[::-1]
    with pytest.raises(ModelError, match="another data"):
        make("vae", seed=3, rules="none").fit(flows, labels, checkpoint=tmp_path / "kept")


def test_another_versions_checkpoint_is_refused(tmp_path, monkeypatch):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    monkeypatch.setattr("flowmint.__version__", "99")
    with pytest.raises(ModelError, match="another flowmint"):
        fit("vae", tmp_path / "kept")


@pytest.mark.parametrize("kind", ["of another fit", "damaged"])
def test_a_checkpoint_that_may_be_replaced_is_begun_anew(tmp_path, kind):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    if kind == "damaged":
        (tmp_path / "kept" / ABOUT).write_text("{")
    seed = 9 if kind == "of another fit" else 3
    expected = saved(fit("vae", None, seed=seed), tmp_path / "one")
    with Checkpoint(tmp_path / "kept", replace=True) as checkpoint:
        model = make("vae", seed=seed, rules="none").fit(make_flows(), LABELS, checkpoint=checkpoint)
    assert saved(model, tmp_path / "two") == expected
    assert not (tmp_path / "kept").exists()


def rewrite(folder: Path, change) -> None:
    """Change the state in a checkpoint whose record of sizes and hashes is right again."""
    about = json.loads((folder / ABOUT).read_text())
    file = folder / "autoencoder-5.safetensors"
    state = load(file.read_bytes())
    change(state)
    content = save(state)
    file.write_bytes(content)
    about["stages"]["autoencoder"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / ABOUT).write_text(json.dumps(about))


WEIGHT = "learner/weights/leave.bias"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop(WEIGHT),
        lambda state: state.update(more=torch.zeros(1)),
        lambda state: state.update({WEIGHT: state[WEIGHT][:-1]}),
        lambda state: state.update({WEIGHT: state[WEIGHT].double()}),
        lambda state: state.update({WEIGHT: state[WEIGHT] * float("nan")}),
        lambda state: state.update({"generator": state["generator"] * 0 + 255}),
        lambda state: state.update({WEIGHT: torch.zeros(10**7)}),
    ],
    ids=["missing", "unknown", "shape", "type", "NaN", "randomness", "size"],
)
def test_a_tampered_state_is_refused(tmp_path, change):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    rewrite(tmp_path / "kept", change)
    with pytest.raises(ModelError, match="is damaged"):
        fit("vae", tmp_path / "kept")


@pytest.mark.parametrize("name", [ABOUT, "autoencoder-5.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_refused(tmp_path, name, damage):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    file = tmp_path / "kept" / name
    content = file.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    file.write_bytes({"cut": content[:-9], "changed": changed, "empty": b""}[damage])
    with pytest.raises(ModelError, match=r"is damaged|with another"):
        fit("vae", tmp_path / "kept")
    assert file.exists()


@pytest.mark.parametrize("value", [None, -1, 0, 2**70, "x", [], {}, True, 1e300], ids=repr)
def test_any_entry_of_another_kind_is_refused(tmp_path, value):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    path = tmp_path / "kept" / ABOUT
    before = json.loads(path.read_text())
    for name in ("format_version", "request", "stages"):
        path.write_text(json.dumps({**before, name: value}))
        if (name, value) == ("stages", {}):
            continue  # nothing is kept
        with pytest.raises(FlowmintError):
            fit("vae", tmp_path / "kept")
    for name in ("step", "bytes", "sha256"):
        record = {**before["stages"]["autoencoder"], name: value}
        for stages in ({"autoencoder": record}, {"autoencoder": value}, {"../up": record}):
            path.write_text(json.dumps({**before, "stages": stages}))
            with pytest.raises(ModelError, match="damaged"):
                fit("vae", tmp_path / "kept")


def test_a_stage_that_is_further_than_it_can_be_is_refused(tmp_path):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    path = tmp_path / "kept" / ABOUT
    path.write_text(path.read_text().replace('"step": 5', '"step": 31'))
    (tmp_path / "kept" / "autoencoder-5.safetensors").rename(tmp_path / "kept" / "autoencoder-31.safetensors")
    with pytest.raises(ModelError, match="step 31 of 30"):
        fit("vae", tmp_path / "kept")


def test_what_a_power_failure_left_is_cleared(tmp_path):
    stop("vae", tmp_path / "kept", "autoencoder", 5)
    for name in (".checkpoint.json.partial", ".autoencoder-9.safetensors.partial", "autoencoder-9.safetensors"):
        (tmp_path / "kept" / name).write_bytes(b"half")
    stop("vae", tmp_path / "kept", "autoencoder", 6)
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == ["autoencoder-6.safetensors", ABOUT]


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name in ("home", "file", "link"):
        with pytest.raises(ModelError, match=name):
            fit("vae", tmp_path / name)
        with pytest.raises(ModelError, match=name):
            Checkpoint(tmp_path / name, replace=True).begin({})
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_a_disk_that_refuses_is_told(tmp_path):
    with pytest.raises(WriteError, match="cannot keep the checkpoint"):
        fit("vae", tmp_path / "absent" / "kept")


def test_an_oversampler_has_nothing_to_keep(tmp_path):
    make("smote", rules="none").fit(make_flows(), LABELS, checkpoint=tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
