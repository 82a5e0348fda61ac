"""The variational autoencoder's distributions are what they are called."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal as Known
from torch.distributions import kl_divergence

from flowmint.diffusion.train import build
from flowmint.diffusion.variational import LEAST, MOST, Normal, VariationalAutoencoder

COUNTS = (3, 5)


def make() -> VariationalAutoencoder:
    return build(
        lambda: VariationalAutoencoder(counts=COUNTS, classes=2, latent_dim=4, width=16, blocks=1),
        seed=0,
        device=torch.device("cpu"),
    )


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_divergence_is_the_known_one():
    one, other = (Normal(noise(6, 4, seed=seed), noise(6, 4, seed=seed + 1)) for seed in (0, 2))
    known = kl_divergence(*(Known(n.mean, (n.log_variance / 2).exp()) for n in (one, other))).sum(dim=1)
    assert torch.allclose(one.divergence(other), known, rtol=1e-4)
    assert torch.allclose(one.divergence(one), torch.zeros(6), atol=1e-6)


def test_drawn_points_have_the_mean_and_the_variance():
    normal = Normal(torch.tensor([[2.0, -1.0]]), torch.tensor([[0.25, 4.0]]).log())
    points = normal.draw(noise(20_000, 2))
    assert points.mean(dim=0).tolist() == pytest.approx([2.0, -1.0], abs=0.05)
    assert points.std(dim=0).tolist() == pytest.approx([0.5, 2.0], rel=0.03)


def test_variances_stay_in_their_bounds():
    normal = Normal.of(torch.tensor([[0.0, 0.0, 1e9, -1e9]]))
    assert normal.log_variance.tolist() == [[MOST, LEAST]]


def test_rows_and_latents_have_their_shapes():
    model, cells, label = make(), torch.tensor([[0, 4], [2, 1], [1, 3]]), torch.tensor([0, 1, 0])
    posterior = model.encode(noise(3, 2), cells, label)
    assert posterior.mean.shape == posterior.log_variance.shape == (3, 4)
    logits, positions = model.decode(posterior.mean, label)
    assert [tuple(column.shape) for column in logits] == [(3, 3), (3, 5)]
    assert positions.shape == (3, 2)


def test_each_class_has_its_own_prior_and_one_label_serves_all_rows():
    model = make()
    assert not torch.equal(model.prior(torch.tensor([0])).mean, model.prior(torch.tensor([1])).mean)
    one, each = (model(noise(5, 4), torch.tensor([1] * count)) for count in (1, 5))
    assert torch.allclose(one[1], each[1], atol=1e-6)
