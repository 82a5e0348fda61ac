"""Zeros that follow from zeros, and what follows from categories."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(0)
ROWS = 2000
TCP = RNG.random(ROWS) < 0.5
GROUP = np.array(["a", "b", "c", "d"])[RNG.integers(0, 4, ROWS)]


def test_a_zero_that_follows_from_a_zero_is_found(found):
    logged_in = (RNG.random(ROWS) < 0.4).astype(int)
    files = logged_in * RNG.poisson(0.5, ROWS)
    assert found({"logged_in": logged_in, "files": files}) == {"when logged_in = 0 then files = 0"}


def test_without_classes_implications_are_particular(found):
    logged_in = (RNG.random(ROWS) < 0.4).astype(int)
    columns = {"logged_in": logged_in, "files": logged_in * RNG.poisson(0.5, ROWS)}
    assert not found(columns, general=True)
    assert found({**columns, "class": GROUP}, "class", general=True)


def test_columns_that_are_zero_together_are_told_once(found):
    columns = {name: TCP * RNG.exponential(scale, ROWS) for name, scale in (("x", 1), ("y", 30), ("z", 900))}
    assert found(columns) == {"y = 0 exactly when x = 0", "z = 0 exactly when x = 0"}


def test_a_zero_through_a_third_column_is_left_out(found):
    outer = (RNG.random(ROWS) < 0.7) * RNG.exponential(900, ROWS)
    middle = (outer > 0) * (RNG.random(ROWS) < 0.7) * RNG.exponential(30, ROWS)
    inner = (middle > 0) * (RNG.random(ROWS) < 0.7) * RNG.exponential(1, ROWS)
    rules = found({"outer": outer, "middle": middle, "inner": inner})
    assert rules == {"when outer = 0 then middle = 0", "when middle = 0 then inner = 0"}


def test_a_zero_in_a_category_is_found(found):
    rules = found({"proto": np.where(TCP, "tcp", "udp"), "rtt": TCP * RNG.exponential(1, ROWS)})
    assert rules == {'when proto is "udp" then rtt = 0'}


def test_categories_with_the_same_consequence_are_gathered(found):
    proto = np.array(["tcp", "udp", "arp", "icmp"])[RNG.integers(0, 4, ROWS)]
    rules = found({"proto": proto, "rtt": (proto == "tcp") * RNG.exponential(1, ROWS)})
    assert rules == {'when proto is one of "arp", "icmp", "udp" then rtt = 0'}


def test_a_value_other_than_zero_is_particular(found):
    columns = {"proto": np.where(TCP, "tcp", "udp"), "window": np.where(TCP, RNG.integers(0, 99, ROWS), 255)}
    assert 'when proto is "udp" then window = 255' in found(columns)
    assert not found(columns, general=True)


def test_a_dependency_between_categories_is_found(found):
    service = np.array(["http", "ssh", "dns", "ntp", "other"])[RNG.integers(0, 5, ROWS)]
    known = {"http": "tcp", "ssh": "tcp", "dns": "udp", "ntp": "udp"}
    proto = np.array([known.get(name, "tcp" if flip else "udp") for name, flip in zip(service, TCP, strict=True)])
    rules = found({"service": service, "proto": proto, "class": GROUP}, "class", general=True)
    assert rules == {
        'when service is one of "http", "ssh" then proto is "tcp"',
        'when service is one of "dns", "ntp" then proto is "udp"',
    }


def test_what_follows_in_two_steps_is_left_out(found):
    proto = np.where(TCP, "tcp", "udp")
    service = np.where(TCP & (RNG.random(ROWS) < 0.5), "http", "-")
    rules = found({"service": service, "proto": proto, "rtt": TCP * (RNG.random(ROWS) < 0.9) * RNG.random(ROWS)})
    assert rules == {
        'when service is "http" then proto is "tcp"',
        'when proto is "udp" then service is "-"',
        'when proto is "udp" then rtt = 0',
    }


def test_a_rare_category_is_no_evidence(found):
    proto = np.where(np.arange(ROWS) < 15, "gre", "tcp")
    assert not found({"proto": proto, "x": np.where(proto == "gre", 0, RNG.integers(0, 9, ROWS))})


def test_a_category_of_one_class_is_no_evidence(found):
    group = np.repeat(["a", "b"], ROWS // 2)
    proto = np.where(group == "a", "udp", "tcp")
    value = np.where(group == "a", 0, RNG.integers(0, 9, ROWS))
    assert not found({"proto": proto, "x": value, "class": group}, "class")


def test_empty_cells_are_no_category(found):
    import polars as pl

    proto = pl.Series(["tcp" if tcp else None for tcp in TCP])
    assert not found({"proto": proto, "rtt": TCP * RNG.exponential(1, ROWS)})


def test_the_categories_of_a_column_are_particular(found):
    columns = {"proto": np.where(TCP, "tcp", "udp"), "x": RNG.normal(size=ROWS)}
    assert 'proto is one of "tcp", "udp"' in found(columns, single=True)
    assert 'proto is one of "tcp", "udp"' not in found(columns, single=True, general=True)


def test_identifiers_are_not_listed(found):
    assert not found({"address": [f"10.0.0.{i}" for i in range(200)], "x": RNG.normal(size=200)})
