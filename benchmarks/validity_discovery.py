"""The part of the validity benchmark about discovery: what is found, how fast, and whether it holds elsewhere.

Rules are found in one table and tried on another that discovery never saw: CICIoMT2024 → CICIoT2023 (another network,
the same extractor), NSL-KDD's training file → its test file, one half of UNSW-NB15 → the other. A rule that is not
marked as particular to its data set must hold in 99.9 % of the other table's rows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.rules.discover import discover
from flowmint.rules.evaluate import judge
from flowmint.rules.parse import parse_condition
from flowmint.rules.table import columns_for

if TYPE_CHECKING:
    from pathlib import Path

    from flowmint.rules.language import Rule

ENOUGH = 0.999
"""Share of the other table's rows in which a general rule must hold."""

FLAGS = (
    *(f"{name}_flag_number" for name in ("fin", "syn", "rst", "psh", "ack", "ece", "cwr")),
    *(
        "HTTP",
        "HTTPS",
        "DNS",
        "Telnet",
        "SMTP",
        "SSH",
        "IRC",
        "TCP",
        "UDP",
        "DHCP",
        "ARP",
        "ICMP",
        "IGMP",
        "IPv",
        "LLC",
    ),
)

COUNTS = ("ack", "syn", "fin", "rst")

GROUPS: dict[str, tuple[str, ...]] = {
    "1 means and sums": ("`Tot sum` = AVG * Number", "`Tot size` = AVG", "Variance = Std^2"),
    "2 counts": tuple(f"{name}_count = Number * {name}_flag_number" for name in COUNTS),
    "3 link layer": ("LLC = IPv", "ARP = 1 - IPv"),
    "5 shares of n packets": (
        *(f"Number * {name} is an integer" for name in FLAGS),
        "Number * Time_To_Live is an integer",
    ),
    "6 lattices": (
        "Number * Header_Length is a multiple of 4",
        *(f"{name} is an integer" for name in ("Min", "Max", "`Tot sum`")),
    ),
    "8 order of the mean": ("Min <= AVG", "AVG <= Max"),
    "10 no spread": ("Std = 0 exactly when Max = Min",),
    "11 flags need TCP": (
        *(f"{name}_flag_number <= TCP" for name in ("fin", "syn", "rst", "psh", "ack", "ece", "cwr")),
        *(f"{name} <= TCP" for name in ("HTTP", "HTTPS", "Telnet", "SMTP", "SSH", "IRC")),
        *(f"{name} <= UDP" for name in ("DNS", "DHCP")),
    ),
    "12 protocols of IP": ("sum(ICMP, IGMP, TCP, UDP) <= IPv",),
    "13 header": ("20 * TCP <= Header_Length", "8 * UDP <= Header_Length"),
    "15 rate": ("IAT * Rate >= 1",),
}
"""Known rules of the 39 features, by the number of their group; 4, 7, 9, 14 and 16 are of kinds that no search has."""

IMPLIED: dict[str, tuple[str, ...]] = {
    "Number * LLC is an integer": ("LLC = IPv", "Number * IPv is an integer"),
    "Number * ARP is an integer": ("ARP = 1 - IPv", "Number * IPv is an integer"),
    **{
        f"Number * {name}_flag_number is an integer": (
            f"{name}_count = Number * {name}_flag_number",
            f"{name}_count is an integer",
        )
        for name in COUNTS
    },
}
"""Known rules that follow from others, and are not listed for that reason."""

SMALL = ("Benign", "ARP_Spoofing")
"""Classes of the small training sets."""


def measure(data: Path) -> dict[str, Any]:
    """Measure discovery on the real tables and on noise."""
    medical, network, kdd_train, kdd_test, unsw = (
        pl.read_parquet(data / "flows" / f"{name}.parquet")
        for name in ("ciciomt2024", "ciciot2023_sample", "nsl_kdd_train20", "nsl_kdd_test", "unsw_nb15")
    )
    unsw = unsw.drop("id", "label")
    half = pl.Series(np.random.default_rng(0).random(unsw.height) < 0.5)
    pairs = [
        transfer("CICIoMT2024 → CICIoT2023", medical, network, "Label"),
        transfer("NSL-KDD, training → test", kdd_train, kdd_test, "Label"),
        transfer("UNSW-NB15, half → half", unsw.filter(half), unsw.filter(~half), "attack_cat"),
    ]
    small = [few_rows(medical, network, rows=rows, seed=seed) for rows in (25, 100, 1000) for seed in range(5)]
    noise = [in_noise(rows, tables=tables) for rows, tables in ((25, 100), (200, 100), (5000, 20))]
    return {"transfers": pairs, "groups": groups(pairs[0]["rules"]), "small": small, "noise": noise}


def transfer(name: str, train: pl.DataFrame, other: pl.DataFrame, label: str) -> dict[str, Any]:
    """Find rules in one table and try them on another."""
    start, used = time.perf_counter(), time.process_time()
    rules = discover(train, label=label)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    shares = rates(rules, other)
    told = [
        {
            "name": rule.name,
            "rule": rule.text,
            "particular": rule.evidence is None or rule.evidence.particular,
            "rows": rule.evidence.rows if rule.evidence else 0,
            "share": rule.evidence.share if rule.evidence else 1.0,
            "slack": rule.evidence.slack if rule.evidence else None,
            "why": rule.why,
            "share_elsewhere": share,
        }
        for rule, share in zip(rules, shares, strict=True)
    ]
    size = {"rows": train.height, "columns": train.width - 1, "seconds": seconds, "processor_seconds": used}
    return {"name": name, **size, "rules": told}


def rates(rules: tuple[Rule, ...], table: pl.DataFrame) -> list[float]:
    """Share of a table's rows that satisfy each rule; a row about which a rule says nothing satisfies it."""
    columns = columns_for(rules, table)
    return [1 - float(judge(rule.condition, columns).broken.mean()) for rule in rules]


