"""The parts of the validity benchmark about minted rows: whether they are valid, and whether that costs anything.

Latent diffusion with its defaults learns at most `MOST` rows of each class and mints as many of every class. Rows are
judged by every rule of the extractor's profile, group by group as the rules are known, whether or not the generator was
told them, and by all the rules that the generator kept.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from flowmint import Rules
from flowmint.evaluate.detectability import boosted_trees_auc
from flowmint.flows.split import hold_out
from flowmint.generators import make_generator
from flowmint.generators.validity import Validity

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from flowmint.flows.schema import Schema
    from flowmint.generators import Generator

MOST = 2_500
"""Real rows of a class to learn from."""

SEEDS = (0, 1)
ATTACKS = ("ARP_Spoofing", "MQTT-Malformed_Data")
GENERATORS = ("latent_diffusion", "smote_standardised")
PROFILE = "ciciot2023"

GROUPS = {
    "1 means and sums": ("total", "total-size", "deviation"),
    "2 counts": ("ack-count", "syn-count", "fin-count", "rst-count"),
    "3 link layer": ("llc", "arp"),
    "4 protocol": ("protocol-*",),
    "5 shares of n packets": ("*-share", "*-positive", "ipv-all", "ttl-mean"),
    "6 lattices": ("header-mean", "*-whole"),
    "7 squares": ("squares",),
    "8 sizes in order": ("least-size", "greatest-size", "mean-*", "least-below-greatest"),
    "9 total": ("total-least", "total-most"),
    "10 variance": ("variance-least", "variance-most", "constant-size"),
    "11 flags and ports": ("*-in-tcp", "*-in-udp"),
    "12 protocols of IP": ("transports-in-ip",),
    "13 header": ("header-least", "header-most"),
    "14 time to live": ("ttl-least", "ttl-most"),
    "15 rate": ("rate-positive", "iat-rate"),
    "16 window": ("window",),
    "values known": ("*-known",),
}
"""The rules of the profile, by the number of their group; the first group that names a rule has it."""


def group_of(rule: str) -> str:
    """Tell the group of a rule of the profile.

    Raises:
        KeyError: No group names it.
    """
    exact = {name: group for group, names in GROUPS.items() for name in names}
    if rule in exact:
        return exact[rule]
    for pattern, group in exact.items():
        start, star, end = pattern.partition("*")
        if star and rule.startswith(start) and rule.endswith(end):
            return group
    raise KeyError(rule)


@dataclass(frozen=True)
class Watched(Validity):
    """Completes rows as `Validity` does, and notes of each attempt how many rows were and became valid.

    Attributes:
        log: Rows, valid ones before repair, and valid ones after it, of each attempt.
    """

    log: list[tuple[int, int, int]] = field(default_factory=list)

    def complete(
        self, minted: pl.DataFrame, schema: Schema, *, class_name: str
    ) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
        """Complete rows and note what was done."""
        whole = self.derive(minted, schema)
        done = self.rules.repair(whole, label=pl.repeat(class_name, whole.height, eager=True))
        self.log.append((done.rows, int(done.before.sum()), int(done.after.sum())))
        return done.frame, done.after


@dataclass
class Tally:
    """Counts rows that hold, rule by rule and group by group, table after table."""

    rows: int = 0
    valid: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)

    def add(self, table: pl.DataFrame, rules: Rules, labels: pl.Series) -> None:
        """Count a table's rows."""
        report = rules.check(table, label=labels)
        self.rows += report.rows
        self.valid += int(report.valid.sum())
        for each in report.broken:
            self.broken[each.rule.name] = self.broken.get(each.rule.name, 0) + each.broken
        if rules.name != PROFILE:
            return
        places: dict[str, list[int]] = {}
        for place, each in enumerate(report.rules):
            places.setdefault(group_of(each.rule.name), []).append(place)
        for group, own in places.items():
            self.groups[group] = self.groups.get(group, 0) + int(report.holds[:, own].all(axis=1).sum())

    def told(self) -> dict[str, Any]:
        """Describe the counts."""
        return {"rows": self.rows, "valid": self.valid, "groups": self.groups, "broken": self.broken}


def few_of_each(table: pl.DataFrame, label: str, most: int) -> pl.DataFrame:
    """Draw at most so many rows of each class, in their order."""
    drawn = pl.int_range(pl.len()).shuffle(seed=0).over(label)
    return table.filter(drawn < most)


def captures(data: Path) -> pl.DataFrame:
    """Read the captures, each a class."""
    files = sorted((data / "captures" / "ciciot2023").glob("*.csv"))
    tables = [
        pl.read_csv(file, infer_schema_length=None).with_columns(Label=pl.lit(file.name.split(".")[0]))
        for file in files
    ]
    return pl.concat(tables, how="vertical_relaxed")


