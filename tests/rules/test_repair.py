from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from polars.testing import assert_frame_equal

sys.path.insert(0, str(Path(__file__).parent))
from strategies import conditions, names, small

from flowmint import Rules
from flowmint.errors import RuleError
from flowmint.rules.check import PIECE
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition

V2 = Rules.profile("ciciot2023")
WIDTH = len(V2.columns)


def rules(*texts):
    return Rules(tuple(Rule(name=f"r{i}", condition=parse_condition(text)) for i, text in enumerate(texts)))


def repaired(texts, **columns):
    done = rules(*texts).repair(pl.DataFrame(columns))
    assert done.after.all()
    return done.frame.to_dict(as_series=False)


@pytest.mark.parametrize(
    ("texts", "given", "expected"),
    [
        (["1 <= a <= 3"], {"a": [0.0, 2.5, 9.0]}, {"a": [1.0, 2.5, 3.0]}),
        (["a is an integer"], {"a": [0.4, 2.6, 3.0]}, {"a": [0.0, 3.0, 3.0]}),
        (["a is a multiple of 1 / n"], {"n": [10, 4], "a": [0.33, 0.33]}, {"n": [10, 4], "a": [0.3, 0.25]}),
        (["a <= b"], {"b": [1.0], "a": [2.0]}, {"b": [1.0], "a": [1.0]}),
        (["a is an integer", "a <= b"], {"b": [1.7], "a": [3.2]}, {"b": [1.7], "a": [1.0]}),
        (["a is one of 10, 100"], {"a": [20, 99]}, {"a": [10, 100]}),
        (["c = a + b"], {"c": [9.0], "a": [1.0], "b": [2.0]}, {"c": [3.0], "a": [1.0], "b": [2.0]}),
        (["a + b = sum(c, d)"], {"a": [1], "b": [2], "c": [1], "d": [1]}, {"a": [1], "b": [2], "c": [1], "d": [2]}),
        (["when p = 6 then f = 1"], {"p": [6, 7], "f": [0, 0]}, {"p": [6, 7], "f": [1, 0]}),
        (["a != 0", "a is an integer"], {"a": [0, 3]}, {"a": [1, 3]}),
        (["a is finite", "0 <= a <= 4"], {"a": [np.nan, np.inf, -np.inf]}, {"a": [2.0, 4.0, 0.0]}),
        (
            ['when s is "http" then p is "tcp"'],
            {"s": ["http", "dns"], "p": ["udp", "udp"]},
            {"s": ["http", "dns"], "p": ["tcp", "udp"]},
        ),
        (["k = n * f"], {"k": [3], "n": [10], "f": [0.456]}, {"k": [5], "n": [10], "f": [0.5]}),
        (["a is a multiple of 4", "a is a multiple of 6"], {"a": [13, 15]}, {"a": [12, 12]}),
        (["t = bit_or(x, y)"], {"t": [9], "x": [1], "y": [2]}, {"t": [3], "x": [1], "y": [2]}),
    ],
)
def test_the_nearest_value_is_taken(texts, given, expected):
    assert repaired(texts, **given) == expected


def test_a_row_that_cannot_be_repaired_stays_and_is_told():
    table = pl.DataFrame({"p": ["a", "b"], "x": [2.0, 2.0]})
    stuck = Rules(
        (
            Rule(name="one", condition=parse_condition('when p is "a" then x = 0')),
            Rule(name="two", condition=parse_condition('when p is not "b" then x = 1')),
        )
    )
    done = stuck.repair(table)
    assert done.failed.tolist() == [True, False]
    assert_frame_equal(done.frame, table)
    assert done.to_json()["failed"] == [0]


def test_what_changed_is_told():
    done = rules("a <= 1", "b = 0").repair(pl.DataFrame({"a": [0.0, 3.0, 2.0], "b": [0.0, 0.0, 1.0]}))
    assert done.changed == 2
    assert [(c.name, c.rows, c.mean, c.most) for c in done.changes] == [
        ("a", 2, pytest.approx(1.5), pytest.approx(2.0)),
        ("b", 1, 1.0, 1.0),
    ]