def groups(rules: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Tell of each known rule whether it was found, follows from what was found, or is missing."""
    known = {parse_condition(rule["rule"]): "particular" if rule["particular"] else "found" for rule in rules}

    def state(text: str) -> str:
        condition = parse_condition(text)
        if condition in known:
            return known[condition]
        parts = IMPLIED.get(text, ())
        return "follows" if parts and all(parse_condition(part) in known for part in parts) else "missing"

    return {group: {text: state(text) for text in texts} for group, texts in GROUPS.items()}


def few_rows(medical: pl.DataFrame, network: pl.DataFrame, *, rows: int, seed: int) -> dict[str, Any]:
    """Find rules in a few rows of two classes, and count those that do not hold in 99.9 % of another table."""
    train = medical.filter(pl.col("Label").is_in(SMALL)).sample(rows, seed=seed)
    rules = tuple(rule for rule in discover(train, label="Label") if rule.evidence and not rule.evidence.particular)
    false = [r.text for r, share in zip(rules, rates(rules, network), strict=True) if share < ENOUGH]
    return {"rows": rows, "seed": seed, "rules": len(rules), "false": false}


def in_noise(rows: int, *, tables: int) -> dict[str, Any]:
    """Count the rules between columns that are found in tables of independent columns."""
    relations = [
        rule.text
        for seed in range(tables)
        for rule in discover(noise(rows, seed), label="class")
        if len(rule.columns) > 1
    ]
    return {"rows": rows, "tables": tables, "columns": noise(rows, 0).width - 1, "relations": relations}


def noise(rows: int, seed: int) -> pl.DataFrame:
    """Make a table of independent columns of the kinds that flow tables have."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"class": np.array(["a", "b", "c"])[rng.integers(0, 3, rows)]}
    for copy in range(4):
        columns |= {
            f"normal{copy}": rng.normal(size=rows),
            f"count{copy}": rng.poisson(1.0, rows),
            f"flag{copy}": (rng.random(rows) < 0.3).astype(int),
            f"rare{copy}": (rng.random(rows) < 0.05) * rng.integers(1, 9, rows),
            f"skewed{copy}": rng.exponential(size=rows) ** 2,
            f"share{copy}": rng.integers(0, 11, rows) / 10,
            f"large{copy}": rng.integers(0, 10**9, rows),
            f"rounded{copy}": rng.random(rows).round(2),
            f"service{copy}": np.array(["http", "dns", "ssh"])[rng.integers(0, 3, rows)],
        }
    return pl.DataFrame(columns)


def markdown(result: dict[str, Any]) -> list[str]:
    """Write what was measured."""
    heads = ("found in → tried on", "rows × columns", "seconds (of a processor)")
    lines = [f"| {' | '.join(heads)} | general rules | of these false | particular |", "|---|---|---|---|---|---|"]
    lines += [summary(pair) for pair in result["transfers"]]
    lines += [
        "",
        f"False: holds in less than {ENOUGH:.1%} of the other table's rows. Seconds are those of the",
    ]
    lines += ["clock; in parentheses those that processors worked.", ""]
    lines += [
        "| known rules of CICIoT2023's 39 features | found | follow | particular | missing |",
        "|---|---|---|---|---|",
    ]
    for group, states in result["groups"].items():
        counts = [sum(state == wanted for state in states.values()) for wanted in ("found", "follows", "particular")]
        missing = ", ".join(f"`{text}`" for text, state in states.items() if state == "missing")
        lines.append(f"| {group} | {' | '.join(map(str, counts))} | {missing or '–'} |")
    lines += ["", f"Few training rows ({' and '.join(SMALL)} of CICIoMT2024, five draws), tried on CICIoT2023:", ""]
    lines += ["| rows | general rules | false |", "|---|---|---|"]
    for rows in sorted({each["rows"] for each in result["small"]}):
        own = [each for each in result["small"] if each["rows"] == rows]
        counts = [each["rules"] for each in own]
        false = sum(len(each["false"]) for each in own)
        lines.append(f"| {rows:,} | {min(counts)}–{max(counts)} | {false} of {sum(counts)} |")
    lines += [
        "",
        "Tables of independent columns:",
        "",
        "| rows | columns | tables | relations found |",
        "|---|---|---|---|",
    ]
    lines += [f"| {n['rows']:,} | {n['columns']} | {n['tables']} | {len(n['relations'])} |" for n in result["noise"]]
    for pair in result["transfers"]:
        lines += ["", f"### {pair['name']}", "", "| rule | | here | elsewhere |", "|---|---|---|---|"]
        lines += [rule_row(rule) for rule in pair["rules"]]
    return lines


def summary(pair: dict[str, Any]) -> str:
    """One line of the table of transfers."""
    general = [rule for rule in pair["rules"] if not rule["particular"]]
    false = sum(rule["share_elsewhere"] < ENOUGH for rule in general)
    size = f"{pair['rows']:,} × {pair['columns']}"
    spent = f"{pair['seconds']:.0f} ({pair['processor_seconds']:.0f})"
    return f"| {pair['name']} | {size} | {spent} | {len(general)} | {false} | {len(pair['rules']) - len(general)} |"


def rule_row(rule: dict[str, Any]) -> str:
    """One rule with its share of rows where it was found and elsewhere."""
    text = rule["rule"] if len(rule["rule"]) <= 160 else rule["rule"][:160] + " …"
    cell = text.replace("`", "").replace("|", "\\|")
    kind = "particular" if rule["particular"] else ""
    return f"| `{cell}` | {kind} | {rule['share']:.3%} | {rule['share_elsewhere']:.3%} |"
