from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint import Rules
from flowmint.errors import RuleError
from flowmint.rules.profiles import NAMES
from flowmint.rules.table import uses_of


def named(rules):
    return {rule.name: rule for rule in rules}


def blank(rules, rows=1):
    """A table of zeros with a profile's header."""
    texts = uses_of(rules)[1]
    return pl.DataFrame(
        {name: ["-"] * rows if name in texts else np.zeros(rows) for name in rules.columns}, strict=False
    )


def broken(rules, **values):
    """Name the rules that a row breaks: zeros, but for the values given."""
    row = blank(rules).with_columns(pl.lit(value).alias(name.replace("__", " ")) for name, value in values.items())
    return {each.rule.name for each in rules.check(row).broken}


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_has_a_reason_and_known_columns(name):
    rules = Rules.profile(name)
    assert rules.name == name
    assert rules.title
    assert len(rules) >= 20
    for rule in rules:
        assert rule.why
        assert set(rule.columns) <= set(rules.columns)
    assert set(rules.optional) <= set(rules.columns)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_is_recognised_whatever_its_order(name):
    header = list(Rules.profile(name).columns)[::-1]
    assert Rules.recognise([*header, "Label"]).name == name


@pytest.mark.parametrize("name", NAMES)
def test_optional_columns_may_be_absent(name):
    rules = Rules.profile(name)
    table = blank(rules).drop(rules.optional)
    assert Rules.recognise(table).name == name
    report = rules.check(table)
    assert len(report.rules) + len(report.unjudged) == len(rules)
    assert set(rules.derive(table).columns) >= set(table.columns)


def test_another_header_is_not_recognised():
    assert Rules.recognise(["Rate", "Number"]) is None
    assert Rules.recognise(pl.DataFrame({"a": [1]})) is None


def test_an_unknown_profile_is_refused():
    with pytest.raises(RuleError, match="did you mean 'ciciot2023'"):
        Rules.profile("ciciot203")
    assert Rules.profile_names() == NAMES


def test_the_second_release_leaves_thirty_of_39_columns_to_model():
    rules = Rules.profile("ciciot2023")
    assert len(rules.columns) == 39
    counts = {f"{flag}_count" for flag in ("ack", "syn", "fin", "rst")}
    assert set(rules.derived) == {"AVG", "Tot size", "Std", "LLC", "ARP"} | counts


# --- hand-made rows

V1 = {
    "Number": 9.5,
    "Weight": 141.55,
    "AVG": 54.0,
    "Min": 54.0,
    "Max": 54.0,
    "Magnitue": 10.3923,
    "Rate": 3.0,
    "Srate": 3.0,
}


def test_rows_of_the_first_release_are_valid():
    rules = Rules.profile("ciciot2023_v1")
    assert broken(rules, **V1) == set()
    assert broken(rules, **V1 | {"Srate": 4.0, "Drate": 1.0, "IPv": 1.0}) == {"srate", "drate", "llc"}
    assert broken(rules, **V1 | {"Number": 10.0}) == {"number"}
    assert broken(rules, **V1 | {"Weight": 38.5}) == {"weight-9"}
    assert broken(rules, **V1 | {"AVG": 60.0}) == {"greatest-size"}
    assert broken(rules, **V1 | {"Magnitue": 20.0, "Variance": 1.5}) == {"magnitude", "variance-share"}
    done = rules.repair(
        blank(rules).with_columns(pl.lit(v).alias(k) for k, v in (V1 | {"Srate": 9.0, "Min": 99.0}).items())
    )
    assert done.after.all()
    assert done.frame["Srate"].to_list() == [3.0]


CICFLOWMETER = {
    "Protocol": 6.0,
    "Flow__Duration": 1_000_000.0,
    "Total__Fwd__Packets": 2.0,
    "Total__Backward__Packets": 1.0,
    "Total__Length__of__Fwd__Packets": 100.0,
    "Fwd__Packet__Length__Mean": 50.0,
    "Fwd__Packet__Length__Max": 60.0,
    "Fwd__Packet__Length__Min": 40.0,
    "Flow__Bytes/s": 100.0,
    "Flow__Packets/s": 3.0,
    "Fwd__Packets/s": 2.0,
    "Bwd__Packets/s": 1.0,
    "Packet__Length__Std": 2.0,
    "Packet__Length__Variance": 4.0,
    "Fwd__Header__Length": 40.0,
    "Bwd__Header__Length": 20.0,
    "SYN__Flag__Count": 2.0,
}


def test_rows_of_cicflowmeter_are_valid():
    rules = Rules.profile("cicflowmeter")
    row = CICFLOWMETER
    assert broken(rules, **row) == set()
    assert broken(rules, **row | {"Fwd__Packet__Length__Mean": 70.0}) == {"fwd-mean", "fwd-length-order"}
    assert broken(rules, **row | {"Packet__Length__Variance": 5.0}) == {"variance"}
    assert broken(rules, **row | {"SYN__Flag__Count": 4.0, "Fwd__Header__Length": 39.0}) == {"syn-count", "fwd-header"}
    assert broken(rules, **row | {"Fwd__IAT__Total": 1_000_001.5}) == {"fwd-iat-total"} | set()
    infinite = {"Flow__Duration": 0.0, "Flow__Bytes/s": np.inf, "Flow__Packets/s": np.inf, "Fwd__Packets/s": np.inf}
    assert broken(rules, **row | infinite | {"Bwd__Packets/s": np.inf}) == set()


