"""A model folder that was tampered with is refused in one line, whatever was done to it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from flowmint.errors import FlowmintError, ModelError, WriteError
from flowmint.generators import load_generator
from flowmint.generators.folder import VERSION

from .conftest import make, make_flows

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("latent_diffusion", "data_diffusion", "vae", "gan", "smote")


@pytest.fixture(scope="module", params=NAMES)
def saved(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    make(request.param).fit(make_flows(), ["Benign"] * 60 + ["ARP_Spoofing"] * 8).save(folder)
    return folder


@pytest.fixture
def model(saved, tmp_path) -> Path:
    """A copy of the model to damage."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def rewrite(model: Path, about: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Write a folder whose record of sizes and hashes is right again."""
    if arrays is not None:
        weights = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        (model / "weights.safetensors").write_bytes(weights)
        about["weights"] = {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    (model / "model.json").write_text(json.dumps(about))


def read(model: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    about = json.loads((model / "model.json").read_text())
    return about, load((model / "weights.safetensors").read_bytes())


def assert_refused(model: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_generator(model)
    assert str(model) in str(caught.value)


def test_an_untouched_copy_loads(model):
    assert load_generator(model).sample(2, label="Benign").height == 2


def test_every_array_is_checked_for_presence_and_shape(model):
    about, arrays = read(model)
    for name, array in arrays.items():
        rewrite(model, copy.deepcopy(about), {other: a for other, a in arrays.items() if other != name})
        assert_refused(model)
        rewrite(model, copy.deepcopy(about), {**arrays, name: array[..., :-1]})
        assert_refused(model)


def test_weights_that_are_no_numbers_are_refused(model):
    about, arrays = read(model)
    for name, array in arrays.items():
        if array.dtype == np.float32 and name.startswith(("autoencoder", "denoiser", "points", "network")):
            rewrite(model, copy.deepcopy(about), {**arrays, name: np.full_like(array, np.nan)})
            assert_refused(model)


def test_every_entry_is_checked_for_presence(model):
    about, _ = read(model)
    for name in about:
        rewrite(model, {key: value for key, value in about.items() if key != name})
        assert_refused(model)
    for name in about["settings"]:
        other = copy.deepcopy(about)
        del other["settings"][name]
        rewrite(model, other)
        assert_refused(model)


@pytest.mark.parametrize("value", [None, -1, 2**70, "x", [], {}, True, 1e300], ids=repr)
def test_any_entry_of_another_kind_is_refused_or_harmless(model, value):
    about, _ = read(model)
    for path in paths(about):
        other = copy.deepcopy(about)
        entry: Any = other
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = value
        rewrite(model, other)
        with contextlib.suppress(FlowmintError):
            loaded = load_generator(model)
            loaded.sample(1, label=loaded.classes_.values[0])


def paths(entry: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a nest of lists and tables, the first three entries of long lists."""
    if isinstance(entry, dict):
        found = [((*prefix, key), value) for key, value in entry.items()]
    elif isinstance(entry, list):
        found = [((*prefix, index), value) for index, value in enumerate(entry[:3])]
    else:
        return []
    return [path for path, _ in found] + [deeper for path, value in found for deeper in paths(value, path)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("dimensions", 10**9), ("width", 10**9), ("cells", 10**9), ("dimensions", 0), ("width", -3), ("cells", 2.5)],
)
def test_a_tampered_size_is_refused_without_taking_memory(model, name, value):
    about, _ = read(model)
    if "sizes" not in about["learnt"]:
        pytest.skip("oversamplers have no sizes")
    about["learnt"]["sizes"][name] = value
    rewrite(model, about)
    if about["generator"] == "data_diffusion" and name == "cells":
        return  # it has no cells
    assert_refused(model)


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_a_clear_error(model, data):
    file = model / data.draw(st.sampled_from(["model.json", "weights.safetensors"]))
    before = file.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    file.write_bytes(before[:place] + bytes([before[place] ^ data.draw(st.integers(1, 255))]) + before[place + 1 :])
    try:
        load_generator(model)
    except FlowmintError as error:
        assert "\n" not in str(error)
    finally:
        file.write_bytes(before)


def test_extra_arrays_and_files_are_refused(model):
    (model / "notes.txt").write_text("mine")
    assert_refused(model)


def test_a_link_is_refused(model, tmp_path):
    (model / "weights.safetensors").rename(tmp_path / "elsewhere")
    (model / "weights.safetensors").symlink_to(tmp_path / "elsewhere")
    assert_refused(model)


@pytest.mark.parametrize("version", [0, VERSION - 1, VERSION + 1, str(VERSION), None])
def test_another_version_is_refused(model, version):
    about, _ = read(model)
    rewrite(model, {**about, "format_version": version})
    assert_refused(model)


def test_a_path_for_a_generators_name_is_refused(model):
    about, _ = read(model)
    rewrite(model, {**about, "generator": "../../etc/passwd"})
    assert_refused(model)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("absent", "file", "empty"):
        assert_refused(tmp_path / name)


def test_a_foreign_folder_is_not_written_to(model, tmp_path):
    place = tmp_path / "home"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(WriteError, match=r"thesis\.txt"):
        load_generator(model).save(place, overwrite=True)
    assert [file.name for file in place.iterdir()] == ["thesis.txt"]


def test_a_failed_save_leaves_nothing(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        load_generator(model).save(tmp_path / "file" / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]
