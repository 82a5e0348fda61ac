"""A captured gradient is used where it is the plain one, and only there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flowmint.diffusion.capture import checked
from flowmint.diffusion.train import Training, build, train
from flowmint.progress import SILENT


def make():
    module = build(lambda: nn.Linear(3, 1), seed=0, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(5)

    def gradient() -> None:
        module.zero_grad()
        (module(torch.randn(4, 3, generator=generator)) ** 2).mean().backward()

    return gradient, list(module.parameters()), generator


def test_a_capture_that_gives_the_same_gradient_is_used_and_draws_nothing():
    gradient, weights, generator = make()
    before = generator.get_state()

    def capturing(plain, _):
        def again() -> None:
            plain()

        return again

    used = checked(gradient, weights, generator, capturing=capturing)
    assert used is not gradient
    assert torch.equal(generator.get_state(), before)


def test_a_capture_that_gives_another_gradient_is_not_used():
    gradient, weights, generator = make()
    before = generator.get_state()

    def capturing(plain, own):
        def stale() -> None:
            torch.randn(1, generator=own)
            plain()

        return stale

    assert checked(gradient, weights, generator, capturing=capturing) is gradient
    assert torch.equal(generator.get_state(), before)


def test_what_cannot_be_captured_is_computed_plainly():
    gradient, weights, generator = make()

    def capturing(*_):
        message = "operation not permitted when stream is capturing"
        raise RuntimeError(message)

    assert checked(gradient, weights, generator, capturing=capturing) is gradient


def learn(device: str, **settings) -> torch.Tensor:
    place = torch.device(device)
    module = build(lambda: nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 1)), seed=0, device=place)
    generator = torch.Generator(place).manual_seed(5)

    def loss() -> torch.Tensor:
        x = torch.randn(64, 3, generator=generator, device=place)
        return nn.functional.mse_loss(module(x), x.sum(dim=1, keepdim=True))

    with SILENT.stage("", total=0, unit="") as stage:
        train(module, loss, training=Training(150, 1e-2, **settings), stage=stage, generator=generator)
    assert all(weight.dtype == torch.float32 for weight in module.parameters())
    return torch.cat([weight.detach().flatten() for weight in module.parameters()]).cpu()


def test_mixed_precision_learns_nearly_the_same_with_weights_of_full_precision():
    plain, mixed = learn("cpu"), learn("cpu", mixed=True)
    assert not torch.equal(plain, mixed)
    assert (plain - mixed).norm() < 0.1 * plain.norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_learns_the_same_with_and_without_a_graph():
    plain, captured = learn("cuda"), learn("cuda", captured=True)
    assert (plain - captured).norm() < 1e-2 * plain.norm()
