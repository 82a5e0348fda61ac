"""Simulated rows obey every rule of the features, and are hard enough to mean something."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from flowmint.errors import LabelError, SettingError
from flowmint.flows.simulate import CLASSES, FEATURES, LABEL, simulate

ATTACK = "MITM-ArpSpoofing"
FLOODS = ("DDoS-ICMP_Fragmentation", "Mirai-greip_flood")
N = pl.col("Number")
FLAGS = ("fin", "syn", "rst", "psh", "ack", "ece", "cwr")
SHARES = [f"{flag}_flag_number" for flag in FLAGS]
SHARES += ["HTTP", "HTTPS", "DNS", "Telnet", "SMTP", "SSH", "IRC", "TCP", "UDP", "DHCP", "ARP", "ICMP", "IGMP"]
SHARES += ["IPv", "LLC"]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return simulate(dict.fromkeys(CLASSES, 400), seed=7)


def whole(column: pl.Expr) -> pl.Expr:
    return (column - column.round()).abs() < 1e-6


def near(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    return (one - other).abs() <= 1e-9 * (1 + other.abs())


SQUARES = (N - 1) * pl.col("Variance") + pl.col("Tot sum") ** 2 / N
RULES = {
    "total is mean times number": near(pl.col("Tot sum"), pl.col("AVG") * N),
    "total size is the mean": pl.col("Tot size") == pl.col("AVG"),
    "variance is the deviation squared": near(pl.col("Variance"), pl.col("Std") ** 2),
    **{
        f"{flag} count is its share times number": near(pl.col(f"{flag}_count"), N * pl.col(f"{flag}_flag_number"))
        for flag in ("ack", "syn", "fin", "rst")
    },
    "LLC is IPv": pl.col("LLC") == pl.col("IPv"),
    "what is not IP is ARP": near(pl.col("IPv") + pl.col("ARP"), pl.lit(1.0)),
    **{
        f"the type is {name} where most packets are": (pl.col(name) <= 0.5) | (pl.col("Protocol Type") == number)
        for name, number in (("TCP", 6), ("UDP", 17), ("ICMP", 1), ("ARP", 0))
    },
    "the protocol is known": pl.col("Protocol Type").is_in([0, 1, 2, 6, 17, 47]),
    **{f"{name} is a share of packets": whole(N * pl.col(name)) & pl.col(name).is_between(0, 1) for name in SHARES},
    "time to live is a mean of whole numbers": whole(N * pl.col("Time_To_Live")),
    "headers are multiples of four": whole(N * pl.col("Header_Length") / 4),
    "sizes are whole": whole(pl.col("Min")) & whole(pl.col("Max")) & whole(pl.col("Tot sum")),
    "squares are whole": (SQUARES - SQUARES.round()).abs() < 1e-3,
    "squares are even where the total is": (SQUARES.round() - pl.col("Tot sum")) % 2 == 0,
    "sizes are in order": (pl.col("Min") >= 42)
    & (pl.col("Min") <= pl.col("AVG"))
    & (pl.col("AVG") <= pl.col("Max"))
    & (pl.col("Max") <= 65549),
    "the total is bounded from below": pl.col("Max") + (N - 1) * pl.col("Min") <= pl.col("Tot sum"),
    "the total is bounded from above": pl.col("Tot sum") <= (N - 1) * pl.col("Max") + pl.col("Min"),
    "variance is bounded from below": (pl.col("Max") - pl.col("Min")) ** 2 / (2 * (N - 1)) <= pl.col("Variance") + 1e-6,
    "variance is bounded from above": pl.col("Variance")
    <= N / (N - 1) * (pl.col("Max") - pl.col("AVG")) * (pl.col("AVG") - pl.col("Min")) + 1e-6,
    "no deviation where all sizes are equal": (pl.col("Std") == 0) == (pl.col("Min") == pl.col("Max")),
    **{
        f"{name} is TCP": pl.col(name) <= pl.col("TCP")
        for name in (*SHARES[:7], "HTTP", "HTTPS", "Telnet", "SMTP", "SSH", "IRC")
    },
    **{f"{name} is UDP": pl.col(name) <= pl.col("UDP") for name in ("DNS", "DHCP")},
    "protocols are IP": pl.sum_horizontal("TCP", "UDP", "ICMP", "IGMP") <= pl.col("IPv") + 1e-9,
    "headers are bounded": (pl.col("Header_Length") + 1e-9 >= 20 * pl.col("TCP") + 8 * pl.col("UDP"))
    & (pl.col("Header_Length") - 1e-9 <= 60 * pl.col("TCP") + 8 * pl.col("UDP")),
    "time to live is bounded": pl.col("Time_To_Live").is_between(pl.col("IPv") - 1e-9, 255 * pl.col("IPv") + 1e-9),
    "rate and interval agree": (pl.col("Rate") > 0) & (pl.col("IAT") * pl.col("Rate") >= 1),
    "the number is fixed by the class": pl.when(pl.col(LABEL).is_in(FLOODS)).then(N == 100).otherwise(N == 10),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_every_row_obeys_the_rule(rows, rule):
    broken = rows.filter(~rule)
    assert broken.height == 0, broken.head(3)


def test_columns_and_classes_are_those_of_the_published_files(rows):
    assert rows.columns == [*FEATURES, LABEL]
    assert len(FEATURES) == 39
    assert rows[LABEL].unique(maintain_order=True).to_list() == list(CLASSES)
    assert rows.null_count().sum_horizontal().item() == 0
    assert rows.select(pl.all_horizontal(pl.col(pl.Float64).is_finite().all())).item()


def test_the_real_columns_are_the_simulated_ones(real_data):
    assert pl.read_parquet_schema(real_data / "flows" / "ciciomt2024.parquet").names() == [*FEATURES, LABEL]


def test_the_same_seed_gives_the_same_rows_and_another_other_rows():
    one, two, other = (simulate({ATTACK: 30}, seed=seed) for seed in (3, 3, 4))
    assert one.equals(two)
    assert not one.equals(other)


def test_a_classes_rows_do_not_depend_on_the_other_classes():
    assert simulate({"Benign": 50, ATTACK: 30}, seed=1).tail(30).equals(simulate({ATTACK: 30}, seed=1))


@pytest.mark.parametrize("wanted", [{}, {"Benign": 0}])
def test_no_rows_are_an_empty_table(wanted):
    assert simulate(wanted, seed=0).shape == (0, 40)


def test_an_unknown_class_gets_the_nearest_name():
    with pytest.raises(LabelError, match="did you mean 'Benign'"):
        simulate({"benign": 5}, seed=0)


@pytest.mark.parametrize(("wanted", "seed"), [({"Benign": -1}, 0), ({"Benign": 1}, -1)])
def test_negative_numbers_are_refused(wanted, seed):
    with pytest.raises(SettingError):
        simulate(wanted, seed=seed)


def forest_f1(attack_rows: int, seed: int) -> float:
    train = simulate({"Benign": 1500, ATTACK: attack_rows}, seed=seed)
    test = simulate({"Benign": 1500, ATTACK: 1500}, seed=seed + 1)
    X, y = (
        [table.drop(LABEL).to_numpy() for table in (train, test)],
        [(table[LABEL] == ATTACK).to_numpy() for table in (train, test)],
    )
    forest = RandomForestClassifier(100, random_state=0).fit(X[0], y[0])
    return float(f1_score(y[1], forest.predict(X[1])))


@pytest.mark.parametrize("seed", [0, 2, 20])
def test_a_forest_misses_the_man_in_the_middle_with_25_rows(seed):
    assert forest_f1(25, seed) < 0.6


def test_a_forest_finds_the_man_in_the_middle_with_many_rows():
    assert forest_f1(1500, 0) > 0.8


def test_floods_are_told_apart_at_once():
    table = simulate(dict.fromkeys(CLASSES, 200), seed=0)
    means = dict(table.group_by(LABEL).agg(pl.col("Number").mean()).iter_rows())
    assert {name for name, mean in means.items() if mean == 100} == set(FLOODS)


def test_windows_of_the_man_in_the_middle_overlap_with_benign_ones():
    table = simulate({"Benign": 1000, ATTACK: 1000}, seed=0)
    for name in ("Rate", "AVG", "Header_Length", "Time_To_Live"):
        benign, attack = (table.filter(pl.col(LABEL) == c)[name].to_numpy() for c in ("Benign", ATTACK))
        inside = np.mean((attack >= np.quantile(benign, 0.01)) & (attack <= np.quantile(benign, 0.99)))
        assert inside > 0.8, name
