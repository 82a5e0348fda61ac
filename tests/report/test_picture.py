from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowmint.errors import TableError
from flowmint.report import Picture
from flowmint.report.picture import column_gaps, correlations, histogram, mixing, projections
from flowmint.report.rows import row_sections

FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.none(), min_size=1, max_size=20)


def make(real, minted, **others):
    return Picture(title="rows", real=pl.DataFrame(real), minted=pl.DataFrame(minted), **others)


def test_other_columns_are_refused_and_named():
    with pytest.raises(TableError, match=r"missing 'a'; unexpected 'b'"):
        make({"a": [1]}, {"b": [1]})


def test_training_rows_must_have_the_columns_too():
    with pytest.raises(TableError, match="training rows"):
        make({"a": [1]}, {"a": [1]}, train=pl.DataFrame({"a": ["x"]}))


def test_no_rows_are_refused():
    with pytest.raises(TableError, match="0 minted rows"):
        make({"a": [1]}, {"a": pl.Series([], dtype=pl.Int64)})


def test_columns_may_stand_in_another_order():
    picture = make({"a": [1, 2], "b": [3, 4]}, {"b": [3, 4], "a": [1, 2]})
    assert [gap.distance for gap in column_gaps(picture)] == [0, 0]


def test_equal_columns_have_no_distance_and_disjoint_ones_the_largest():
    picture = make({"same": [1, 2, 3], "other": [1, 2, 3]}, {"same": [3, 2, 1], "other": [7, 8, 9]})
    assert column_gaps(picture) == [("other", 1.0), ("same", 0.0)]


def test_names_are_told_apart_by_total_variation():
    picture = make({"a": ["x", "x", "y", None]}, {"a": ["x", "y", "y", "z"]})
    assert column_gaps(picture)[0].distance == pytest.approx(0.5)


@given(FLOATS, FLOATS)
@example([0.0], [1.797e308])
@example([-1.797e308] * 9, [1.797e308, 5e-324, *range(20)])
@settings(max_examples=60)
def test_any_column_of_numbers_has_bars_that_sum_to_the_finite_share(real, minted):
    picture = make({"a": pl.Series(real, dtype=pl.Float64)}, {"a": pl.Series(minted, dtype=pl.Float64)})
    gap = column_gaps(picture)[0]
    assert 0 <= gap.distance <= 1 + 1e-12
    panel = histogram(picture, gap)
    assert len(panel["edges"]) == len(panel["real"]) + 1 == len(panel["minted"]) + 1
    assert all(math.isfinite(edge) for edge in panel["edges"])
    finite = [[v for v in values if v is not None and math.isfinite(v)] for values in (real, minted)]
    if all(finite):
        assert sum(panel["real"]) == pytest.approx(1, abs=1e-3)
        assert sum(panel["minted"]) == pytest.approx(1, abs=1e-3)


def test_rare_names_share_a_bar():
    names = [f"service{i}" for i in range(30)]
    panel = histogram(make({"a": names}, {"a": names}), column_gaps(make({"a": names}, {"a": names}))[0])
    assert panel["labels"][-1] == "(others)"
    assert sum(panel["real"]) == pytest.approx(1, abs=1e-3)


def test_correlations_of_the_same_rows_do_not_differ():
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=40) for name in "abc"}
    real, minted, difference = correlations(make(rows, rows))
    assert real["values"] == minted["values"]
    assert np.allclose(difference["values"], 0)
    assert np.allclose(np.diag(real["values"]), 1)


def test_a_column_that_is_constant_among_minted_rows_is_blank_and_named():
    picture = make({"a": [1, 2, 3, 4], "b": [2, 1, 4, 3]}, {"a": [1, 2, 3, 4], "b": [5, 5, 5, 5]})
    assert correlations(picture)[1]["values"][1][1] is None
    figure = row_sections([picture])[1]["blocks"][0]
    assert "Constant among minted rows, hence blank: b." in figure["note"]


def test_one_varying_column_has_no_correlations():
    assert correlations(make({"a": [1, 2, 3], "b": [1, 1, 1]}, {"a": [1, 2, 3], "b": [1, 1, 1]})) == []


def test_projections_repeat_and_hold_every_group(picture):
    first, second = projections(picture), projections(picture)
    assert first == second
    assert [projection.title for projection in first] == ["Principal components", "t-SNE"]
    assert [len(group["points"]) for group in first[0].groups] == [60, 50, 8]


def test_few_rows_are_projected_as_far_as_they_go():
    rows = {"a": [1.0, 2.0, 3.0], "b": [1.0, 3.0, 2.0]}
    assert [p.title for p in projections(make(rows, rows))] == ["Principal components"]


def test_one_row_is_not_projected_and_the_report_says_so():
    sections = row_sections([make({"a": [1.0]}, {"a": [2.0]})])
    assert "not available" in sections[2]["blocks"][0]["text"]


def test_rows_of_one_kind_are_each_others_neighbours():
    rng = np.random.default_rng(0)
    groups = [{"name": n, "style": 0, "points": rng.normal(size=(300, 2)).tolist()} for n in ("real", "minted")]
    for _, found, expected in mixing(groups):
        assert found == pytest.approx(expected, abs=0.1)


def test_rows_apart_are_never_neighbours():
    rng = np.random.default_rng(0)
    groups = [{"name": str(x), "style": 0, "points": (rng.normal(size=(50, 2)) + x).tolist()} for x in (0, 99)]
    assert [found for _, found, _ in mixing(groups)] == [0, 0]