def measure_minted(data: Path, rows: int) -> dict[str, Any]:
    """Mint so many rows over all classes of the two tables of one extractor, and a tenth of them of two others."""
    torch.set_num_threads(1)
    medical = pl.read_parquet(data / "flows" / "ciciomt2024.parquet")
    network = captures(data)
    classes = medical["Label"].n_unique() + network["Label"].n_unique()
    each = -(-rows // classes)
    kdd = pl.read_parquet(data / "flows" / "nsl_kdd_train20.parquet")
    unsw = pl.read_parquet(data / "flows" / "unsw_nb15.parquet").drop("id", "label")
    return {
        "most": MOST,
        "tables": {
            "ciciomt2024": mint("ciciomt2024", medical, "Label", each),
            "ciciot2023 captures": mint("ciciot2023 captures", network, "Label", each),
            "NSL-KDD": mint("NSL-KDD", kdd, "Label", -(-rows // 10 // kdd["Label"].n_unique())),
            "UNSW-NB15": mint("UNSW-NB15", unsw, "attack_cat", -(-rows // 10 // unsw["attack_cat"].n_unique())),
        },
    }


def mint(name: str, table: pl.DataFrame, label: str, each: int) -> dict[str, Any]:
    """Learn a table and mint ``each`` rows of every class."""
    train = few_of_each(table, label, MOST)
    model = make_generator("latent_diffusion", seed=0)
    started, used = time.perf_counter(), time.process_time()
    model.fit(train.drop(label), train[label].cast(pl.String))
    fit = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - used}
    _say(f"{name}: learnt {train.height} rows in {fit['seconds']:.0f} s")
    profile = Rules.recognise(train.columns)
    tallies = {kind: Tally() for kind in ("minted", "minted32", "real", "own", "own_real")}
    log, clock, cores, attempts = [], 0.0, 0.0, []
    for class_name in model.classes_.names:
        watched = Watched(model.validity_.rules, model.validity_.derived)
        model.validity_ = watched
        started, used = time.perf_counter(), time.process_time()
        minted = model.sample_table(each, label=class_name, seed=1)
        clock, cores = clock + time.perf_counter() - started, cores + time.process_time() - used
        log.append(watched.log[0])
        attempts.append(len(watched.log))
        _tally(tallies, minted, table.filter(table[label].cast(pl.String) == class_name).drop(label), profile, model)
        _say(f"{name}: {class_name}, {len(watched.log)} attempts, {clock:.0f} s so far")
    return {
        "rows_learnt": train.height,
        "classes": len(model.classes_.names),
        "columns": train.width - 1,
        "derived": len(model.validity_.derived),
        "rules": len(model.validity_.rules),
        "fit": fit,
        "mint": {"seconds": clock, "processor_seconds": cores},
        "attempts": {"most": max(attempts), "classes_with_more_than_one": sum(a > 1 for a in attempts)},
        "first_attempt": dict(zip(("rows", "before", "after"), map(sum, zip(*log, strict=True)), strict=True)),
        **{kind: tally.told() for kind, tally in tallies.items() if tally.rows},
    }


def _tally(
    tallies: dict[str, Tally], minted: pl.DataFrame, real: pl.DataFrame, profile: Rules | None, model: Generator
) -> None:
    """Count one class's minted rows, the same written as float32, and its real rows."""
    own = model.validity_.rules
    name = pl.Series([""])
    if profile is not None:
        single = minted.with_columns(pl.col(pl.Float64).cast(pl.Float32))
        for kind, rows in (("minted", minted), ("minted32", single), ("real", real)):
            tallies[kind].add(rows, profile, name.new_from_index(0, rows.height))
    for kind, rows in (("own", minted), ("own_real", real)):
        tallies[kind].add(rows, own, name.new_from_index(0, rows.height))


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def markdown_minted(part: dict[str, Any]) -> list[str]:
    """Write what minting gave as Markdown."""
    tables = part["tables"]
    lines = [f"Latent diffusion with its defaults, at most {part['most']:,} real rows of a class, one thread.", ""]
    lines += [
        (
            "| table | rows learnt | columns (computed) | rules | minted | valid | real rows valid | before repair | "
            "after one attempt | most attempts | minted rows a second (of a core) |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in tables.items():
        own, real, first = found["own"], found["own_real"], found["first_attempt"]
        speed = (round(own["rows"] / found["mint"][kind]) for kind in ("seconds", "processor_seconds"))
        lines.append(
            f"| {name} | {found['rows_learnt']:,} | {found['columns']} ({found['derived']}) | {found['rules']} | "
            f"{own['rows']:,} | {_share(own['valid'], own['rows'])} | {_share(real['valid'], real['rows'])} | "
            f"{_share(first['before'], first['rows'])} | {_share(first['after'], first['rows'])} | "
            f"{found['attempts']['most']} | {' ('.join(f'{s:,}' for s in speed)}) |"
        )
    return [
        *lines,
        "",
        *_groups([found for found in tables.values() if "minted" in found and found["minted"]["groups"]]),
    ]


def _groups(found: list[dict[str, Any]]) -> list[str]:
    """Write the shares of valid rows, group by group, of all tables of the extractor together."""
    kinds = ("minted", "minted32", "real")
    total = {kind: sum(one[kind]["rows"] for one in found) for kind in kinds}
    lines = [
        (
            f"By the rules of `{PROFILE}`, {total['minted']:,} minted and {total['real']:,} real rows of "
            "all classes and captures:"
        ),
        "",
        "| rules | minted | the same as float32 | real rows |",
        "|---|---|---|---|",
    ]
    for group in GROUPS:
        own = (_share(sum(one[kind]["groups"][group] for one in found), total[kind]) for kind in kinds)
        lines.append(f"| {group} | {' | '.join(own)} |")
    own = (_share(sum(one[kind]["valid"] for one in found), total[kind]) for kind in kinds)
    lines.append(f"| all | {' | '.join(own)} |")
    for kind, what in (("minted", "minted rows"), ("minted32", "the same as float32"), ("real", "real rows")):
        broken: dict[str, int] = {}
        for one in found:
            for rule, count in one[kind]["broken"].items():
                broken[rule] = broken.get(rule, 0) + count
        listed = ", ".join(f"{rule} {count:,}" for rule, count in sorted(broken.items(), key=lambda b: -b[1]))
        lines += ["", f"Rules that {what} break: {listed or 'none'}."]
    return lines


def _share(part: int, whole: int) -> str:
    """Write a share without rounding up to all."""
    return f"{100 * part / whole:.3f} %" if part == whole else f"{min(100 * part / whole, 99.9994):.4f} %"


def measure_cost(data: Path, rows: int) -> dict[str, Any]:
    """Tell minted rows from held-out real ones by boosted trees, with rules and without."""
    del rows  # as many as are held out
    torch.set_num_threads(1)
    table = pl.read_parquet(data / "flows" / "ciciomt2024.parquet")
    cells = []
    for attack, seed in product(ATTACKS, SEEDS):
        own = table.filter(pl.col("Label").is_in([attack, "Benign"]))
        split = hold_out(own, label="Label", share=0.5, seed=seed)
        train = few_of_each(split.train, "Label", MOST)
        held, learnt = (part.filter(pl.col("Label") == attack).drop("Label") for part in (split.test, train))
        real = boosted_trees_auc(held.head(learnt.height), learnt.head(held.height), seed=seed)
        cells.append({"attack": attack, "seed": seed, "generator": "real rows", "rules": "", "auc": real})
        for generator, rules in product(GENERATORS, ("auto", "none")):
            model = make_generator(generator, seed=seed, rules=rules)
            model.fit(train.drop("Label"), train["Label"])
            minted = model.sample_table(held.height, label=attack, seed=seed)
            auc = boosted_trees_auc(held, minted, seed=seed)
            valid = Rules.profile(PROFILE).check(minted).share
            cell = {"attack": attack, "seed": seed, "generator": generator, "rules": rules, "auc": auc, "valid": valid}
            cells.append({**cell, "rows": held.height})
            _say(f"cost: {attack}, seed {seed}, {generator}, rules {rules}: AUC {auc:.3f}, valid {valid:.1%}")
    return {"most": MOST, "cells": cells}


def markdown_cost(part: dict[str, Any]) -> list[str]:
    """Write what two-sample tests gave as Markdown."""
    lines = [
        (
            "Two-sample AUC of boosted trees, minted against held-out real rows (0.5: not told apart; nearer to it is "
            f"better). Half of the rows is learnt from, at most {part['most']:,} of each class."
        ),
        "",
        "| attack | seed | rows | generator | with rules | without | valid without |",
        "|---|---|---|---|---|---|---|",
    ]
    found = {(c["attack"], c["seed"], c["generator"], c["rules"]): c for c in part["cells"]}
    for (attack, seed, generator, rules), cell in found.items():
        if rules == "auto":
            without = found[attack, seed, generator, "none"]
            lines.append(
                f"| {attack} | {seed} | {cell['rows']:,} | `{generator}` | {cell['auc']:.3f} | {without['auc']:.3f} | "
                f"{without['valid']:.1%} |"
            )
        elif generator == "real rows":
            lines.append(f"| {attack} | {seed} | | real training rows | {cell['auc']:.3f} | | |")
    return lines
