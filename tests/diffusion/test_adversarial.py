"""The critic sees rows as they are, and choices are draws with a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flowmint.diffusion.adversarial import Critic, RowGenerator, View, choose, choose_softly, critic_loss
from flowmint.diffusion.autoencoder import Cells
from flowmint.diffusion.train import build

CELLS = Cells(
    edges=(torch.tensor([0.0, 0.5, 1.0]).double(), torch.tensor([0.0, 0.1, 0.6, 1.0]).double()),
    shared=(torch.tensor([False, True]), torch.tensor([True, True, False])),
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_view_is_the_number_and_the_cell_of_each_column():
    seen = View.of(CELLS).see_cells(torch.tensor([[1, 0]]), torch.tensor([[0.0, 1.0]]))
    numbers = torch.special.ndtri(torch.tensor([0.5, 0.1]))
    assert seen[0, :2].tolist() == pytest.approx(numbers.tolist(), abs=1e-5)
    assert seen[0, 2:].tolist() == [0, 1, 1, 0, 0]


def test_positions_in_a_cell_of_one_value_are_not_seen():
    view, cells = View.of(CELLS), torch.tensor([[0, 2]])
    low, high = (view.see_cells(cells, torch.full((1, 2), position)) for position in (0.0, 1.0))
    assert torch.equal(low, high)
    assert high.isfinite().all()


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


def test_the_generator_and_the_critic_have_their_shapes():
    device, label = torch.device("cpu"), torch.tensor([0, 1, 1])
    generator = build(
        lambda: RowGenerator(counts=(2, 3), classes=2, noise_dim=4, width=8, blocks=1), seed=0, device=device
    )
    logits, positions = generator(torch.zeros(3, 4), label)
    assert [tuple(column.shape) for column in logits] == [(3, 2), (3, 3)]
    assert positions.shape == (3, 2)
    critic = build(lambda: Critic(inputs=7, classes=2, width=8, pack=2), seed=0, device=device)
    assert critic(torch.zeros(3, 14), label).shape == (3,)
