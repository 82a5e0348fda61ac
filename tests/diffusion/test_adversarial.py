"""The critic tells classes apart, and choices are draws with a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flowmint.diffusion.adversarial import Critic, RowGenerator, choose, choose_softly, critic_loss
from flowmint.diffusion.train import build


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_choices_are_drawn_in_proportion():
    shares = torch.tensor([0.5, 0.3, 0.2])
    drawn = choose(shares.log().expand(20_000, 3), seeded()).argmax(dim=1)
    assert (torch.bincount(drawn) / 20_000).tolist() == pytest.approx(shares.tolist(), abs=0.02)


def test_a_soft_choice_is_one_cell_and_passes_its_gradient_on():
    logits = torch.zeros(50, 4, requires_grad=True)
    chosen = choose_softly(logits, temperature=0.5, generator=seeded())
    assert torch.allclose(chosen.sum(dim=1), torch.ones(50))
    assert torch.allclose(chosen.max(dim=1).values, torch.ones(50))
    (gradient,) = torch.autograd.grad((chosen * torch.arange(4.0)).sum(), logits)
    assert gradient.abs().sum() > 0


class Slope(nn.Module):
    """A critic whose slope is known."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, packs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - a critic's
        return self.slope * packs[:, 0]


@pytest.mark.parametrize(("slope", "loss"), [(1.0, -2.0), (3.0, -6.0 + 10 * 4.0)])
def test_the_critics_loss_is_the_distance_and_the_penalty_on_its_slope(slope, loss):
    given = {"minted": torch.zeros(6, 2), "real": torch.full((6, 2), 2.0), "label": torch.zeros(6, dtype=torch.int64)}
    assert critic_loss(Slope(slope), **given, penalty=10.0, generator=seeded()).item() == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize(("numbers", "counts"), [(3, ()), (0, (2, 5)), (3, (2, 5))])
def test_the_generator_answers_with_numbers_and_with_logits_of_names(numbers, counts):
    generator = build(
        lambda: RowGenerator(numbers=numbers, counts=counts, classes=2, noise_dim=4, width=8, blocks=1),
        seed=0,
        device=torch.device("cpu"),
    )
    found, logits = generator(torch.zeros(3, 4), torch.tensor([0, 1, 1]))
    assert found.shape == (3, numbers)
    assert tuple(column.shape[1] for column in logits) == counts


def test_the_critic_judges_packs_of_rows():
    label = torch.tensor([0, 1, 1])
    critic = build(lambda: Critic(inputs=7, classes=2, width=8, blocks=1, pack=2), seed=0, device=torch.device("cpu"))
    scores = critic(torch.zeros(3, 14), label)
    assert scores.shape == (3,)
    assert scores[0] != scores[1]
    assert scores[1] == scores[2]
