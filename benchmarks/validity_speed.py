"""How many rows a second are checked and repaired, and what share of them is valid before and after."""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint import Rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHECKED = 1_000_000
REPAIRED = 200_000
REPEATS = 5
SETS = {
    "ciciomt2024": ("ciciot2023", ("flows/ciciomt2024.parquet",)),
    "ciciot2023 sample": ("ciciot2023", ("flows/ciciot2023_sample.parquet",)),
    "ciciot2023 captures": ("ciciot2023", ("captures/ciciot2023/*.csv",)),
    "UNSW-NB15": ("unsw_nb15", ("flows/unsw_nb15.parquet",)),
    "NSL-KDD": ("nsl_kdd", ("flows/nsl_kdd_train20.parquet", "flows/nsl_kdd_test.parquet")),
}
"""Real tables: which profile they are checked by, and their files."""


def read(data: Path, patterns: tuple[str, ...]) -> pl.DataFrame:
    """Read a table of one or more files."""
    files = [file for pattern in patterns for file in sorted(data.glob(pattern))]
    frames = [
        pl.read_parquet(file)
        if file.suffix == ".parquet"
        else pl.read_csv(file, infer_schema_length=None).cast(pl.Float64)
        for file in files
    ]
    return pl.concat(frames)


def timed(work: Callable[[], Any], rows: int) -> dict[str, Any]:
    """Repeat a piece of work, and tell rows by second of the clock and by second of a core."""
    clock, cores = [], []
    for _ in range(REPEATS):
        started, used = time.perf_counter(), time.process_time()
        work()
        clock.append(rows / (time.perf_counter() - started))
        cores.append(rows / (time.process_time() - used))
    return {
        "rows": rows,
        "per_second": round(median(clock)),
        "least": round(min(clock)),
        "most": round(max(clock)),
        "per_core_second": round(median(cores)),
        "load": round(os.getloadavg()[0], 1),
    }


def measure_check(data: Path) -> dict[str, Any]:
    """Measure checking: real tables' shares, and the speed on a million rows."""
    shares = {}
    for name, (profile, patterns) in SETS.items():
        report = Rules.profile(profile).check(read(data, patterns))
        shares[name] = {
            "profile": profile,
            "rows": report.rows,
            "share": report.share,
            "broken": {each.rule.name: each.broken for each in report.broken},
        }
    table = read(data, SETS["ciciomt2024"][1])
    million = table.sample(CHECKED, with_replacement=True, seed=0)
    rules = Rules.profile("ciciot2023")
    return {"rules": len(rules), "speed": timed(lambda: rules.check(million), CHECKED), "shares": shares}


def markdown_check(part: dict[str, Any]) -> list[str]:
    """Write what checking gave as Markdown."""
    lines = [_speed(part["speed"], f"checked by the {part['rules']} rules of `ciciot2023`"), ""]
    lines += ["| real rows | profile | rows | valid | rules that rows break |", "|---|---|---|---|---|"]
    for name, found in part["shares"].items():
        broken = ", ".join(f"{rule} {count:,}" for rule, count in found["broken"].items()) or "none"
        lines.append(f"| {name} | `{found['profile']}` | {found['rows']:,} | {found['share']:.3%} | {broken} |")
    return lines


def _speed(speed: dict[str, Any], what: str) -> str:
    spread = f"{speed['least']:,} to {speed['most']:,} in {REPEATS} runs"
    return (
        f"{speed['rows']:,} rows {what}: {speed['per_second']:,} a second ({spread}; load {speed['load']}), "
        f"{speed['per_core_second']:,} a second of one core."
    )


def between(table: pl.DataFrame, rows: int, *, seed: int) -> pl.DataFrame:
    """Make rows between two real ones of a class, as SMOTE does."""
    rng = np.random.default_rng(seed)
    parts = []
    for (_,), group in table.group_by("Label", maintain_order=True):
        real = group.drop("Label").cast(pl.Float64).fill_null(np.nan).to_numpy()
        real = real[np.isfinite(real).all(axis=1)]
        some = -(-rows * group.height // table.height)
        one, other = (real[rng.integers(0, len(real), some)] for _ in range(2))
        parts.append(one + rng.random((some, 1)) * (other - one))
    return pl.DataFrame(rng.permutation(np.concatenate(parts))[:rows], schema=table.drop("Label").columns)


def measure_repair(data: Path) -> dict[str, Any]:
    """Measure repair of three kinds of rows that no network made."""
    rules = Rules.profile("ciciot2023")
    table = read(data, SETS["ciciomt2024"][1])
    smote = between(table, REPAIRED, seed=0)
    rng = np.random.default_rng(1)
    shuffled = pl.DataFrame([smote[name].gather(rng.permutation(REPAIRED)) for name in smote.columns])
    noise = pl.DataFrame(rng.standard_normal(smote.shape) * smote.to_numpy().std(axis=0) * 3, schema=smote.columns)
    kinds = {
        "between two real rows": smote,
        "the same in float32": smote.cast(pl.Float32),
        "columns drawn independently": shuffled,
        "normal noise": noise,
    }
    return {name: _repair(rules, rows) for name, rows in kinds.items()}


def _repair(rules: Rules, rows: pl.DataFrame) -> dict[str, Any]:
    done = rules.repair(rows)
    broken = rows.filter(pl.Series(~done.before))
    again = rules.repair(done.frame)
    return {
        "before": float(done.before.mean()),
        "after": float(done.after.mean()),
        "same_again": bool(again.frame.equals(done.frame)),
        "speed": timed(lambda: rules.repair(broken), broken.height),
    }


def markdown_repair(part: dict[str, Any]) -> list[str]:
    """Write what repair gave as Markdown."""
    loads = [found["speed"]["load"] for name, found in part.items() if name != "about"]
    busy = f"Load was {min(loads)} to {max(loads)}: what runs beside slows the clock, not the seconds of a core."
    lines = [f"Speed is that of broken rows alone: valid ones are only checked. {busy}", ""]
    lines += [
        "| rows | valid before | after | broken rows a second | spread | a second of a core | twice the same |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in part.items():
        if name == "about":
            continue
        speed = found["speed"]
        lines.append(
            f"| {name} | {found['before']:.2%} | {found['after']:.4%} | {speed['per_second']:,} | "
            f"{speed['least']:,} to {speed['most']:,} | {speed['per_core_second']:,} | "
            f"{'yes' if found['same_again'] else 'no'} |"
        )
    return lines
