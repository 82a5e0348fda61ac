"""The few-shot benchmark: what minted rows are worth to a detector when an attack has few real rows.

For each task (a benign class, one attack, n real attack rows) and seed: split in halves before anything
is fitted, balance the training rows with each generator, train four detectors, score them on real
held-out rows. Writes one JSON file with every cell and one Markdown table with means over seeds, 95 %
t-intervals and paired differences. A run that was interrupted goes on where it stopped. Every generator's
rows satisfy the rules that are found for the training rows; ``NAME/none`` is the generator without them.

    python benchmarks/few_shot.py --data DATA --out benchmarks/results/few_shot
    python benchmarks/few_shot.py --data DATA --task ciciomt2024:ARP_Spoofing:50 --seeds 0,1 \
        --generators none,smote,latent_diffusion,latent_diffusion/none --out /tmp/try
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from rich.progress import track
from scipy.stats import t as student

from flowmint.balance import balance_table
from flowmint.evaluate.utility import FOUR, detector_f1
from flowmint.flows.split import FewShot, few_shot
from flowmint.generators import GENERATORS, make_generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    Cell = tuple[str, int, str]

MOST = 2_500
"""Most benign training rows, most test rows of a class, and what the attack is balanced to."""

WHOLE = "ciciomt2024"
"""Source of which ``--whole`` balances everything."""

OURS = "latent_diffusion"
REFERENCES = ("none", "all_real_rows")
ALL = ("none", *GENERATORS, "all_real_rows")


@dataclass(frozen=True)
class Source:
    """A real table and how to read it.

    Attributes:
        files: Parquet files that together make up the table.
        label: Name of the label column.
        benign: The benign class.
        drop: Columns that are no features.
        finite: Whether rows with NaN or infinite values are dropped.
    """

    files: tuple[str, ...]
    label: str
    benign: str
    drop: tuple[str, ...] = ()
    finite: bool = False


SOURCES = {
    "ciciomt2024": Source(("ciciomt2024.parquet",), "Label", "Benign", finite=True),
    "nsl_kdd": Source(("nsl_kdd_train20.parquet", "nsl_kdd_test.parquet"), "Label", "normal"),
    "unsw_nb15": Source(("unsw_nb15.parquet",), "attack_cat", "Normal", drop=("id", "label")),
}

TASKS = (
    "ciciomt2024:ARP_Spoofing:25",
    "ciciomt2024:ARP_Spoofing:100",
    "ciciomt2024:Recon-VulScan:25",
    "ciciomt2024:MQTT-Malformed_Data:25",
    "nsl_kdd:warezclient:10",
    "nsl_kdd:warezclient:25",
    "nsl_kdd:guess_passwd:10",
    "nsl_kdd:guess_passwd:25",
    "nsl_kdd:teardrop:10",
    "nsl_kdd:teardrop:25",
    "unsw_nb15:Worms:25",
    "unsw_nb15:Shellcode:25",
    "unsw_nb15:Backdoor:25",
)


def read(data: Path, source: Source) -> pl.DataFrame:
    """Read a source's table."""
    table = pl.concat([pl.read_parquet(data / "flows" / name) for name in source.files], how="vertical_relaxed").drop(
        source.drop, strict=False
    )
    if source.finite:
        floats = [name for name, dtype in table.schema.items() if dtype.is_float()]
        table = table.filter(pl.all_horizontal(pl.col(floats).is_finite()))
    return table


