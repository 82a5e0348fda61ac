"""How networks are trained: on how many threads, and that nothing is left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flowmint.diffusion.train import Training
from flowmint.generators import trainer
from flowmint.generators.trainer import Trainer

TRAINING = Training(2, 4, 1e-3)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_while_training(*, failing=False):
    module, seen = nn.Linear(3, 1), []

    def loss():
        seen.append(torch.get_num_threads())
        if failing:
            raise KeyboardInterrupt
        return module(torch.ones(4, 3)).mean()

    Trainer().train("autoencoder", module, loss, training=TRAINING, generator=torch.Generator())
    return seen


def test_a_small_network_trains_on_one_thread(two_threads):
    assert threads_while_training() == [1, 1]
    assert torch.get_num_threads() == 2


def test_a_large_network_trains_on_all_threads(two_threads, monkeypatch):
    monkeypatch.setattr(trainer, "SMALL", 3)
    assert threads_while_training() == [2, 2]


def test_the_number_of_threads_is_as_before_when_training_is_interrupted(two_threads):
    with pytest.raises(KeyboardInterrupt):
        threads_while_training(failing=True)
    assert torch.get_num_threads() == 2
