"""The denoiser is preconditioned, and learns."""

from __future__ import annotations

import pytest
import torch

from flowmint.diffusion.backbone import Backbone, waves
from flowmint.diffusion.denoise import Denoiser
from flowmint.diffusion.noise import RectifiedFlow, VarianceExploding
from flowmint.diffusion.train import Training, build, train
from flowmint.progress import SILENT

every_schedule = pytest.mark.parametrize(
    "schedule", [RectifiedFlow(), VarianceExploding()], ids=lambda schedule: type(schedule).__name__
)


def make(schedule, *, classes: int = 2) -> Denoiser:
    return build(
        lambda: Denoiser(Backbone(dimensions=2, classes=classes, width=32, blocks=2), schedule),
        seed=0,
        device=torch.device("cpu"),
    )


@every_schedule
def test_without_noise_the_point_is_its_own_guess(schedule):
    x = torch.randn(6, 2)
    guess = make(schedule)(x, torch.full((6,), 1e-5), torch.zeros(6, dtype=torch.int64))
    assert torch.allclose(guess, x, atol=1e-3)


@every_schedule
def test_one_time_and_class_serve_all_rows(schedule):
    denoiser = make(schedule)
    x, t, label = torch.randn(6, 2), torch.tensor([0.4]), torch.tensor([1])
    assert torch.allclose(denoiser(x, t, label), denoiser(x, t.expand(6), label.expand(6)), atol=1e-6)


@every_schedule
def test_the_loss_of_an_untrained_network_is_about_one(schedule):
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1))
    loss = make(schedule).loss(x, torch.zeros(4000, dtype=torch.int64), torch.Generator().manual_seed(2))
    assert 0.7 < loss.item() < 1.6


def test_training_tells_classes_apart():
    centres = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    generator = torch.Generator().manual_seed(0)
    denoiser = make(RectifiedFlow())

    def loss():
        label = torch.randint(2, (256,), generator=generator)
        x = centres[label] + 0.1 * torch.randn(256, 2, generator=generator)
        return denoiser.loss(x, label, generator)

    with SILENT.stage("diffusion", total=200, unit="steps") as stage:
        train(denoiser, loss, training=Training(200, 3e-3), stage=stage)
    with torch.no_grad():
        guess = denoiser(torch.zeros(2, 2), torch.tensor([0.95, 0.95]), torch.tensor([0, 1]))
    assert torch.allclose(guess, centres, atol=0.3)


def test_waves_tell_noise_levels_apart():
    features = waves(torch.linspace(-8, 8, 50))
    assert features.abs().max() <= 1
    assert torch.cdist(features, features).fill_diagonal_(9).min() > 0.05
