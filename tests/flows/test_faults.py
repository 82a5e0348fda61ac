"""Malformed rows of a CSV are skipped where that is asked for, counted, and the first is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowmint.errors import FlowmintError, ReadError
from flowmint.flows import read
from flowmint.flows.faults import Faults
from flowmint.flows.read import read_table
from flowmint.flows.stream import open_stream

if TYPE_CHECKING:
    from pathlib import Path

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

WRONG = {
    "too few cells": (b"5", "line 3 has 1 cell "),
    "too many cells": (b"5,6,7", "line 3 has 3 cells"),
    "no UTF-8": (b"5,\xff", "line 3 is not UTF-8"),
    "a NUL byte": (b"5,\0", "line 3 has a NUL byte"),
    "a quote inside": (b'5,6"7', "line 3 has a quote inside a cell"),
    "an open quote": (b'5,"6', "line 3 opens a quote"),
    "a long cell": (b"5," + b"x" * 5000, "line 3 has a cell of 5,000 characters"),
    "a word": (b"fast,6", "line 3 has fast in column 'a', which holds numbers"),
}


def read_skipping(path: Path, **options: Any) -> tuple[pl.DataFrame, Faults]:
    """Read a table both ways, which must agree."""
    faults, others = Faults(), Faults()
    table = read_table(path, faults=faults, **options)
    with open_stream(path, scratch=path.parent, faults=others, **options) as source:
        assert_frame_equal(pl.concat(list(source.batches())), table)
    assert faults == others
    return table, faults


@pytest.mark.parametrize(("line", "told"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_a_malformed_row_is_skipped_counted_and_told(tmp_path, monkeypatch, line, told, chunk):
    monkeypatch.setattr(read, "CHUNK", chunk)
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n1,2\n" + line + b'\n3,"4\n5"\n7,8\n' + b"9,9\n" * 50)
    table, faults = read_skipping(path, categorical=["b"])
    assert table["a"].to_list() == [1, 3, 7] + [9] * 50
    assert table["b"].to_list()[:3] == ["2", "4\n5", "8"]
    assert faults.rows == 1
    assert faults.first.startswith(f"{path}: {told}")


def test_without_it_the_same_row_stops(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n5\n")
    with pytest.raises(ReadError, match="line 3 has 1 cell"):
        read_table(path)


@given(
    good=st.lists(st.integers(0, 99), max_size=30),
    wrong=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["5", "1,2,3", '4,5"6', "x,y,z"])), max_size=8),
    chunk=st.integers(1, 60),
)
@relaxed
def test_all_others_are_read_wherever_malformed_rows_are(tmp_path, monkeypatch, good, wrong, chunk):
    monkeypatch.setattr(read, "CHUNK", chunk)
    lines = [f"{number},{number + 1}" for number in good]
    for place, line in wrong:
        lines.insert(place, line)
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "".join(f"{line}\n" for line in lines))
    if not good:
        with pytest.raises(ReadError, match="no rows"):
            read_table(path, faults=Faults())
        return
    table, faults = read_skipping(path)
    assert table["a"].to_list() == good
    assert faults.rows == len(wrong)


@given(st.binary(max_size=200), st.integers(1, 50))
@relaxed
def test_any_bytes_are_a_table_or_a_clear_error(tmp_path, monkeypatch, content, chunk):
    monkeypatch.setattr(read, "CHUNK", chunk)
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n" + content)
    try:
        read_skipping(path)
    except FlowmintError as error:
        assert "\n" not in str(error)


def test_faults_of_all_files_are_counted(tmp_path):
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "a.csv").write_text("x,y\n1,2\n")
    (folder / "b.csv").write_text("x,y\n1\n3,4\n5\n")
    (folder / "c.csv").write_text("x,y\n1\n3,4\n")
    faults = Faults()
    assert read_table(folder, label_from_name=True, faults=faults).height == 3
    assert faults.rows == 3
    assert faults.first.startswith(f"{folder / 'b.csv'}: line 2")


def test_a_file_that_is_read_again_counts_its_faults_once(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "CHUNK", 8)
    path = tmp_path / "table.csv"
    path.write_text("port,b\n007,x\n80,y\nhttp\nhttp,z\nssh,z\nftp,z\n")
    table, faults = read_skipping(path)
    assert table["port"].to_list() == ["007", "80", "http", "ssh", "ftp"]
    assert faults.rows == 1
