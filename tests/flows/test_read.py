"""Tables are read as they were written, digit by digit, or refused with a line that says where."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowmint.errors import FlowmintError, LabelError, ReadError, SettingError
from flowmint.flows import read
from flowmint.flows.read import class_of, read_table
from flowmint.flows.write import write_table

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_text(folder: Path, text: str | bytes, **options: Any) -> pl.DataFrame:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)


COLUMNS = {
    "whole numbers": ("1\n-5\n+3\n9223372036854775807", pl.Int64, [1, -5, 3, 2**63 - 1]),
    "large whole numbers": ("0\n18446744073709551615", pl.UInt64, [0, 2**64 - 1]),
    "decimals": ("1\n0.1\n1e-7\n.5", pl.Float64, [1.0, 0.1, 1e-7, 0.5]),
    "infinities": ("1.5\ninf\n-Infinity", pl.Float64, [1.5, float("inf"), float("-inf")]),
    "booleans": ("true\nFalse\nTRUE", pl.Boolean, [True, False, True]),
    "empty cells among numbers": ("1\n\n NA\nNone\n3", pl.Int64, [1, None, None, None, 3]),
    "empty cells among booleans": ("true\nNA", pl.Boolean, [True, None]),
    "spaces around numbers": (" 1\n2 ", pl.Int64, [1, 2]),
    "text": ("tcp\n-\n=1+1\n 7up", pl.String, ["tcp", "-", "=1+1", " 7up"]),
    "empty text and no text": ('tcp\n""\n\nudp', pl.String, ["tcp", "", None, "udp"]),
    "mostly text beside numbers": ("tcp\nudp\n80", pl.String, ["tcp", "udp", "80"]),
    "dates": ("2024-02-29\n2024-03-01", pl.String, ["2024-02-29", "2024-03-01"]),
}


@pytest.mark.parametrize(("cells", "dtype", "values"), COLUMNS.values(), ids=COLUMNS.keys())
def test_what_a_column_holds_is_found_out(tmp_path, cells, dtype, values):
    lines = "".join(f"{cell},x\n" for cell in cells.split("\n"))
    column = read_text(tmp_path, f"a,b\n{lines}")["a"]
    assert column.dtype == dtype
    assert column.to_list() == values


def test_nan_stays_nan_and_differs_from_an_empty_cell(tmp_path):
    column = read_text(tmp_path, "a,b\nNaN,1\n1.5,1\n,1\n")["a"]
    assert column.is_nan().to_list() == [True, False, None]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_pieces_of_any_size_give_the_same_table(tmp_path, monkeypatch, chunk):
    text = 'a,b,"c ""d"""\r\n1,"x, y",true\n\n2,"l\nm",\n-3.5,,false\n,"é✓",\n'
    whole = read_text(tmp_path, text)
    monkeypatch.setattr(read, "CHUNK", chunk)
    assert_frame_equal(read_text(tmp_path, text), whole)
    assert whole.columns == ["a", "b", 'c "d"']
    assert whole.rows() == [
        (1.0, "x, y", True),
        (2.0, "l\nm", None),
        (-3.5, None, False),
        (None, "é✓", None),
    ]


def test_words_that_come_late_make_a_column_text_without_losing_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "CHUNK", 8)
    column = read_text(tmp_path, "port,b\n007,x\n80,y\nhttp,z\nssh,z\nftp,z\n")["port"]
    assert column.to_list() == ["007", "80", "http", "ssh", "ftp"]


