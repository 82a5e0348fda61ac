"""Many rows are minted part by part, and an interrupted folder is finished as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowmint import parts
from flowmint.errors import LabelError, SettingError, WriteError
from flowmint.generators import Oversampler, load_generator
from flowmint.parts import MANIFEST, Part, Request, Wanted, mint_file, mint_folder, usual_workers
from flowmint.progress import SILENT


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng = np.random.default_rng(0)
    rows = 60
    table = pl.DataFrame(
        {
            "size": rng.normal(size=rows),
            "packets": rng.integers(1, 9, rows),
            "service": pl.Series(rng.choice(["dns", "http"], rows), dtype=pl.Enum(["dns", "http", "ntp"])),
            "tag": pl.Series(rng.choice(["a", "b"], rows), dtype=pl.Categorical),
        }
    )
    folder = tmp_path_factory.mktemp("parts") / "model"
    Oversampler(method="smote", rules="none").fit(table, ["benign", "attack"] * (rows // 2)).save(folder)
    return folder


WANTED = Wanted(rows=25, class_name="attack", part_rows=10, seed=3)


def mint(model, out, *, progress=SILENT, **changes):
    return mint_folder(model, out, replace(WANTED, **changes), progress=progress)


def read(folder):
    return pl.concat([pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))])


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class StoppedError(Exception):
    pass


class Stopping:
    """A progress that stops the work after so many rows."""

    def __init__(self, rows):
        self.left = rows

    def stage(self, *_, **__):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def advance(self, amount):
        self.left -= amount
        if self.left < 0:
            raise StoppedError


def test_a_folder_holds_all_rows_and_names_its_parts(model, tmp_path):
    assert mint(model, tmp_path / "minted") == 25
    assert read(tmp_path / "minted").height == 25
    manifest = json.loads((tmp_path / "minted" / MANIFEST).read_text())
    assert manifest["parts"] == {"part-00000.parquet": 10, "part-00001.parquet": 10, "part-00002.parquet": 5}
    assert manifest["request"]["rows"] == 25


@pytest.mark.parametrize("stopped", [3, 12, 24])
def test_an_interrupted_folder_is_finished_as_if_nothing_had_happened(model, tmp_path, stopped):
    mint(model, tmp_path / "whole")
    with pytest.raises(StoppedError):
        mint(model, tmp_path / "stopped", progress=Stopping(stopped))
    assert mint(model, tmp_path / "stopped") == 25 - stopped // 10 * 10
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["cut", "absent"])
def test_a_damaged_part_is_minted_anew(model, tmp_path, damage):
    mint(model, tmp_path / "minted")
    before, part = contents(tmp_path / "minted"), tmp_path / "minted" / "part-00001.parquet"
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:-9])
    else:
        part.unlink()
    assert mint(model, tmp_path / "minted") == 15
    assert contents(tmp_path / "minted") == before


def test_a_finished_folder_is_left_as_it_is(model, tmp_path):
    mint(model, tmp_path / "minted")
    assert mint(model, tmp_path / "minted") == 0


@pytest.mark.parametrize(
    ("changes", "told"), [({"rows": 26}, "rows"), ({"seed": 4}, "seed"), ({"class_name": "benign"}, "class_name")]
)
def test_a_folder_of_another_request_is_refused(model, tmp_path, changes, told):
    mint(model, tmp_path / "minted")
    before = contents(tmp_path / "minted")
    with pytest.raises(WriteError, match=f"another {told}"):
        mint(model, tmp_path / "minted", **changes)
    assert contents(tmp_path / "minted") == before


def test_a_folder_of_another_model_is_refused(model, tmp_path):
    mint(model, tmp_path / "minted")
    load_generator(model).set_params(seed=9).save(tmp_path / "other")
    with pytest.raises(WriteError, match="another model"):
        mint(tmp_path / "other", tmp_path / "minted")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"request": 3, "parts": []}', '{"request": {}, "parts": 3}'])
def test_a_damaged_manifest_is_refused(model, tmp_path, text):
    mint(model, tmp_path / "minted")
    (tmp_path / "minted" / MANIFEST).write_text(text)
    with pytest.raises(WriteError, match=r"damaged|begun with another"):
        mint(model, tmp_path / "minted")


def test_a_folder_with_other_files_and_a_file_are_refused(model, tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(WriteError, match="is a file"):
        mint(model, tmp_path / "notes")
    with pytest.raises(WriteError, match="other files in it"):
        mint(model, tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "notes"]


@pytest.mark.parametrize("name", ["minted.parquet", "minted.csv", "minted.csv.gz", "minted.csv.zst"])
def test_a_file_holds_the_rows_of_a_folder(model, tmp_path, name):
    mint(model, tmp_path / "minted", label="Label")
    assert mint_file(model, tmp_path / name, replace(WANTED, label="Label")) == 25
    whole = read(tmp_path / "minted")
    if name.endswith(".parquet"):
        assert_frame_equal(pl.read_parquet(tmp_path / name), whole)
    else:
        own = pl.read_csv(tmp_path / name)
        assert_frame_equal(own, whole.cast({"service": pl.String, "tag": pl.String}))
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["minted", name])


def test_one_part_is_what_sampling_gives(model, tmp_path):
    mint_file(model, tmp_path / "minted.parquet", Wanted(rows=7, class_name="attack", seed=5))
    expected = load_generator(model).sample_table(7, label="attack", seed=5)
    assert_frame_equal(pl.read_parquet(tmp_path / "minted.parquet"), expected)


def test_parts_differ(model, tmp_path):
    mint(model, tmp_path / "minted", rows=20)
    first, second = (pl.read_parquet(tmp_path / "minted" / f"part-0000{number}.parquet") for number in (0, 1))
    assert not first.equals(second)


def test_an_interrupted_file_leaves_nothing(model, tmp_path):
    with pytest.raises(StoppedError):
        mint_file(model, tmp_path / "m.parquet", WANTED, progress=Stopping(12))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_minted_is_refused_before_anything_is_made(model, tmp_path):
    for changes, error in (
        ({"class_name": "atack"}, LabelError),
        ({"class_name": None}, LabelError),
        ({"label": "size"}, SettingError),
        ({"rows": 0}, SettingError),
        ({"part_rows": 0}, SettingError),
    ):
        with pytest.raises(error):
            mint(model, tmp_path / "minted", **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [2, 9])
def test_processes_mint_what_one_does(model, tmp_path, workers, watch):
    mint(model, tmp_path / "one")
    assert mint_folder(model, tmp_path / "many", WANTED, workers=workers, progress=watch) == 25
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert watch.stages == [("sampling", 25, "rows")]
    assert sum(watch.done) == 25


@pytest.mark.parametrize("name", ["minted.parquet", "minted.csv"])
def test_a_file_that_processes_mint_is_that_of_one(model, tmp_path, name):
    mint_file(model, tmp_path / f"one-{name}", WANTED)
    assert mint_file(model, tmp_path / name, WANTED, workers=2) == 25
    assert (tmp_path / name).read_bytes() == (tmp_path / f"one-{name}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_processes_finish_what_one_began(model, tmp_path):
    mint(model, tmp_path / "whole")
    with pytest.raises(StoppedError):
        mint(model, tmp_path / "stopped", progress=Stopping(12))
    assert mint_folder(model, tmp_path / "stopped", WANTED, workers=2) == 15
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert mint_folder(model, tmp_path / "stopped", WANTED, workers=2) == 0


def test_processes_that_are_interrupted_leave_whole_parts_only(model, tmp_path):
    mint(model, tmp_path / "whole")
    with pytest.raises(StoppedError):
        mint_folder(model, tmp_path / "stopped", WANTED, workers=2, progress=Stopping(12))
    left = contents(tmp_path / "stopped")
    assert not [name for name in left if name.startswith(".")]
    assert all(contents(tmp_path / "whole")[name] == left[name] for name in left if name != MANIFEST)
    mint_folder(model, tmp_path / "stopped", WANTED, workers=2)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_file_that_processes_were_interrupted_at_leaves_nothing(model, tmp_path):
    with pytest.raises(StoppedError):
        mint_file(model, tmp_path / "m.parquet", WANTED, workers=2, progress=Stopping(12))
    assert not list(tmp_path.iterdir())


def test_a_process_that_dies_is_told_with_what_helps(tmp_path):
    request = Request(model="m", rows=9, class_name="a", label=None, seed=0, part_rows=3, quality=None, device="cpu")
    with pytest.raises(WriteError, match=r"minted part 2 was killed.*fewer --workers.*repeat"):
        parts._lost(Part(tmp_path, tmp_path, request, 2, kept=True), "was killed")


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two"])
def test_workers_that_cannot_be_are_refused(model, tmp_path, workers):
    with pytest.raises(SettingError, match="workers is"):
        mint_folder(model, tmp_path / "minted", WANTED, workers=workers)
    assert not list(tmp_path.iterdir())


def test_on_a_gpu_one_process_mints():
    request = Request(
        model="m", rows=10**9, class_name="a", label=None, seed=0, part_rows=10**6, quality=None, device="cuda"
    )
    assert usual_workers(request) == 1
    with pytest.raises(SettingError, match="GPU"):
        parts._workers(2, request)


@pytest.mark.parametrize(("count", "threads", "expected"), [(1, 4, 1), (3, 4, 1), (4, 4, 2), (100, 4, 4), (100, 64, 8)])
def test_processes_are_started_where_they_pay(monkeypatch, count, threads, expected):
    monkeypatch.setattr(parts.torch, "get_num_threads", lambda: threads)
    request = Request(
        model="m", rows=10 * count, class_name="a", label=None, seed=0, part_rows=10, quality=None, device="cpu"
    )
    assert usual_workers(request) == expected
