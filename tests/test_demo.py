"""The demonstration compares every method on the same rows."""

from __future__ import annotations

import functools

import pytest

from flowmint import demo
from flowmint.generators import GENERATORS, LatentDiffusion

SMALL = {"Benign": 120, "DDoS-ICMP_Fragmentation": 20, "Mirai-greip_flood": 20, "MITM-ArpSpoofing": 10}


@pytest.fixture
def brief(monkeypatch):
    short = functools.partial(LatentDiffusion, steps=5, autoencoder_steps=5)
    monkeypatch.setitem(GENERATORS, "latent_diffusion", short)


def test_every_method_and_detector_is_scored(brief):
    result = demo.run_demo(train=SMALL, test=SMALL)
    assert list(result.f1) == ["without", "SMOTE", "Flowmint"]
    assert all(0 <= score <= 1 for scores in result.f1.values() for score in scores.values())
    assert result.target == 120


def test_the_same_seed_gives_the_same_result(brief):
    assert demo.run_demo(train=SMALL, test=SMALL, seed=5) == demo.run_demo(train=SMALL, test=SMALL, seed=5)


def test_the_attack_is_rare_in_training_and_frequent_in_testing():
    assert demo.TRAIN[demo.ATTACK] == 25
    assert demo.TEST[demo.ATTACK] >= 1000
