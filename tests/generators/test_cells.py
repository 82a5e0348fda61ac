"""Rows as cells: drawing and mixing."""

from __future__ import annotations

import pytest
import torch

from flowmint.diffusion.autoencoder import Cells
from flowmint.generators.cells import CellRows, draw_mixed


def test_mixed_rows_are_their_own_but_for_a_share_of_columns():
    generator = torch.Generator().manual_seed(0)
    drawn = draw_mixed(torch.Size([1000, 40]), 500, share=0.25, generator=generator)
    assert drawn.shape == (500, 40)
    own = drawn.mode(dim=1).values[:, None]
    assert (drawn != own).float().mean().item() == pytest.approx(0.25, abs=0.02)
    alone = draw_mixed(torch.Size([1000, 40]), 500, share=0.0, generator=generator)
    assert (alone == alone[:, :1]).all()


def test_rows_that_are_taken_keep_their_parts_together():
    cells = Cells(edges=(torch.tensor([0.0, 0.5, 1.0]).double(),), shared=(torch.tensor([False, True]),))
    rows = CellRows.of(cells, torch.tensor([[-1.0], [0.0], [2.0]]))
    assert rows.cells.tolist() == [[0], [1], [1]]
    assert rows.shared.tolist() == [[0], [1], [1]]
    taken = rows.take(torch.tensor([2, 0]))
    assert taken.normal.tolist() == [[2.0], [-1.0]]
    assert taken.cells.tolist() == [[1], [0]]
    assert taken.positions[0] == rows.positions[2]


def test_gathered_columns_keep_their_parts_together():
    edges = torch.tensor([0.0, 0.5, 1.0]).double()
    cells = Cells(edges=(edges, edges), shared=(torch.tensor([False, True]), torch.tensor([True, False])))
    rows = CellRows.of(cells, torch.tensor([[-1.0, 1.0], [0.0, -2.0]]))
    mixed = rows.gather(torch.tensor([[0, 1]]))
    assert mixed.normal.tolist() == [[-1.0, -2.0]]
    assert mixed.cells.tolist() == [[0, 0]]
    assert mixed.shared.tolist() == [[0, 1]]
    assert mixed.positions.tolist() == [[rows.positions[0, 0].item(), rows.positions[1, 1].item()]]
