"""Cells are found and left again exactly, and the autoencoder learns to give rows back."""

from __future__ import annotations

import pytest
import torch

from flowmint.diffusion.autoencoder import Autoencoder, Cells, most_likely, reconstruction_loss
from flowmint.diffusion.train import Training, build, train
from flowmint.progress import SILENT

CELLS = Cells(
    edges=(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)),
    shared=(torch.tensor([False, True]), torch.tensor([True, False, True])),
)


def loss_of(logits, positions, cells, targets, shared, weights=(1.0, 1.0)):
    return reconstruction_loss(logits, positions, cells=cells, targets=targets, shared=shared, weights=weights)


def test_placing_is_the_inverse_of_locating():
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cells, positions = CELLS.locate(points)
    shared = CELLS.is_shared(cells) > 0
    assert torch.allclose(CELLS.place(cells, positions)[shared], points[shared], atol=1e-5)
    assert torch.equal(CELLS.locate(CELLS.place(cells, positions))[0], cells)
    assert ((positions >= 0) & (positions <= 1)).all()


@pytest.mark.parametrize("position", [0.0, 1.0])
def test_a_position_at_the_edge_stays_in_its_cell(position):
    cells = torch.tensor([[0, 0], [1, 1], [0, 2]])
    points = CELLS.place(cells, torch.full((3, 2), position, dtype=torch.float64))
    assert torch.equal(CELLS.locate(points)[0], cells)


@pytest.mark.parametrize("point", [0.0, 0.5, 1.0, -1.0, 2.0])
def test_points_on_and_beyond_the_edges_have_cells(point):
    cells, positions = CELLS.locate(torch.full((1, 2), point, dtype=torch.float64))
    assert (cells >= 0).all()
    assert (cells < torch.tensor(CELLS.counts)).all()
    assert ((positions >= 0) & (positions <= 1)).all()


def test_it_is_known_which_cells_hold_several_values():
    assert CELLS.is_shared(torch.tensor([[0, 0], [1, 1]])).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_a_right_answer_costs_nothing_and_a_wrong_one_something():
    cells = torch.tensor([[0, 1], [1, 2]])
    sure = tuple(100 * torch.nn.functional.one_hot(cells[:, i], n).float() for i, n in enumerate(CELLS.counts))
    positions = torch.rand(2, 2)
    shared = CELLS.is_shared(cells)
    assert loss_of(sure, positions, cells, positions, shared) == 0
    assert loss_of(sure, positions, cells.flip(0), positions, shared) > 10
    assert loss_of(sure, 1 - positions, cells, positions, shared) > 0
    none = torch.zeros(2, 2)
    assert loss_of(sure, 1 - positions, cells, positions, none) == 0


def test_training_gives_the_cells_of_rows_back():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(400, 2, generator=generator, dtype=torch.float64)
    normal = torch.special.ndtri(points.clamp(1e-4, 1 - 1e-4)).float()
    cells, positions = CELLS.locate(points)
    autoencoder = build(
        lambda: Autoencoder(counts=CELLS.counts, latent_dim=3, width=32), seed=0, device=torch.device("cpu")
    )

    def loss():
        decoded = autoencoder.decode(autoencoder.encode(normal, cells))
        return loss_of(*decoded, cells, positions.float(), CELLS.is_shared(cells))

    with SILENT.stage("autoencoder", total=200, unit="steps") as stage:
        train(autoencoder, loss, training=Training(200, 1e-2), stage=stage)
    logits, decoded = autoencoder.decode(autoencoder.encode(normal, cells))
    assert torch.equal(torch.stack([column.argmax(dim=1) for column in logits], dim=1), cells)
    error = (CELLS.is_shared(cells) * (decoded - positions)).abs().mean()
    assert error < 0.1


def test_columns_count_as_much_as_they_weigh():
    cells = torch.tensor([[0, 1]])
    even = tuple(torch.zeros(1, count) for count in CELLS.counts)
    none, positions = torch.zeros(1, 2), torch.zeros(1, 2)
    losses = [loss_of(even, positions, cells, positions, none, weights) for weights in ((1.0, 0.0), (3.0, 0.0))]
    assert losses[1].item() == pytest.approx(3 * losses[0].item())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cells", [1, 2, 700])
def test_the_most_likely_cell_is_the_first_largest(kind, cells):
    logits = torch.randint(-3, 3, (cells, 200), generator=torch.Generator().manual_seed(0)).to(kind)
    assert torch.equal(most_likely(logits), logits.float().argmax(dim=0))


def test_a_cell_is_chosen_even_where_logits_are_no_numbers():
    assert ((most_likely(torch.full((3, 5), torch.nan)) >= 0) & (most_likely(torch.full((3, 5), torch.nan)) < 3)).all()


def test_what_is_chosen_is_what_decoding_finds_most_likely():
    autoencoder = build(
        lambda: Autoencoder(counts=(4, 2, 9), latent_dim=3, width=16), seed=1, device=torch.device("cpu")
    )
    latents = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    logits, positions = autoencoder.decode(latents)
    cells, inside = autoencoder.choose(latents)
    assert torch.equal(cells, torch.stack([column.argmax(dim=1) for column in logits], dim=1))
    assert torch.equal(inside.float(), positions)