def test_whole_numbers_stay_in_their_dtype():
    table = pl.DataFrame({"a": pl.Series([200, None], dtype=pl.UInt8), "b": [True, False]})
    done = rules("a <= 1", "b = 1").repair(table)
    assert done.frame.schema == table.schema
    assert done.frame["a"].to_list() == [1, None]
    assert done.frame["b"].to_list() == [True, True]


def test_what_a_dtype_cannot_hold_is_no_repair():
    table = pl.DataFrame({"a": pl.Series([1], dtype=pl.UInt8), "b": [None]})
    assert rules("a >= 1000").repair(table).failed.all()
    assert rules("a <= -1").repair(table).failed.all()
    assert rules("b is finite").repair(table).failed.all()


def test_huge_whole_numbers_that_do_not_change_keep_every_digit():
    table = pl.DataFrame({"a": [2**62 + 1], "b": [5]})
    assert rules("a >= 0", "b <= 1").repair(table).frame.rows() == [(2**62 + 1, 1)]


def test_categories_stay_in_their_dtype():
    texts = {"s": ["http", "dns"], "p": ["udp", "udp"]}
    fits, lacks = pl.Enum(["udp", "tcp"]), pl.Enum(["udp"])
    rule = rules('when s is "http" then p is "tcp"')
    for dtype in (fits, pl.Categorical()):
        done = rule.repair(pl.DataFrame(texts).with_columns(pl.col("p").cast(dtype)))
        assert done.frame["p"].dtype == dtype
        assert done.frame["p"].cast(pl.String).to_list() == ["tcp", "udp"]
    done = rule.repair(pl.DataFrame(texts).with_columns(pl.col("p").cast(lacks)))
    assert done.failed.tolist() == [True, False]


def test_a_missing_value_that_is_allowed_stays():
    done = rules("b = 1").repair(pl.DataFrame({"a": [None, np.nan], "b": [0.0, 0.0]}, strict=False))
    assert done.frame.to_dict(as_series=False)["b"] == [1.0, 1.0]
    assert done.frame["a"].null_count() == 1


@settings(max_examples=60)
@given(
    st.lists(conditions(names, small, st.none()), min_size=1, max_size=4),
    arrays(np.float64, (4, 3), elements=st.sampled_from([-3.0, -0.5, 0.0, 0.3, 1.0, 2.0, 7.0, np.nan, np.inf])),
)
def test_any_rules_leave_valid_rows_or_rows_as_they_were(found, array):
    try:
        random = Rules(tuple(Rule(name=f"r{i}", condition=condition) for i, condition in enumerate(found)))
    except RuleError as error:
        assert "no row can satisfy these rules together" in str(error)
        return
    table = pl.DataFrame(array, schema=["a", "b", "c"])
    done = random.repair(table)
    assert random.check(done.frame).valid.tolist() == done.after.tolist()
    untouched = pl.Series(done.before | done.failed)
    assert_frame_equal(done.frame.filter(untouched), table.filter(untouched))
    assert_frame_equal(random.repair(done.frame).frame, done.frame)


# --- the profile with the most rules

values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 1),
    st.integers(0, 70_000).map(float),
    st.sampled_from([0.0, 1.0, 10.0, 100.0, 6.0, 17.0, np.nan, np.inf, -np.inf, 1e300]),
)
tables = arrays(np.float64, st.tuples(st.integers(1, 3), st.just(WIDTH)), elements=values).map(
    lambda array: pl.DataFrame(array, schema=list(V2.columns))
)


@settings(max_examples=12)
@given(tables, st.sampled_from([pl.Float64, pl.Float32]))
def test_any_row_becomes_valid_and_then_stays_as_it_is(table, dtype):
    table = table.cast(dtype)
    once = V2.repair(table)
    assert once.after.all(), V2.check(once.frame).broken
    assert V2.check(once.frame).share == 1
    twice = V2.repair(once.frame)
    assert_frame_equal(twice.frame, once.frame)
    assert not twice.changed


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
def test_many_rows_of_noise_become_valid(dtype):
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(3000, WIDTH)) * rng.choice([1e-3, 1.0, 30.0, 1e4, 1e9], size=(3000, WIDTH))
    odd = rng.random(noise.shape)
    for share, value in ((0.02, np.nan), (0.04, np.inf), (0.05, -np.inf), (0.15, 0.0), (0.2, 1.0)):
        noise[odd < share] = value
        odd[odd < share] = 1.0
    done = V2.repair(pl.DataFrame(noise, schema=list(V2.columns)).cast(dtype))
    assert done.after.all(), V2.check(done.frame).broken
    assert not V2.repair(done.frame).changed