NETFLOW = {
    "PROTOCOL": 6,
    "IN_PKTS": 3,
    "OUT_PKTS": 2,
    "IN_BYTES": 180,
    "OUT_BYTES": 100,
    "CLIENT_TCP_FLAGS": 18,
    "SERVER_TCP_FLAGS": 24,
    "TCP_FLAGS": 26,
    "MIN_TTL": 63,
    "MAX_TTL": 64,
    "NUM_PKTS_UP_TO_128_BYTES": 5,
}


def test_rows_of_netflow_are_valid():
    rules = Rules.profile("netflow_v9")
    assert broken(rules, **NETFLOW) == set()
    assert broken(rules, **NETFLOW | {"TCP_FLAGS": 2}) == {"flags"}
    assert broken(rules, **NETFLOW | {"PROTOCOL": 17}) == {"flags-tcp", "client-flags-tcp", "server-flags-tcp"}
    assert broken(rules, **NETFLOW | {"MIN_TTL": 65}) == {"ttl-order"}
    assert broken(rules, **NETFLOW | {"NUM_PKTS_UP_TO_128_BYTES": 4}) == {"bins"}
    assert broken(rules, **NETFLOW | {"SHORTEST_FLOW_PKT": 9, "TCP_WIN_MAX_IN": 70_000}) == {
        "packet-order",
        "window-in",
    }


def test_netflow_is_repaired_in_whole_numbers():
    rules = Rules.profile("netflow_v9")
    wrong = NETFLOW | {"PROTOCOL": 17, "IN_PKTS": 4, "MIN_TTL": 300, "LONGEST_FLOW_PKT": -4}
    table = blank(rules).cast(pl.Int64).with_columns(pl.lit(v).alias(k) for k, v in wrong.items())
    done = rules.repair(table)
    assert done.after.all(), rules.check(done.frame).broken
    assert done.frame["TCP_FLAGS"].to_list() == [0]


def test_rows_of_nfstream_are_valid():
    rules = Rules.profile("nfstream")
    row = {
        "protocol": 17,
        "src2dst_packets": 2,
        "bidirectional_packets": 2,
        "src2dst_bytes": 100,
        "bidirectional_bytes": 100,
    }
    row |= {f"{side}_{kind}_ps": 50.0 for side in ("bidirectional", "src2dst") for kind in ("min", "mean", "max")}
    assert broken(rules, **row) == set()
    assert broken(rules, **row | {"bidirectional_bytes": 99}) == {"bytes", "both-mean-size"}
    assert broken(rules, **row | {"src2dst_syn_packets": 1, "bidirectional_syn_packets": 1}) == {
        "syn-tcp",
        "src-syn-tcp",
    }
    assert broken(rules, **row | {"src2dst_max_piat_ms": 5.0}) == {"src-gap-duration"}
    table = blank(rules).with_columns(pl.lit(v).alias(k) for k, v in row.items())
    derived = rules.fitting(table).derive(table.drop(rules.derived))
    assert derived.columns == table.columns
    assert derived["dst2src_mean_ps"].to_list() == [0.0]
    assert derived["bidirectional_mean_ps"].to_list() == [50.0]


# --- real rows

REAL = [
    ("ciciot2023", "ciciomt2024", {"window": 0.0007, "iat-rate": 0.001}),
    ("ciciot2023", "ciciot2023_sample", {"window": 0.0011, "squares": 0.0003, "constant-size": 0.0001}),
    ("unsw_nb15", "unsw_nb15", {}),
    ("nsl_kdd", "nsl_kdd_train20", {}),
    ("nsl_kdd", "nsl_kdd_test", {}),
]


@pytest.mark.parametrize(("name", "file", "worse"), REAL)
def test_real_rows_satisfy_each_rule(real_data, name, file, worse):
    table = pl.read_parquet(real_data / "flows" / f"{file}.parquet")
    rules = Rules.recognise(table)
    assert rules.name == name
    for each in rules.check(table).rules:
        assert 1 - each.share <= worse.get(each.rule.name, 0.001), each.rule


def test_real_captures_satisfy_each_rule(real_data):
    """Capture files end in shorter windows, and small ones have many ends: 99.56 % have 10 or 100 packets."""
    files = sorted((real_data / "captures" / "ciciot2023").glob("*.csv"))
    table = pl.concat(pl.read_csv(file, infer_schema_length=None).cast(pl.Float64) for file in files)
    for each in Rules.profile("ciciot2023").check(table).rules:
        assert 1 - each.share <= (0.005 if each.rule.name == "window" else 0.0), each.rule


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, file, _ in REAL])
def test_repair_leaves_valid_real_rows_and_mends_the_others(real_data, name, file):
    table = pl.read_parquet(real_data / "flows" / f"{file}.parquet").sample(5000, seed=0)
    done = Rules.profile(name).repair(table)
    assert done.frame.schema == table.schema
    assert done.frame.filter(pl.Series(done.before)).equals(table.filter(pl.Series(done.before)))
    assert done.after.mean() >= 0.999
