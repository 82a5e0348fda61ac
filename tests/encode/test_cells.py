"""Cells cover the unit line, and spikes have their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from flowmint.encode.cells import cell_edges
from flowmint.encode.support import Support
from flowmint.flows.schema import Schema


def support_of(values: list[Any]) -> Support:
    table = pl.DataFrame({"x": values})
    return Support.fit(Schema.infer(table).columns[0], table["x"], np.ones(len(values)))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.integers(2, 64))
def test_cells_are_made_of_whole_intervals_and_cover_the_line(values, cells):
    support = support_of(values)
    edges, shared = cell_edges(support, cells=cells)
    assert edges[0] == 0
    assert edges[-1] == 1
    assert (np.diff(edges) > 0).all()
    assert np.isin(edges, support.edges).all()
    assert len(shared) == len(edges) - 1
    held = np.diff(np.searchsorted(support.edges, edges))
    assert (shared == (held > 1)).all()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.integers(2, 64))
def test_there_are_at_most_about_twice_as_many_cells_as_asked_for(values, cells):
    edges, _ = cell_edges(support_of(values), cells=cells)
    assert len(edges) - 1 <= 2 * cells + 1


def test_a_spike_is_a_cell_of_its_own():
    support = support_of([0] * 500 + list(range(1, 501)))
    edges, shared = cell_edges(support, cells=10)
    assert edges[1] == 0.5
    assert not shared[0]
    assert shared[1:].all()


def test_every_category_is_a_cell_of_its_own():
    edges, shared = cell_edges(support_of(["http"] * 900 + [f"service {i}" for i in range(60)]), cells=10)
    assert len(edges) == 62
    assert not shared.any()


def test_only_the_rarest_of_very_many_categories_share_cells():
    edges, shared = cell_edges(support_of([f"host {i}" for i in range(2000)]), cells=50)
    assert len(edges) - 1 < 570
    assert not shared[:512].any()


def test_what_is_no_number_has_cells_of_its_own():
    values = [float(i) for i in range(1000)] + [float("inf"), float("-inf"), float("nan"), None]
    support = support_of(values)
    edges, shared = cell_edges(support, cells=10)
    states = np.searchsorted(support.edges, edges)
    widths = dict(zip(states[:-1].tolist(), np.diff(states).tolist(), strict=True))
    assert [widths[state] for state in (0, 1001, 1002, 1003)] == [1, 1, 1, 1]
    assert shared.sum() >= 10