def smote_like(rows, seed):
    """Rows between two valid ones, as SMOTE makes them: they satisfy inequalities and hardly an equation."""
    rng = np.random.default_rng(seed)
    ends = [V2.repair(random_rows(rows, seed + i)).frame.to_numpy() for i in (1, 2)]
    finite = [np.where(np.isfinite(end), end, 0.0) for end in ends]
    weight = rng.random((rows, 1))
    return pl.DataFrame(finite[0] + weight * (finite[1] - finite[0]), schema=list(V2.columns))


def random_rows(rows, seed):
    rng = np.random.default_rng(seed)
    table = pl.DataFrame(rng.random((rows, WIDTH)), schema=list(V2.columns))
    return table.with_columns(
        pl.Series("Number", rng.choice([10.0, 100.0], rows)),
        pl.Series("Rate", rng.lognormal(3, 3, rows)),
        pl.Series("IAT", rng.lognormal(-3, 3, rows)),
        *(pl.Series(name, rng.lognormal(6, 2, rows)) for name in ("Min", "Max", "Tot sum", "Variance")),
        pl.Series("Time_To_Live", 255 * rng.random(rows)),
        pl.Series("Header_Length", 60 * rng.random(rows)),
    )


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
def test_repaired_rows_satisfy_the_definitions_of_the_features(dtype):
    """The rules once more, written out in numpy, so that a mistake in the machinery does not hide itself."""
    frame = V2.repair(smote_like(3000, 5).cast(dtype)).frame.cast(pl.Float64)
    c = {name: frame[name].to_numpy() for name in frame.columns}
    n, total, close = c["Number"], c["Tot sum"], {"rtol": 2e-6, "atol": 1e-6}
    assert set(n) <= {10.0, 100.0}
    assert np.allclose(c["AVG"], total / n, **close)
    assert np.allclose(c["Tot size"], c["AVG"], **close)
    assert np.allclose(c["Variance"], c["Std"] ** 2, **close)
    for flag in ("ack", "syn", "fin", "rst"):
        assert np.allclose(c[f"{flag}_count"], n * c[f"{flag}_flag_number"], **close)
    assert np.allclose(c["LLC"], c["IPv"])
    assert np.allclose(c["ARP"] + c["IPv"], 1)
    flags = [name for name in V2.columns if name.endswith("flag_number")]
    of_tcp = ["HTTP", "HTTPS", "Telnet", "SMTP", "SSH", "IRC"]
    shares = [*flags, *of_tcp, "DNS", "TCP", "UDP", "DHCP", "ARP", "ICMP", "IGMP", "IPv", "LLC"]
    for name in (*shares, "Time_To_Live"):
        assert np.allclose(np.rint(n * c[name]), n * c[name], rtol=1e-6, atol=1e-4), name
        assert c[name].min() >= 0
    assert np.allclose(np.rint(n * c["Header_Length"] / 4), n * c["Header_Length"] / 4, atol=1e-3)
    for name in ("Min", "Max", "Tot sum"):
        assert (c[name] == np.rint(c[name])).all()
    assert ((c["Min"] >= 42) & (c["Min"] <= c["Max"]) & (c["Max"] <= 65549)).all()
    assert ((c["Max"] + (n - 1) * c["Min"] <= total) & (total <= (n - 1) * c["Max"] + c["Min"])).all()
    squares = (n - 1) * c["Variance"] + total**2 / n
    odd = np.abs((squares - total) / 2 - np.rint((squares - total) / 2))
    known = 6e-8 * squares < 0.2  # where the digits of the dtype can tell
    assert (odd[known] < 0.25).all()
    if dtype == pl.Float64:
        assert (odd < 0.02).all()
    low = (c["Max"] - c["Min"]) ** 2 / (2 * (n - 1))
    high = (n * c["Max"] - total) * (total - n * c["Min"]) / (n * (n - 1))
    assert ((c["Variance"] >= low * (1 - 1e-6)) & (c["Variance"] <= high * (1 + 1e-6))).all()
    assert ((c["Std"] == 0) == (c["Min"] == c["Max"])).all()
    room = 1e-6
    for name in (*flags, *of_tcp):
        assert (c[name] <= c["TCP"] + room).all()
    assert (np.maximum(c["DNS"], c["DHCP"]) <= c["UDP"] + room).all()
    assert (c["TCP"] + c["UDP"] + c["ICMP"] + c["IGMP"] <= c["IPv"] + room).all()
    assert (20 * c["TCP"] + 8 * c["UDP"] <= c["Header_Length"] * (1 + room) + room).all()
    assert (c["Header_Length"] <= (60 * c["TCP"] + 8 * c["UDP"]) * (1 + room) + room).all()
    assert ((c["IPv"] <= c["Time_To_Live"] + room) & (c["Time_To_Live"] <= 255 * c["IPv"] * (1 + room))).all()
    for name, number in (("TCP", 6), ("UDP", 17), ("ICMP", 1), ("ARP", 0)):
        assert (c["Protocol Type"][c[name] > 0.5 + room] == number).all()
    assert (c["Rate"] > 0).all()
    assert (c["IAT"] * c["Rate"] >= 1).all()


