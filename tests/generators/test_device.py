"""A device that is absent is told clearly, and a model fitted on one device samples on another."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from polars.testing import assert_frame_equal

from flowmint.errors import SettingError
from flowmint.generators import load_generator, make_generator, trainer
from flowmint.generators.tensors import find_device, lacking_cuda

from .conftest import make, make_flows

LABELS = ["Benign"] * 60 + ["ARP_Spoofing"] * 8


@pytest.fixture
def _no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("_no_gpu")
@pytest.mark.parametrize(("built", "told"), [(None, "build without CUDA"), ("13.0", "nvidia-smi")])
def test_an_absent_gpu_is_told_with_its_reason_and_what_helps(monkeypatch, built, told):
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(SettingError, match=told) as caught:
        find_device("cuda")
    assert "use 'cpu'" in str(caught.value)
    assert find_device("auto") == torch.device("cpu")


def test_a_gpu_of_too_high_a_number_is_refused(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert lacking_cuda(1) is None
    with pytest.raises(SettingError, match="there are 2, numbered from cuda:0"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["tpu", "mps", "", "cuda:x", "meta"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(SettingError, match="allowed: 'cpu', 'cuda'"):
        find_device(name)


@pytest.mark.usefixtures("_no_gpu")
def test_an_absent_gpu_is_told_before_anything_is_read():
    with pytest.raises(SettingError, match="cuda"):
        make_generator("latent_diffusion", device="cuda")


def test_an_oversampler_takes_the_processor_alone(monkeypatch):
    assert make_generator("smote", device="auto").name == make_generator("smote", device="cpu").name
    monkeypatch.setattr("flowmint.generators.base.find_device", lambda _: torch.device("cuda"))
    with pytest.raises(SettingError, match="trains no network"):
        make_generator("smote", device="cuda")


@pytest.mark.usefixtures("_no_gpu")
def test_a_model_that_was_fitted_on_a_gpu_samples_on_the_processor(tmp_path):
    model = make("vae", rules="none").fit(make_flows(), LABELS)
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    about = json.loads(path.read_text())
    about["settings"]["device"] = "cuda"
    path.write_text(json.dumps(about))
    for loaded in (load_generator(tmp_path / "model"), load_generator(tmp_path / "model", device="auto")):
        assert_frame_equal(loaded.sample(9, label="Benign"), model.sample(9, label="Benign"))
    with pytest.raises(SettingError, match="is not there"):
        load_generator(tmp_path / "model", device="cuda")


@pytest.mark.parametrize("name", ["latent_diffusion", "data_diffusion", "vae"])  # a GAN does not
def test_every_network_trains_in_mixed_precision(monkeypatch, name):
    plain = trainer.train

    def mixed(*arguments, training, **others):
        plain(*arguments, training=dataclasses.replace(training, mixed=True), **others)

    monkeypatch.setattr(trainer, "train", mixed)
    settings = {"sharpness": 0.0} if name.endswith("diffusion") else {}
    model = make(name, rules="none", **settings).fit(make_flows(), LABELS)
    assert model.sample(20, label="ARP_Spoofing").height == 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_fits_and_samples(tmp_path):
    model = make("latent_diffusion", rules="none", device="cuda").fit(make_flows(), LABELS)
    assert model.sample(20, label="ARP_Spoofing").height == 20
    model.save(tmp_path / "model")
    assert load_generator(tmp_path / "model", device="cpu").sample(20, label="Benign").height == 20
