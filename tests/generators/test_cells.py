"""Rows as cells: drawing and mixing."""

from __future__ import annotations

import pytest
import torch

from flowmint.generators.cells import draw_mixed


def test_mixed_rows_are_their_own_but_for_a_share_of_columns():
    generator = torch.Generator().manual_seed(0)
    drawn = draw_mixed(torch.Size([1000, 40]), 500, share=0.25, generator=generator)
    assert drawn.shape == (500, 40)
    own = drawn.mode(dim=1).values[:, None]
    assert (drawn != own).float().mean().item() == pytest.approx(0.25, abs=0.02)
    alone = draw_mixed(torch.Size([1000, 40]), 500, share=0.0, generator=generator)
    assert (alone == alone[:, :1]).all()