def make_task(data: Path, task: str, seed: int) -> tuple[FewShot, Source, str, int]:
    """Split the table of a task named ``source:attack:rows``; fewer rows where half the class is fewer."""
    name, attack, rows = task.rsplit(":", 2)
    source = SOURCES[name]
    table = read(data, source)
    present = table.filter(pl.col(source.label) == attack).height
    wanted = min(int(rows), present - present // 2)
    split = few_shot(table, label=source.label, attack=attack, benign=source.benign, rows=wanted, most=MOST, seed=seed)
    return split, source, attack, wanted


def run_cell(data: Path, *, task: str, seed: int, generator: str, rate_rows: int, threads: int) -> dict[str, Any]:
    """Run one generator on one task with one seed."""
    torch.set_num_threads(threads)
    split, source, attack, rows = make_task(data, task, seed)
    cell: dict[str, Any] = {"task": task, "seed": seed, "generator": generator, "attack_rows": rows}
    label = source.label
    train = split.full if generator == "all_real_rows" else split.train
    if generator not in REFERENCES:
        name, _, rules = generator.partition("/")
        model = make_generator(name, seed=seed, rules=rules or "auto")
        start = time.perf_counter()
        model.fit(train.drop(label), train[label])
        cell["fit_seconds"] = time.perf_counter() - start
        if rate_rows:
            start = time.perf_counter()
            model.sample_table(rate_rows, label=attack, seed=seed + 1)
            cell["sampled_rows_per_second"] = rate_rows / (time.perf_counter() - start)
        train = balance_table(train, label=label, generator=model, seed=seed)
    cell["f1"] = score(train, split.test, label=label, attack=attack, seed=seed)
    cell["mean_f1"] = float(np.mean(list(cell["f1"].values())))
    return cell


def score(train: pl.DataFrame, test: pl.DataFrame, *, label: str, attack: str, seed: int) -> dict[str, float]:
    """F1 of the attack for each of the four detectors."""
    return detector_f1(
        train.drop(label),
        (train[label] == attack).to_numpy(),
        test.drop(label),
        (test[label] == attack).to_numpy(),
        seed=seed,
        detectors=FOUR,
    )


def run_whole(data: Path, *, generator: str) -> dict[str, Any]:
    """Balance the whole of `WHOLE` on the command line, every class to the largest, in a process of its own."""
    source = SOURCES[WHOLE]
    table = data / "flows" / source.files[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "balanced.parquet"
        program = str(Path(sys.executable).with_name("flowmint"))
        command = [program, "balance", str(table), "--label", source.label, "--out", str(out)]
        start = time.perf_counter()
        process = subprocess.Popen([*command, "--generator", generator, "--quiet"])  # noqa: S603 - ours
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            message = f"balance with {generator} ended with status {status}"
            raise RuntimeError(message)
        rows = pl.scan_parquet(out).select(pl.len()).collect().item()
    return {"generator": generator, "seconds": seconds, "peak_gib": usage.ru_maxrss / 2**20, "rows": rows}


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of the 95 % t-interval (NaN with a single value)."""
    count = len(values)
    if count < 2:
        return float(np.mean(values)), float("nan")
    half = student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count)
    return float(np.mean(values)), float(half)


def shown(values: list[float], *, sign: str) -> str:
    """Write a mean, with its interval where there are several values."""
    mean, half = interval(values)
    return f"{mean:{sign}.3f}" + (f" ± {half:.3f}" if len(values) > 1 else "")


def collect(cells: list[dict[str, Any]], task: str, generator: str) -> dict[int, dict[str, Any]]:
    """The cells of one task and generator by seed."""
    return {c["seed"]: c for c in cells if c["task"] == task and c["generator"] == generator}


def markdown(cells: list[dict[str, Any]], *, about: dict[str, Any], whole: list[dict[str, Any]]) -> str:
    """Write the tables: a block for each task, a line for each generator."""
    tasks = list(dict.fromkeys([*TASKS, *(c["task"] for c in cells)]))
    generators = list(dict.fromkeys([*ALL, *(c["generator"] for c in cells)]))
    lines = ["# Few-shot benchmark", ""]
    lines += [f"{key}: {value}  " for key, value in about.items()]
    lines += [
        "",
        (
            "F1 of the attack on real held-out rows, mean over seeds ± half-width of the 95 % t-interval; "
            f"`{OURS} −` is the paired difference of the mean column (above 0: {OURS} is ahead)."
        ),
    ]
    for task in tasks:
        source, attack, _ = task.rsplit(":", 2)
        ours = collect(cells, task, OURS)
        some = next((c for c in cells if c["task"] == task), None)
        if some is None:
            continue
        detectors = list(some["f1"])
        seeds = sorted({c["seed"] for c in cells if c["task"] == task})
        told = f"{some['attack_rows']} real rows, seeds {', '.join(map(str, seeds))}"
        lines += ["", f"## {source}: {attack}, {told}", ""]
        lines.append("| generator | mean | " + " | ".join(detectors) + f" | {OURS} − | fit s | rows/s |")
        lines.append("|---|" + "---|" * (len(detectors) + 4))
        for generator in generators:
            own = collect(cells, task, generator)
            if own:
                lines.append(row(generator, own, ours, detectors=detectors, seeds=seeds))
    lines += over_tasks(cells, generators)
    if whole:
        lines += ["", f"## flowmint balance on the whole of {WHOLE}, every class to the largest", ""]
        lines += ["| generator | seconds | peak memory, GiB | rows written |", "|---|---|---|---|"]
        lines += [f"| {w['generator']} | {w['seconds']:.0f} | {w['peak_gib']:.2f} | {w['rows']:,} |" for w in whole]
    return "\n".join(lines) + "\n"


def over_tasks(cells: list[dict[str, Any]], generators: list[str]) -> list[str]:
    """Write the mean over each table's tasks, where a table has several: a line for each generator that ran on all."""
    lines = []
    for source in SOURCES:
        tasks = list(dict.fromkeys(c["task"] for c in cells if c["task"].startswith(f"{source}:")))
        means = {name: seed_means(cells, tasks, name) for name in generators}
        means = {name: values for name, values in means.items() if values}
        if len(tasks) < 2 or OURS not in means:
            continue
        lines += ["", f"## {source}: mean over its {len(tasks)} tasks", ""]
        lines += [f"| generator | mean | {OURS} − |", "|---|---|---|"]
        for name, values in means.items():
            both = sorted(set(values) & set(means[OURS]))
            apart = [means[OURS][seed] - values[seed] for seed in both]
            paired = shown(apart, sign="+") if apart and name != OURS else "–"
            lines.append(
                f"| {f'**{name}**' if name == OURS else name} | {shown(list(values.values()), sign='')} | {paired} |"
            )
    return lines


def seed_means(cells: list[dict[str, Any]], tasks: list[str], generator: str) -> dict[int, float]:
    """Mean F1 over tasks for each seed with which a generator ran on all of them."""
    each = [collect(cells, task, generator) for task in tasks]
    seeds = set.intersection(*(set(found) for found in each)) if each else set()
    return {seed: float(np.mean([found[seed]["mean_f1"] for found in each])) for seed in sorted(seeds)}


def row(generator: str, own: dict[int, Any], ours: dict[int, Any], *, detectors: list[str], seeds: list[int]) -> str:
    """One line of a task's table; a generator that ran with fewer seeds than the others says with which."""
    mean = shown([c["mean_f1"] for c in own.values()], sign="")
    each = [f"{np.mean([c['f1'][name] for c in own.values()]):.3f}" for name in detectors]
    both = sorted(set(own) & set(ours))
    paired = "–"
    if generator != OURS and both:
        paired = shown([ours[s]["mean_f1"] - own[s]["mean_f1"] for s in both], sign="+")
    costs = []
    for key, digits in (("fit_seconds", 1), ("sampled_rows_per_second", 0)):
        values = [c[key] for c in own.values() if key in c]
        costs.append(f"{np.median(values):,.{digits}f}" if values else "–")
    name = f"**{generator}**" if generator == OURS else generator
    if sorted(own) != seeds:
        name += f" (seeds {', '.join(map(str, sorted(own)))})"
    return "| " + " | ".join([name, mean, *each, paired, *costs]) + " |"


def describe(args: argparse.Namespace) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    packages = ("flowmint", "torch", "scikit-learn", "imbalanced-learn", "xgboost-cpu", "numpy", "polars")
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except ModuleNotFoundError:
            versions.append(f"{package} absent")
    return {
        "Machine": f"{platform.machine()}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "Versions": ", ".join(versions),
        "Workers and threads": f"{args.workers} × {args.threads}",
        "Test": f"half of each class, at most {MOST:,} rows of it; trained on at most {MOST:,} benign rows",
    }


def processor() -> str:
    """The processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or "unknown processor"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("FLOWMINT_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder that holds flows/*.parquet")
    parser.add_argument("--task", action="append", help="source:attack:rows, repeatable; all of ours if absent")
    parser.add_argument("--seeds", default="15,16,17,18,19", help="seeds; others were seen while settings were chosen")
    parser.add_argument("--generators", default=",".join(ALL), help="names, separated by commas")
    parser.add_argument("--rate-rows", type=int, default=0, help="also time sampling of so many rows")
    parser.add_argument("--whole", action="store_true", help=f"also balance the whole of {WHOLE} with each generator")
    parser.add_argument("--workers", type=int, default=2, help="cells that run at once")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of each cell")
    parser.add_argument("--out", type=Path, required=True, help="result without extension: .json and .md are written")
    return parser.parse_args()


def run_cells(args: argparse.Namespace, wanted: list[Cell]) -> Iterator[dict[str, Any]]:
    """Run cells side by side and give each as it ends."""
    with ProcessPoolExecutor(args.workers) as pool:
        common = {"rate_rows": args.rate_rows, "threads": args.threads}
        jobs = [
            pool.submit(run_cell, args.data, task=task, seed=seed, generator=generator, **common)
            for task, seed, generator in wanted
        ]
        for job in track(as_completed(jobs), total=len(jobs), description="cells"):
            yield job.result()


def main() -> None:
    """Run what is missing and write both files."""
    args = parse()
    tasks, generators = args.task or list(TASKS), args.generators.split(",")
    seeds = [int(seed) for seed in args.seeds.split(",")]
    store = args.out.with_suffix(".json")
    known = json.loads(store.read_text()) if store.exists() else {}
    cells, whole, about = known.get("cells", []), known.get("whole", []), describe(args)

    def save() -> None:
        cells.sort(key=lambda c: (tasks.index(c["task"]) if c["task"] in tasks else -1, c["seed"], c["generator"]))
        partial = store.with_suffix(".partial")
        partial.write_text(json.dumps({"about": about, "cells": cells, "whole": whole}, indent=1) + "\n")
        partial.replace(store)

    done = {(c["task"], c["seed"], c["generator"]) for c in cells}
    for cell in run_cells(args, [key for key in product(tasks, seeds, generators) if key not in done]):
        cells.append(cell)
        save()
    balanced = {w["generator"] for w in whole}
    for generator in generators if args.whole else []:
        if generator not in {*REFERENCES, *balanced}:
            whole.append(run_whole(args.data, generator=generator))
            save()
    text = markdown(cells, about=about, whole=whole)
    args.out.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
