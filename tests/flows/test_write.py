"""What is written is whole, and reads as it was."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowmint.errors import WriteError
from flowmint.flows.read import EXTENSIONS, read_table
from flowmint.flows.write import whole_file, write_table

TABLE = pl.DataFrame(
    {
        "rate": [0.1, float("inf"), float("nan"), None],
        "count": [2**63 - 1, -5, 0, None],
        "proto": ["tcp", 'a "quoted", name\nof two lines', "", None],
        "flag": [True, False, None, True],
        "Label ✓": ["攻击", "=1+1", "-", " spaces "],
    }
)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_value_reads_as_it_was_written(tmp_path, extension):
    path = tmp_path / f"table{extension}"
    write_table(TABLE, path)
    assert_frame_equal(read_table(path), TABLE)
    assert list(tmp_path.iterdir()) == [path]


@given(
    st.lists(
        st.tuples(
            st.floats() | st.none(),
            st.integers(-(2**63), 2**63 - 1),
            st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=5) | st.none(),
        ),
        min_size=1,
        max_size=10,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_reads_as_it_was_written(tmp_path, rows):
    schema = {"a": pl.Float64, "b": pl.Int64, "c": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    path = tmp_path / "table.csv"
    write_table(table, path)
    back = read_table(path, categorical=["c"])
    floats = back["a"].cast(pl.Float64)
    assert_frame_equal(back.with_columns(floats), table)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_same_table_gives_the_same_bytes(tmp_path, extension):
    paths = [tmp_path / f"{name}{extension}" for name in "ab"]
    for path in paths:
        write_table(TABLE, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_file_that_exists_is_replaced(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    write_table(TABLE, path)
    assert read_table(path).height == 4


def test_what_fails_midway_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def stop() -> None:
        with whole_file(path) as partial:
            partial.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["table.xlsx", "table", "absent/table.csv", "absent/table.parquet", "absent/t.csv.gz"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, name):
    with pytest.raises(WriteError, match=name):
        write_table(TABLE, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
