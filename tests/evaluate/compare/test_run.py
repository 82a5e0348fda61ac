"""A comparison splits first, keeps what is finished, goes on after a stop, and outlives a generator that fails."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from flowmint.errors import ReadError, SettingError, WriteError
from flowmint.evaluate.compare import ALL_REAL, NONE, compare, failed
from flowmint.evaluate.compare import run as run_module
from flowmint.evaluate.compare.cell import lost, run_job
from flowmint.evaluate.compare.run import make_jobs
from flowmint.generators import GENERATORS, Oversampler


class Failing(Oversampler):
    """Fails while it fits, for one seed."""

    def _fit(self, *args, **options):
        if self.seed == 1:
            message = "no luck\nwith this seed"
            raise RuntimeError(message)
        super()._fit(*args, **options)


@pytest.fixture
def ran(monkeypatch):
    """The jobs that are really run, by generator, rows and seed."""
    seen = []

    def count(job):
        seen.append((job.generator, job.rows, job.seed))
        return run_job(job)

    monkeypatch.setattr(run_module, "run_job", count)
    return seen


def strip(comparison):
    """Leave out what a clock measures."""
    return [replace(c, seconds=0, fit_seconds=None, rows_per_second=None, peak_mib=None) for c in comparison.cells]


def test_every_cell_is_there_and_all_real_rows_once_a_seed(task, plan):
    found = compare([task], plan).comparison
    assert len(found.cells) == 2 * 2 * 2 + 2
    assert [c.rows for c in found.cells if c.generator == ALL_REAL] == [None, None]
    cell = next(c for c in found.cells if (c.generator, c.rows) == ("random_oversampling", 10))
    assert (cell.attack_rows, cell.benign_rows, cell.minted_rows) == (10, 60, 50)
    assert set(cell.detectors) == {"logistic regression"}
    assert cell.rows_per_second > 0
    assert cell.fit_seconds >= 0
    assert found.tasks[0].benign == "Benign"
    assert found.tasks[0].shortcuts == ("Number",)


def test_the_same_plan_gives_the_same_results(task, plan):
    assert strip(compare([task], plan).comparison) == strip(compare([task], plan).comparison)


def test_shortcuts_are_dropped_in_runs_of_their_own(task, plan):
    both = replace(plan, shortcuts=("kept", "dropped"), rows=(5,), seeds=(0,), generators=(NONE,))
    kept, dropped = compare([task], both).comparison.cells
    assert (kept.shortcuts, dropped.shortcuts) == ("kept", "dropped")
    assert kept.mean("f1") == 1
    assert dropped.mean("f1") < 1


def test_a_task_without_shortcuts_runs_once(task, plan):
    clean = replace(task, table=task.table.drop("Number"))
    both = replace(plan, shortcuts=("kept", "dropped"), rows=(5,), seeds=(0,), generators=(NONE,))
    assert [c.shortcuts for c in compare([clean], both).comparison.cells] == ["kept"]


def test_a_task_of_shortcuts_alone_is_refused_without_them(task, plan):
    bare = replace(task, table=task.table.select("Number", "Label"))
    with pytest.raises(SettingError, match="every column alone separates"):
        compare([bare], replace(plan, shortcuts=("dropped",)))


def test_a_run_goes_on_where_it_stopped(task, plan, tmp_path, ran, monkeypatch):
    first = replace(plan, generators=(NONE,))
    compare([task], first, store=tmp_path / "cells")
    assert len(ran) == 4
    whole = compare([task], plan, store=tmp_path / "cells").comparison
    assert len(ran) == 10
    again = compare([task], plan, store=tmp_path / "cells")
    assert len(ran) == 10
    assert again.comparison.cells == whole.cells
    assert strip(whole) == strip(compare([task], plan).comparison)


def test_an_interruption_keeps_what_is_finished(task, plan, tmp_path, monkeypatch):
    done = []

    def stop(job):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(job)
        return run_job(job)

    monkeypatch.setattr(run_module, "run_job", stop)
    with pytest.raises(KeyboardInterrupt):
        compare([task], plan, store=tmp_path / "cells")
    assert len(list((tmp_path / "cells").glob("*.json"))) == 3
    assert not list((tmp_path / "cells").glob(".*"))


def test_other_data_or_settings_are_other_cells(task, plan, tmp_path, ran):
    one = replace(plan, rows=(5,), seeds=(0,), generators=("random_oversampling",))
    compare([task], one, store=tmp_path)
    changed = replace(task, table=task.table.with_columns(Rate=pl.col("Rate") + 1))
    compare([changed], one, store=tmp_path)
    compare([task], replace(one, most=50), store=tmp_path)
    compare([task], replace(one, settings={"random_oversampling": {"missing": "drop"}}), store=tmp_path)
    assert len(ran) == 4
    compare([task], replace(one, settings={"smote": {"neighbours": 2}}), store=tmp_path)
    assert len(ran) == 4


def test_other_rules_are_other_cells_of_generators_alone(task, plan, tmp_path, ran):
    one = replace(plan, rows=(5,), seeds=(0,), generators=(NONE, "random_oversampling"))
    own = tmp_path / "rules.toml"
    plans = (one, replace(one, rules="none"), replace(one, rules=str(own)), replace(one, rules=str(own)))
    for least, each in enumerate((*plans, replace(one, rules=str(own), force_rules=True))):
        own.write_text(f'format = 1\n[[rules]]\nname = "least"\nrule = "Number >= -{min(least, 3) + 1}"\n')
        compare([task], each, store=tmp_path / "cells")
    assert [name for name, _, _ in ran] == [NONE, *["random_oversampling"] * 5]


def test_a_damaged_cell_is_refused_by_its_name(task, plan, tmp_path):
    one = replace(plan, rows=(5,), seeds=(0,), generators=(NONE,))
    compare([task], one, store=tmp_path)
    (cell,) = tmp_path.glob("*.json")
    cell.write_text("{}")
    with pytest.raises(ReadError, match=cell.name):
        compare([task], one, store=tmp_path)


def test_a_file_in_place_of_the_store_is_refused(task, plan, tmp_path):
    (tmp_path / "cells").write_text("x")
    with pytest.raises(WriteError, match="cannot keep cells"):
        compare([task], plan, store=tmp_path / "cells")


def test_class_names_of_any_kind_become_harmless_file_names(task, plan, tmp_path):
    hostile = "../<b>ünï/\x00"
    table = task.table.with_columns(Label=pl.col("Label").replace("Scan", hostile))
    one = replace(plan, rows=(5,), seeds=(0,), generators=(NONE,))
    compare([replace(task, name=hostile, table=table, attack=hostile)], one, store=tmp_path / "cells")
    assert len(list((tmp_path / "cells").iterdir())) == 1


def test_one_generator_failing_leaves_the_others(task, plan, tmp_path, monkeypatch):
    monkeypatch.setitem(GENERATORS, "smote", Failing)
    two = replace(plan, rows=(5,), generators=(NONE, "smote"))
    found = compare([task], two, store=tmp_path).comparison
    assert [(c.generator, c.seed, c.error) for c in found.failures] == [("smote", 1, "RuntimeError: no luck")]
    assert failed(found.cells) == ("smote failed in 1 of 2 cells of scan: RuntimeError: no luck",)
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_rows_to_look_at_are_kept_of_one_cell(task, plan, tmp_path, ran):
    one = replace(plan, rows=(5, 10))
    first = compare([task], one, store=tmp_path)
    (shown,) = first.shown
    assert (shown.generator, shown.rows, shown.seed) == ("random_oversampling", 10, 0)
    assert shown.real.columns == shown.minted.columns == shown.train.columns
    assert shown.train.height == 10
    before = len(ran)
    (again,) = compare([task], one, store=tmp_path).shown
    assert len(ran) == before
    assert again.minted.equals(shown.minted)


def test_minted_rows_are_scored(task, plan):
    scored = replace(plan, rows=(10,), seeds=(0,), generators=("smote",), families=("distribution",))
    found = compare([task], scored).comparison
    names = {score.name for score in found.cells[0].scores}
    assert "column_error" in names
    assert {about.name for about in found.scores} == names


def test_columns_that_never_vary_leave_a_note_in_place_of_scores(task, plan):
    flat = replace(task, table=task.table.with_columns(pl.lit(1.0).alias(c) for c in ("Rate", "Std", "Protocol")))
    scored = replace(plan, rows=(5,), seeds=(0,), generators=("smote",), families=("distribution",))
    (cell,) = compare([flat], scored).comparison.cells
    assert cell.error is not None
    assert "no test row" in cell.error


def test_more_rows_than_there_are_is_refused_at_once(task, plan):
    with pytest.raises(SettingError, match=r"41 real rows of 'Scan' .* has 40"):
        compare([task], replace(plan, rows=(41,)))


def test_bad_questions_are_refused(task, plan):
    with pytest.raises(SettingError, match="name of its own"):
        compare([task, task], plan)
    with pytest.raises(SettingError, match="at least one"):
        compare([], plan)
    with pytest.raises(SettingError, match="workers"):
        compare([task], plan, workers=0)


@pytest.mark.parametrize("rule", ["block", "group:Device"])
def test_other_splits_run_and_their_column_is_no_feature(task, plan, rule):
    table = task.table.with_columns(Device=pl.int_range(pl.len()) % 8)
    one = replace(plan, split=rule, rows=(5,), seeds=(0,), generators=(NONE,))
    found = compare([replace(task, table=table)], one).comparison
    assert ("Device" in found.tasks[0].columns) == (rule == "block")
    assert found.failures == ()


def test_workers_give_what_one_process_gives(task, plan):
    one = replace(plan, rows=(5,), generators=(NONE, "smote"))
    alone, beside = compare([task], one).comparison, compare([task], one, workers=2).comparison
    assert strip(alone) == strip(beside)


def test_a_cell_whose_process_died_tells_how(task, plan, tmp_path):
    job = make_jobs(run_module._prepare(task, plan, tmp_path / "t.parquet", run_module.SILENT), plan)[0]
    outcome = lost(job, "was killed, most likely for its memory")
    assert outcome.cell == replace(job.empty, error=outcome.cell.error)
    assert (
        outcome.cell.error == "its process was killed, most likely for its memory; give fewer rows, or fewer --workers"
    )


def test_progress_counts_cells_still_to_do(task, plan, tmp_path, watch):
    one = replace(plan, rows=(5,), seeds=(0,), generators=(NONE,))
    compare([task], one, store=tmp_path)
    two = replace(plan, rows=(5,), seeds=(0, 1), generators=(NONE,))
    compare([task], two, store=tmp_path, progress=watch)
    assert ("cells", 1, "cells") in watch.stages


def test_jobs_follow_the_plan(task, plan, tmp_path):
    prepared = run_module._prepare(task, plan, tmp_path / "t.parquet", run_module.SILENT)
    jobs = make_jobs(prepared, plan)
    assert len(jobs) == len({(j.generator, j.rows, j.seed, j.shortcuts) for j in jobs}) == 10
    assert sum(job.show for job in jobs) == 1
