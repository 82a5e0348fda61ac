from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from strategies import any_names, conditions, numbers

from flowmint import Rules
from flowmint.errors import RuleError, WriteError
from flowmint.rules.language import Evidence, Rule
from flowmint.rules.parse import parse_condition
from flowmint.rules.store import contents_of, rule_to_json, write_toml

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
evidence = st.none() | st.builds(
    Evidence,
    rows=st.integers(0, 10**9),
    share=st.floats(0, 1),
    slack=st.none() | st.floats(0, 1e300),
    particular=st.booleans(),
)
single = st.builds(
    Rule,
    name=text.filter(bool),
    condition=conditions(any_names, numbers),
    classes=st.lists(text, unique=True, max_size=2).map(tuple),
    why=text,
    evidence=evidence,
)


@settings(max_examples=40)
@given(single)
def test_any_rule_is_written_and_read_back(tmp_path_factory, rule):
    path = tmp_path_factory.getbasetemp() / "one.toml"
    contents = {"format": 1, "title": rule.why, "rules": [rule_to_json(rule)]}
    write_toml(contents, path)
    from flowmint.rules.store import read_toml

    read = contents_of(read_toml(path), "it")
    assert read["rules"] == (rule,)
    assert read["title"] == rule.why
    assert contents_of(json.loads(json.dumps(contents)), "it") == read


def test_rules_are_written_and_read_back(tmp_path):
    ruled = Rules(
        (Rule(name="r", condition=parse_condition("`Tot sum` >= 0"), why='it\'s "so"\n'),),
        name="n",
        title="t",
        columns=("Tot sum", "x"),
        optional=("x",),
        mutable=(),
    )
    ruled.write(tmp_path / "rules.toml")
    assert Rules.read(tmp_path / "rules.toml") == ruled
    assert Rules.from_json(json.loads(json.dumps(ruled.to_json()))) == ruled
    assert list(tmp_path.iterdir()) == [tmp_path / "rules.toml"]


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(WriteError, match="cannot be written"):
        Rules(()).write(tmp_path / "absent" / "rules.toml")


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (None, "cannot be read"),
        (b"\xff", "no TOML file in UTF-8"),
        (b"a = ", "no TOML"),
        (b"", "has the format None"),
        (b"format = 2", "has the format 2"),
        (b"format = 1\nrule = 1", "did you mean 'rules'"),
        (b"format = 1\nrules = 1", "is a list of at most"),
        (b"format = 1\nrules = [1]", "rule 1 is no table"),
        (b"format = 1\n[[rules]]\nname = 'x'", r"rule 1 \('x'\): a rule needs"),
        (b"format = 1\n[[rules]]\nrule = 'a = 1'", "a rule needs a 'name'"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a ='", r"rule 1 \('x'\), at character 4"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 3", "'rule' is '3'; give text"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a = 1'\nweight = 1", "has the key 'weight'"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a = 1'\nclasses = 'c'", "give a list of texts"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a = 1'\nclasses = ['c', 'c']", "names one thing twice"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a = 1'\nevidence = {rows = -1}", "evidence has 'rows'"),
        (b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a = 1'\nevidence = {rows = 1, share = 2}", "evidence has 'rows'"),
        (
            b"format = 1\n[[rules]]\nname = 'x'\nrule = 'a = 1'\nevidence = {rows = 1, slack = nan}",
            "evidence has 'rows'",
        ),
        (b"x = " + b"[" * 100_000, "no TOML|nested"),
        (b"#" * ((1 << 23) + 1), "at most"),
    ],
)
def test_a_file_of_others_is_checked(tmp_path, contents, complaint):
    path = tmp_path / "rules.toml"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(RuleError, match=complaint):
        Rules.read(path)


@pytest.mark.parametrize("obj", [None, 3, [], {}, {"format": 1, "rules": {}}, {"format": True, "rules": []}])
def test_damaged_json_is_refused(obj):
    with pytest.raises(RuleError):
        Rules.from_json(obj)