@given(
    rows=st.lists(
        st.tuples(TEXT, st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=8
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
    chunk=st.integers(1, 50),
)
@relaxed
def test_what_other_programs_write_comes_back(tmp_path, monkeypatch, rows, delimiter, end, chunk):
    monkeypatch.setattr(read, "CHUNK", chunk)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([["name", "rate", "count"], *rows])
    table = read_text(tmp_path, text.getvalue(), delimiter=delimiter, categorical=["name"])
    assert table["name"].fill_null("").to_list() == [row[0] for row in rows]
    assert table["rate"].to_list() == [row[1] for row in rows]
    assert table["count"].to_list() == [row[2] for row in rows]


@given(st.binary(max_size=200))
@relaxed
def test_any_bytes_are_a_table_or_a_clear_error(tmp_path, content):
    try:
        table = read_text(tmp_path, content)
    except FlowmintError as error:
        assert "\n" not in str(error)
    else:
        assert table.height
        assert table.width


@given(st.binary(max_size=60), st.integers(0, 300), st.sampled_from([".csv.gz", ".csv.zst", ".parquet"]))
@relaxed
def test_a_damaged_file_of_any_kind_is_a_clear_error_or_a_table(tmp_path, noise, cut, extension):
    path = tmp_path / f"table{extension}"
    write_table(pl.DataFrame({"a": [1, 2], "Label": ["x", "y"]}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + noise + whole[cut + len(noise) :])
    try:
        read_table(path)
    except FlowmintError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("extension", [".csv.gz", ".csv.zst", ".parquet"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, extension):
    path = tmp_path / f"table{extension}"
    write_table(pl.DataFrame({"a": range(5000), "b": range(5000, 10000)}), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ReadError, match="cut short"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("a,b\n", ["no rows"]),
        ("a;b\n1;2\n", ["--delimiter ';'"]),
        ("a,b,a\n1,2,3\n", ["'a' is there 2 times"]),
        ("a,b\n1,2\n3\n", ["line 3", "1 cell where the header has 2"]),
        ("a,b\n1,2\n3,4,5\n", ["line 3", "3 cells"]),
        ("a,b\n1,2\n2,2\nfast,2\n", ["line 4", "fast", "'a'", "--categorical 'a'"]),
        ('a,b\n1,"2\n', ["line 2", "never closed"]),
        ('a,b\n1,2"3\n', ["line 2", "quote inside a cell"]),
        (b"a,b\n1,\xff\n", ["line 2", "not UTF-8", "iconv"]),
        (b"a,b\n1,\0\n", ["line 2", "NUL"]),
        (f"a,b\n1,{'x' * 5000}\n", ["line 2", "5,000 characters", "column 2"]),
        ("a,b\n1,18446744073709551616\n2,3\n", ["line 2", "'b'", "64 bits", "--categorical"]),
        ("a,b\n1,18446744073709551615\n2,-3\n", ["line 2", "'b'", "digits"]),
        ("a,b\n1,9007199254740993\n2,3.5\n", ["line 2", "9007199254740993", "digits"]),
        ("a,b\n1,1e999\n2,3.5\n", ["line 2", "1e999"]),
        (b"PK\x03\x04....", ["spreadsheet"]),
        (b"\xd4\xc3\xb2\xa1....", ["captured packets"]),
        ("a,b\n1,2\n".encode("utf-16"), ["UTF-16"]),
    ],
)
def test_a_malformed_csv_is_refused_with_its_line(tmp_path, text, fragments):
    with pytest.raises(ReadError) as caught:
        read_text(tmp_path, text)
    for fragment in ["table.csv", *fragments]:
        assert fragment in str(caught.value)


def test_whole_numbers_and_decimals_of_different_pieces_are_reconciled(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "CHUNK", 4)
    assert read_text(tmp_path, "a,b\n1,1\n2,1\n0.5,1\n")["a"].to_list() == [1.0, 2.0, 0.5]
    with pytest.raises(ReadError, match="more than 16 digits"):
        read_text(tmp_path, "a,b\n9007199254740993,1\n2,1\n0.5,1\n")


def test_a_byte_order_mark_and_spaces_around_names_are_left_out(tmp_path):
    assert read_text(tmp_path, b"\xef\xbb\xbf Rate , Label\n1,x\n").columns == ["Rate", "Label"]


@pytest.mark.parametrize("extension", [".csv", ".csv.gz", ".csv.zst", ".parquet"])
def test_a_label_is_missed_before_anything_is_read(tmp_path, extension):
    path = tmp_path / f"table{extension}"
    write_table(pl.DataFrame({"a": [1], "Label": ["x"]}), path)
    with pytest.raises(LabelError, match="did you mean 'Label'"):
        read_table(path, label="label")


def test_a_label_of_numbers_and_words_is_text(tmp_path):
    assert read_text(tmp_path, "a,y\n1,0\n2,1\n3,1\n4,mirai\n", label="y")["y"].to_list() == ["0", "1", "1", "mirai"]


@pytest.mark.parametrize("option", ["drop", "categorical"])
def test_an_unknown_column_gets_the_nearest_name(tmp_path, option):
    with pytest.raises(SettingError, match=rf"--{option} .*did you mean 'Rate'"):
        read_text(tmp_path, "Rate,b\n1,2\n", **{option: ["Rte"]})


def test_the_label_cannot_be_dropped(tmp_path):
    with pytest.raises(SettingError, match="cannot be dropped"):
        read_text(tmp_path, "a,y\n1,2\n", label="y", drop=["y"])


@pytest.mark.parametrize("extension", [".csv", ".parquet"])
def test_columns_are_dropped_and_taken_for_names(tmp_path, extension):
    path = tmp_path / f"table{extension}"
    write_table(pl.DataFrame({"a": [1, 2], "b": [10, 20], "c": [1, 2]}), path)
    table = read_table(path, drop=["a"], categorical=["b"])
    assert table.to_dict(as_series=False) == {"b": ["10", "20"], "c": [1, 2]}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Mirai-greip_flood21.pcap.csv", "Mirai-greip_flood"),
        ("BenignTraffic.pcap.csv", "BenignTraffic"),
        ("DDoS-SYN_Flood-3.csv.gz", "DDoS-SYN_Flood"),
        ("Recon.Scan 12.parquet", "Recon.Scan"),
        ("XSS.PCAP.CSV", "XSS"),
    ],
)
def test_the_class_comes_from_the_files_name(tmp_path, file, name):
    assert class_of(tmp_path / file) == name


def test_a_name_that_is_a_number_alone_is_no_class(tmp_path):
    with pytest.raises(LabelError, match="holds no class"):
        class_of(tmp_path / "12.pcap.csv")


class TestAFolder:
    """A folder of captures is one table."""

    def test_is_read_in_the_order_of_its_names(self, tmp_path):
        (tmp_path / "b1.pcap.csv").write_text("x,y\n3,0.5\n")
        (tmp_path / "a2.pcap.csv").write_text("y,x\n1,2\n")
        (tmp_path / "b2.pcap.csv.gz").write_bytes(gzip.compress(b"x,y\n4,1\n"))
        (tmp_path / ".hidden.csv").write_text("z\n1\n")
        (tmp_path / "README.md").write_text("# Captures")
        table = read_table(tmp_path, label_from_name=True)
        assert table.columns == ["y", "x", "Label"]
        assert table.rows() == [(1.0, 2, "a"), (0.5, 3, "b"), (1.0, 4, "b")]

    def test_of_different_columns_is_refused(self, tmp_path):
        (tmp_path / "a.csv").write_text("x,y\n1,2\n")
        (tmp_path / "b.csv").write_text("x,z\n1,2\n")
        with pytest.raises(ReadError, match=r"b\.csv has other columns than .*a\.csv: missing 'y'; unexpected 'z'"):
            read_table(tmp_path, label_from_name=True)

    def test_of_different_kinds_is_refused(self, tmp_path):
        (tmp_path / "a.csv").write_text("x\n1\n")
        (tmp_path / "b.csv").write_text("x\nfast\n")
        with pytest.raises(ReadError, match="'x' is String instead of Int64"):
            read_table(tmp_path, label_from_name=True)

    def test_of_whole_numbers_that_decimals_cannot_hold_is_refused(self, tmp_path):
        (tmp_path / "a.csv").write_text("x\n0.5\n")
        (tmp_path / "b.csv").write_text("x\n9007199254740993\n")
        with pytest.raises(ReadError, match="too many digits"):
            read_table(tmp_path, label_from_name=True)

    def test_without_tables_is_refused(self, tmp_path):
        with pytest.raises(ReadError, match="holds no tables"):
            read_table(tmp_path)

    def test_whose_files_have_a_label_already_is_refused(self, tmp_path):
        (tmp_path / "a.csv").write_text("x,Label\n1,2\n")
        with pytest.raises(LabelError, match="'Label' already"):
            read_table(tmp_path, label_from_name=True)

    def test_of_real_captures_has_its_rows_and_classes(self, real_data):
        table = read_table(real_data / "captures" / "ciciot2023", label_from_name=True)
        assert table.shape == (69_704, 40)
        assert "Mirai-greip_flood" in table["Label"]
        assert table["Rate"].is_infinite().sum() == 4


def test_a_misspelt_file_gets_the_nearest_name(tmp_path):
    (tmp_path / "train.csv").write_text("a\n1\n")
    with pytest.raises(ReadError, match=r"did you mean 'train\.csv'"):
        read_table(tmp_path / "trian.csv")


def test_a_column_of_lists_is_refused_by_name(tmp_path):
    path = tmp_path / "table.parquet"
    pl.DataFrame({"a": [[1, 2]]}).write_parquet(path)
    with pytest.raises(ReadError, match=r"'a'.*--drop 'a'"):
        read_table(path)


def test_a_long_cell_in_a_parquet_is_refused(tmp_path):
    path = tmp_path / "table.parquet"
    pl.DataFrame({"a": ["x" * 1_000_000]}).write_parquet(path)
    with pytest.raises(ReadError, match="1,000,000 characters"):
        read_table(path)


def test_progress_counts_the_bytes_of_all_files(tmp_path, watch):
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n1\n2\n")
    write_table(pl.DataFrame({"x": [1]}), tmp_path / "c.parquet")
    with pa.CompressedOutputStream(str(tmp_path / "d.csv.zst"), "zstd") as stream:
        stream.write(b"x\n5\n")
    read_table(tmp_path, label_from_name=True, progress=watch)
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert watch.stages == [("reading", total, "bytes")]
    assert sum(watch.done) == total


def test_each_row_can_tell_its_file(tmp_path):
    for name in ("Scan1.csv", "Scan2.csv"):
        (tmp_path / name).write_text("x\n1\n2\n")
    table = read_table(tmp_path, label_from_name=True, capture="file")
    assert table["file"].to_list() == ["Scan1.csv"] * 2 + ["Scan2.csv"] * 2
    with pytest.raises(ReadError, match="has a column 'x' already"):
        read_table(tmp_path, capture="x")
