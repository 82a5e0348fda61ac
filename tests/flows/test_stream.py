"""A stream gives the rows that reading gives, batch by batch, and sees when a file changes meanwhile."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowmint.errors import FlowmintError, LabelError, ReadError, WriteError
from flowmint.flows import read, stream
from flowmint.flows.faults import Faults
from flowmint.flows.read import read_table
from flowmint.flows.stream import estimate_bytes, is_large, open_stream
from flowmint.flows.write import write_table

if TYPE_CHECKING:
    from pathlib import Path

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)

CELLS = st.sampled_from(["", "1", "2.5", "-7", "NaN", "inf", "NA", "true", "tcp", '""', "9007199254740993", " 3 "])

EVERY_KIND = pl.DataFrame(
    {
        "enum": pl.Series(["a", "b", None], dtype=pl.Enum(["b", "a", "c"])),
        "categories": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
        "day": pl.Series([1, 2, None]).cast(pl.Date),
        "time": pl.Series([1, 2, 3]).cast(pl.Time),
        "moment": pl.Series([1, 2, 3]).cast(pl.Datetime("ms", "UTC")),
        "spell": pl.Series([1, 2, 3]).cast(pl.Duration("us")),
        "small": pl.Series([1, 2, 255], dtype=pl.UInt8),
        "large": pl.Series([0, 1, 2**64 - 1], dtype=pl.UInt64),
        "half": pl.Series([1.5, float("nan"), None], dtype=pl.Float32),
        "flag": [True, None, False],
        "text": ["", None, "é"],
        "a.b": [1, 2, 3],
        "a": [4, 5, 6],
    }
)


def streamed(path: Path, folder: Path, **options: Any) -> pl.DataFrame:
    """All batches of a stream, put together."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    with open_stream(path, scratch=scratch, **options) as source:
        table = pl.concat(list(source.batches()))
        assert_frame_equal(table, pl.concat(list(source.batches())))  # a second pass is the same
        assert table.height == source.rows
        assert dict(table.schema) == source.schema
    assert list(scratch.iterdir()) == []
    return table


@given(
    cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12),
    chunk=st.integers(1, 40),
    batch=st.integers(1, 5),
)
@relaxed
def test_a_csv_is_read_as_ever_or_refused_with_the_same_words(tmp_path, monkeypatch, cells, chunk, batch):
    monkeypatch.setattr(read, "CHUNK", chunk)
    monkeypatch.setattr(stream, "BATCH_ROWS", batch)
    path = tmp_path / "table.csv"
    path.write_text("a,b,Label\n" + "".join(f"{a},{b},x\n" for a, b in cells), encoding="utf-8")
    try:
        table = read_table(path, label="Label")
    except FlowmintError as error:
        with pytest.raises(type(error)) as caught:
            streamed(path, tmp_path, label="Label")
        assert str(caught.value) == str(error)
    else:
        assert_frame_equal(streamed(path, tmp_path, label="Label"), table)


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_parquet_of_every_kind_is_read_as_ever(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(stream, "BATCH_ROWS", batch)
    path = tmp_path / "table.parquet"
    EVERY_KIND.write_parquet(path)
    options = {"drop": ["flag"], "categorical": ["small"]}
    assert_frame_equal(streamed(path, tmp_path, **options), read_table(path, **options))


@pytest.mark.parametrize("extension", [".csv", ".csv.gz", ".csv.zst", ".parquet"])
def test_every_format_is_streamed(tmp_path, extension):
    path = tmp_path / f"table{extension}"
    write_table(pl.DataFrame({"x": [1.5, None, 3], "Label": ["a", "b", "a"]}), path)
    assert_frame_equal(streamed(path, tmp_path), read_table(path))


def test_a_folder_of_captures_is_read_as_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 2)
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "b1.pcap.csv").write_text("x,y\n3,0.5\n")
    (folder / "a2.pcap.csv").write_text("y,x\n1,2\n7,8\n9,1\n")
    (folder / "b2.pcap.csv.gz").write_bytes(gzip.compress(b"x,y\n4,1\n"))
    pl.DataFrame({"x": [6], "y": [2.5]}).write_parquet(folder / "c.parquet")
    table = read_table(folder, label_from_name=True)
    assert_frame_equal(streamed(folder, tmp_path, label_from_name=True), table)


