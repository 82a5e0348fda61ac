from __future__ import annotations

from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from flowmint.cli.options import OPTIONS, check_folder, check_out, parse_settings, parse_targets
from flowmint.errors import WriteError


def test_no_target_is_none():
    assert parse_targets(None) is None
    assert parse_targets([]) is None


def test_one_number_is_for_every_class():
    assert parse_targets(["10000"]) == 10000


@given(st.dictionaries(st.text(min_size=1), st.integers(min_value=0), min_size=1))
def test_pairs_come_back_whatever_the_names(targets):
    assert parse_targets([f"{name}={rows}" for name, rows in targets.items()]) == targets


@pytest.mark.parametrize("given_targets", [["10", "20"], ["A=1", "20"], ["A=1", "A=2"], ["A="], ["=1"], ["ten"], [""]])
def test_other_targets_are_refused(given_targets):
    with pytest.raises(typer.BadParameter):
        parse_targets(given_targets)


def test_settings_are_numbers_truths_or_texts_as_they_look():
    given = ["effort=0.5", "width=256", "standardised=true", "precision=float32", "steps=1e3"]
    assert parse_settings(given) == {
        "effort": 0.5,
        "width": 256,
        "standardised": True,
        "precision": "float32",
        "steps": 1000.0,
    }
    assert parse_settings(None) == {}


@pytest.mark.parametrize(
    "given", [["width"], ["=3"], ["width="], ["width=8", "width=9"], *([f"{o}=1"] for o in OPTIONS)]
)
def test_other_settings_are_refused(given):
    with pytest.raises(typer.BadParameter, match="--set"):
        parse_settings(given)


@pytest.mark.parametrize("name", ["out.xlsx", "out", "absent/out.csv", "folder.csv"])
def test_an_output_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(WriteError):
        check_out(tmp_path / name)


def test_the_table_that_is_read_is_not_overwritten(tmp_path):
    table = tmp_path / "train.csv"
    table.write_text("a,Label\n1,x\n")
    (tmp_path / "again.csv").symlink_to(table)
    with pytest.raises(WriteError, match="is the table that is read"):
        check_out(tmp_path / "again.csv", source=table)


def test_checking_leaves_nothing_behind(tmp_path):
    check_out(tmp_path / "out.csv")
    check_folder(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_refused():
    with pytest.raises(WriteError):
        check_folder(Path("/proc/model"))