def test_valid_rows_are_left_bit_by_bit():
    valid = V2.repair(random_rows(500, 3)).frame
    broken = valid.with_columns(pl.Series("Max", valid["Max"].to_numpy() + np.where(np.arange(500) % 2, 0.5, 0.0)))
    done = V2.repair(broken)
    assert done.before.tolist() == [index % 2 == 0 for index in range(500)]
    assert_frame_equal(done.frame.gather_every(2), valid.gather_every(2))


def mixed(rows):
    """Give rows of several kinds of columns, some empty or missing, that break rules here and there."""
    rng = np.random.default_rng(rows)
    size, count = rng.normal(10, 20, rows), rng.integers(-3, 9, rows)
    empty = rng.random(rows) < 0.1
    return pl.DataFrame(
        {
            "size": pl.Series(size),
            "share": pl.Series(rng.normal(0.5, 0.4, rows), dtype=pl.Float32),
            "count": pl.Series([None if skip else int(n) for n, skip in zip(count, empty, strict=True)]),
            "total": pl.Series([None if skip else 1.0 for skip in empty], dtype=pl.Float64),
            "service": pl.Series(rng.choice(["http", "dns"], rows)),
            "transport": pl.Series(rng.choice(["tcp", "udp"], rows), dtype=pl.Categorical),
        }
    )


MIXED = rules(
    "0 <= size <= 40",
    "0 <= share <= 1",
    "count >= 0",
    "total = size * count",
    'when service is "http" then transport is "tcp"',
)


@pytest.mark.parametrize("rows", [0, 1, 500])
def test_making_valid_is_repairing_without_telling(rows):
    table = mixed(rows)
    told = MIXED.repair(table)
    frame, after = MIXED.make_valid(table)
    assert_frame_equal(frame, told.frame)
    assert after.tolist() == told.after.tolist()
    assert rows < 500 or 0 < told.before.sum() < rows


def test_rows_of_a_long_table_are_repaired_as_by_themselves():
    table = mixed(PIECE + 700)
    whole = MIXED.repair(table)
    parts = [MIXED.repair(table[start : start + 3_000]) for start in range(0, table.height, 3_000)]
    assert_frame_equal(whole.frame, pl.concat([part.frame for part in parts]))
    assert whole.after.tolist() == [valid for part in parts for valid in part.after.tolist()]


def test_rules_that_say_the_same_are_settled_once():
    once = rules("a <= b", "b != 3", "when p = 6 then f = 1")
    twice = rules("a <= b", "b >= a", "b != 3", "3 != b", "when p = 6 then f = 1", "when 6 = p then 1 = f")
    counts = [len(each._solver(("a", "b", "p", "f")).constraints) for each in (once, twice)]
    assert counts[0] == counts[1]
    strict = rules("a <= b", "a < b")
    assert len(strict._solver(("a", "b")).constraints) == 2