def test_batches_are_even_however_row_groups_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 4)
    path = tmp_path / "table.parquet"
    pl.DataFrame({"x": range(11)}).write_parquet(path, row_group_size=3)
    with open_stream(path, scratch=tmp_path) as source:
        assert [batch.height for batch in source.batches()] == [4, 4, 3]
        assert [batch["x"].to_list() for batch in source.batches(["x"])][2] == [8, 9, 10]


def joined(batches, told):
    return pl.concat(list(batches)), told


@given(
    heights=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    group=st.integers(1, 50),
    batch=st.integers(1, 9),
    piece=st.sampled_from([1, 2, 4]),
    columns=st.sampled_from([None, ["x"], ["y", "x"], ["Label"]]),
)
@relaxed
def test_pieces_hold_all_rows_in_order_however_files_and_row_groups_are_cut(
    tmp_path, monkeypatch, elsewhere, heights, group, batch, piece, columns
):
    monkeypatch.setattr(stream, "BATCH_ROWS", batch)
    monkeypatch.setattr(stream, "PIECE_BATCHES", piece)
    folder = tmp_path / "captures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    heights = [*heights, 3]
    for number, rows in enumerate(heights):
        values = {"x": range(rows), "y": [str(number)] * rows}
        table = pl.DataFrame(values, schema={"x": pl.Int64, "y": pl.String})
        table.write_parquet(folder / f"a{number}.parquet", row_group_size=group)
    options = {"scratch": tmp_path, "label_from_name": True}
    with open_stream(folder, **options) as source, open_stream(folder, runner=elsewhere, **options) as pieces:
        whole = pl.concat(list(source.batches(columns)))
        size = batch * piece
        told = [str(number) for number in range(-(-whole.height // size))]
        found = list(pieces.gather(joined, told, columns=columns))
        assert [each for _, each in found] == told
        assert all(table.height == size for table, _ in found[:-1])
        assert_frame_equal(pl.concat([table for table, _ in found]), whole)
        ((table, nothing),) = source.gather(joined, columns=columns)
        assert_frame_equal(table, whole)
        assert nothing is None


def test_csv_files_are_read_elsewhere_as_here(tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(stream, "BATCH_ROWS", 2)
    monkeypatch.setattr(stream, "PIECE_BATCHES", 1)
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "a1.csv").write_text("x,y\n1,2\nword,3\n4,5,6\n7,8\n")
    (folder / "b1.csv").write_text("x,y\n1,2\n3\n5,0.5\n")
    pl.DataFrame({"x": [6], "y": [2.5]}).write_parquet(folder / "c.parquet")
    found = []
    for runner in (None, elsewhere):
        faults = Faults()
        with open_stream(folder, scratch=tmp_path, label_from_name=True, faults=faults, runner=runner) as source:
            found.append((pl.concat([table for table, _ in source.gather(joined)]), faults))
    assert found[0][1] == found[1][1]
    assert found[0][1].rows == 3
    assert_frame_equal(found[0][0], found[1][0])


@pytest.mark.parametrize("kind", ["table.csv", "table.parquet"])
def test_a_table_that_another_machine_does_not_see_is_told(tmp_path, elsewhere, kind):
    path = tmp_path / kind
    write_table(pl.DataFrame({"x": [1], "Label": ["a"]}), path)

    def blind(work, jobs):
        shutil.move(path, tmp_path / "hidden")
        return elsewhere(work, jobs)

    with (
        pytest.raises(ReadError, match=rf"{kind} is not there on .*, which was to read it; keep the table,"),
        open_stream(path, scratch=tmp_path, runner=blind) as source,
    ):
        list(source.gather(joined))


def test_the_class_alone_is_read_without_the_other_columns(tmp_path):
    folder = tmp_path / "captures"
    folder.mkdir()
    for name, rows in (("a1", 3), ("b1", 2)):
        pl.DataFrame({"x": range(rows)}).write_parquet(folder / f"{name}.parquet")
    with open_stream(folder, scratch=tmp_path, label_from_name=True) as source:
        assert [batch["Label"].to_list() for batch in source.batches(["Label"])] == [["a"] * 3 + ["b"] * 2]


def test_large_tables_are_told_by_their_files_alone(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    pl.DataFrame({"x": range(100), "y": range(100)}).write_parquet(path)
    assert estimate_bytes(path) == 1600
    monkeypatch.setattr(stream, "STREAM_BYTES", 1599)
    assert is_large(path)
    monkeypatch.setattr(stream, "STREAM_BYTES", 1600)
    assert not is_large(path)


def test_progress_tells_bytes_of_csv_files_then_rows_of_each_pass(tmp_path, watch):
    path = tmp_path / "table.csv"
    path.write_text("x\n1\n2\n")
    with open_stream(path, scratch=tmp_path, progress=watch) as source:
        list(source.batches(name="counting", progress=watch))
    assert watch.stages == [("reading", 6, "bytes"), ("counting", 2, "rows")]
    assert sum(watch.done) == 8


class TestBadInput:
    """Files that are wrong, or go wrong while they are read."""

    @pytest.mark.parametrize("how", ["grow", "vanish", "replace"])
    def test_a_parquet_that_changes_between_passes_is_refused(self, tmp_path, how):
        path = tmp_path / "table.parquet"
        pl.DataFrame({"x": range(10)}).write_parquet(path)
        with open_stream(path, scratch=tmp_path) as source:
            list(source.batches())
            if how == "grow":
                pl.DataFrame({"x": range(2000)}).write_parquet(path)
            elif how == "vanish":
                path.unlink()
            else:
                other = tmp_path / "other.parquet"
                other.write_bytes(path.read_bytes())
                other.replace(path)
            with pytest.raises(ReadError, match="vanished" if how == "vanish" else "changed while it was read"):
                list(source.batches())

    def test_a_parquet_that_changes_within_a_pass_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stream, "BATCH_ROWS", 2)
        path = tmp_path / "table.parquet"
        pl.DataFrame({"x": range(10)}).write_parquet(path)
        with open_stream(path, scratch=tmp_path) as source:
            batches = source.batches()
            next(batches)
            os.utime(path, ns=(0, 0))
            with pytest.raises(ReadError, match="it was written or replaced"):
                list(batches)

    @pytest.mark.parametrize("reader", ["whole", "streamed"])
    def test_a_csv_that_grows_while_it_is_read_is_refused(self, tmp_path, monkeypatch, reader):
        path = tmp_path / "table.csv"
        path.write_text("x\n1\n2\n")
        plain = read.Scanner.pieces

        def growing(self, width):
            yield from plain(self, width)
            with path.open("a") as file:
                file.write("3\n")

        monkeypatch.setattr(read.Scanner, "pieces", growing)
        with pytest.raises(ReadError, match=r"changed while it was read \(6 bytes became 8\)"):
            read_table(path) if reader == "whole" else streamed(path, tmp_path)

    def test_a_csv_may_vanish_once_it_was_read(self, tmp_path):
        path = tmp_path / "table.csv"
        path.write_text("x\n1\n2\n")
        with open_stream(path, scratch=tmp_path) as source:
            path.unlink()
            assert next(source.batches())["x"].to_list() == [1, 2]

    def test_a_malformed_line_far_inside_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr(read, "CHUNK", 100)
        path = tmp_path / "table.csv"
        path.write_text("x,y\n" + "1,2\n" * 500 + "1,2,3\n" + "1,2\n" * 500)
        with pytest.raises(ReadError, match="line 502 has 3 cells"):
            streamed(path, tmp_path)

    @pytest.mark.parametrize("cut", [4, 40, 400])
    def test_a_parquet_part_that_is_cut_short_is_refused(self, tmp_path, cut):
        folder = tmp_path / "captures"
        folder.mkdir()
        for name in ("a.parquet", "b.parquet"):
            pl.DataFrame({"x": range(5000), "Label": ["a"] * 5000}).write_parquet(folder / name)
        broken = folder / "b.parquet"
        broken.write_bytes(broken.read_bytes()[:-cut])
        with pytest.raises(ReadError, match=r"b\.parquet is no whole Parquet file .*cut short"):
            streamed(folder, tmp_path)

    def test_a_parquet_whose_pages_are_damaged_is_refused(self, tmp_path):
        path = tmp_path / "table.parquet"
        pl.DataFrame({"x": range(5000)}).write_parquet(path)
        whole = bytearray(path.read_bytes())
        whole[4:400] = b"\xff" * 396
        path.write_bytes(whole)
        with pytest.raises(ReadError, match=r"table\.parquet"):
            streamed(path, tmp_path)

    def test_files_of_other_columns_are_refused_before_any_is_read(self, tmp_path):
        folder = tmp_path / "captures"
        folder.mkdir()
        (folder / "a.csv").write_text("x,y\n1,2\n1\n")  # its last line would be refused
        (folder / "b.csv").write_text("x,z\n1,2\n")
        with pytest.raises(ReadError, match=r"b\.csv has other columns than .*a\.csv: missing 'y'; unexpected 'z'"):
            streamed(folder, tmp_path, label_from_name=True)

    def test_files_of_other_kinds_are_refused_with_the_difference(self, tmp_path):
        folder = tmp_path / "captures"
        folder.mkdir()
        (folder / "a.csv").write_text("x\n1\n")
        (folder / "b.csv").write_text("x\nfast\n")
        with pytest.raises(ReadError, match="'x' is String instead of Int64"):
            streamed(folder, tmp_path, label_from_name=True)

    def test_whole_numbers_that_decimals_of_another_file_cannot_hold_are_refused(self, tmp_path):
        folder = tmp_path / "captures"
        folder.mkdir()
        (folder / "a.csv").write_text("x\n0.5\n")
        (folder / "b.csv").write_text("x\n9007199254740993\n")
        with pytest.raises(ReadError, match="too many digits"):
            streamed(folder, tmp_path, label_from_name=True)

    def test_a_missing_label_is_told_before_anything_is_read(self, tmp_path):
        path = tmp_path / "table.csv"
        path.write_text("x,Label\n1,a\n")
        with pytest.raises(LabelError, match="did you mean 'Label'"):
            streamed(path, tmp_path, label="label")

    @pytest.mark.parametrize("text", ["x,y\n", "x,y\n\n"])
    def test_a_table_without_rows_is_refused(self, tmp_path, text):
        path = tmp_path / "table.csv"
        path.write_text(text)
        with pytest.raises(ReadError, match="no rows"):
            streamed(path, tmp_path)

    def test_a_full_disk_is_told_and_leaves_nothing(self, tmp_path, monkeypatch):
        path = tmp_path / "table.csv"
        path.write_text("x\n1\n2\n")

        def full(self, table):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(WriteError, match=r"scratch folder .* cannot be written: No space left on device"):
            streamed(path, tmp_path)
        assert list((tmp_path / "scratch").iterdir()) == []

    def test_a_scratch_folder_that_takes_no_files_is_told(self, tmp_path):
        path = tmp_path / "table.csv"
        path.write_text("x\n1\n")
        with (
            pytest.raises(WriteError, match="cannot hold scratch files"),
            open_stream(path, scratch=tmp_path / "absent"),
        ):
            pass
