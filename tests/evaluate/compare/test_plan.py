"""Plans are checked before long work, and tasks find their two classes."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from flowmint.errors import LabelError, SettingError
from flowmint.evaluate.compare import Plan, Task


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rows": ()}, "rows is empty"),
        ({"rows": (0,)}, "rows has 0"),
        ({"rows": (5, 5)}, "rows has 5 twice"),
        ({"rows": (2.5,)}, "rows has 2.5"),
        ({"seeds": (-1,)}, "seeds has -1"),
        ({"generators": ("none", "smot")}, "did you mean 'smote'"),
        ({"detectors": ("random forrest",)}, "did you mean 'random forest'"),
        ({"split": "blocks"}, "did you mean 'block'"),
        ({"shortcuts": ("keep",)}, "unknown shortcuts 'keep'"),
        ({"families": ("utility",)}, "unknown family of scores"),
        ({"most": 1}, "most has 1"),
        ({"ours": "latent_diffusion"}, "takes no part"),
        ({"settings": {"smote": {"neighbors": 3}}}, "did you mean 'neighbours'"),
        ({"settings": {"smote": {"neighbours": 0}}}, "from 1 to 1000"),
        ({"settings": {"smoote": {}}}, "did you mean 'smote'"),
    ],
)
def test_a_wrong_setting_is_refused(plan, wrong, told):
    with pytest.raises(SettingError, match=told):
        replace(plan, **wrong).check()


def test_a_usual_plan_is_fine(plan):
    plan.check()
    Plan().check()


def test_settings_reach_the_generator(plan):
    made = replace(plan, settings={"smote": {"neighbours": 3}}).generator("smote", seed=9)
    assert (made.neighbours, made.seed) == (3, 9)


def test_the_benign_class_is_the_largest_other_one(task):
    more = pl.concat([task.table, task.table.tail(5).with_columns(Label=pl.lit("Rare"))])
    narrow = replace(task, table=more).narrowed()
    assert narrow.benign == "Benign"
    assert set(narrow.table["Label"].unique()) == {"Benign", "Scan"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"attack": "scan"}, "did you mean 'Scan'"),
        ({"benign": "Benin"}, "did you mean 'Benign'"),
        ({"benign": "Scan"}, "both attack and benign"),
        ({"label": "label"}, "did you mean 'Label'"),
    ],
)
def test_a_class_that_is_not_there_is_refused(task, wrong, told):
    with pytest.raises(LabelError, match=told):
        replace(task, **wrong).narrowed()


def test_an_attack_alone_is_refused(task):
    alone = task.table.filter(pl.col("Label") == "Scan")
    with pytest.raises(LabelError, match="only class"):
        Task(name="x", table=alone, label="Label", attack="Scan").narrowed()
