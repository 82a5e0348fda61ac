r"""The speed benchmark: what fitting and sampling cost, stage by stage, and what fewer evaluations lose.

``rate`` fits the 25-row task on all cores, then samples to Parquet at each quality, beside SMOTE and data-space
diffusion with the same repair, in one process and, `MORE` times as many rows, in as many as there are cores, and times
the stages of sampling on one thread beside the matrix product that bounds them. ``curve`` fits each task and seed once
and samples with 1 to 30 evaluations by each solver: how far latents end from those of the exact solution, how well
boosted trees tell the rows from rows of it, and F1 of the four detectors of `few_shot.py`. ``effort`` trains each task
and seed with fewer and more steps, on smaller and larger batches, and tells what F1 that gives. ``beside`` trains on
one thread and on all, alone and beside a busy process. ``start`` times how long a user waits before anything is done.
Run all but ``curve`` and ``effort`` on a machine that does nothing else.

    python benchmarks/speed.py --data DATA --part rate --out benchmarks/results/sampling_speed
    python benchmarks/speed.py --data DATA --part curve --solvers adams,fitted --seeds 62,63 \
        --out benchmarks/results/quality_speed
    python benchmarks/speed.py --data DATA --part effort --seeds 30,31 --out benchmarks/results/effort
    python benchmarks/speed.py --data DATA --part beside --seeds 30,31 --out benchmarks/results/beside
    python benchmarks/speed.py --part start --out benchmarks/results/start
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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import polars.selectors as cs
import torch
from rich.progress import track
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from few_shot import interval, make_task, processor, score
from flowmint.balance import balance_table
from flowmint.generators import LatentDiffusion, make_generator
from flowmint.generators.base import PART_ROWS
from flowmint.generators.denoising import QUALITIES
from flowmint.parts import Wanted, mint_file
from flowmint.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = (
    "ciciomt2024:ARP_Spoofing:25",
    "ciciomt2024:Recon-VulScan:25",
    "ciciomt2024:MQTT-Malformed_Data:25",
)
CURVE = (1, 2, 3, 4, 6, 8, 12, 16, 30)
"""Evaluations of the denoiser for each row."""

FEW = (1, 2, 3, 4, 6)
"""Evaluations where the solver is fitted."""

EXACT = 200
"""Evaluations of what counts as the exact solution."""

TOLD = 8_000
"""Rows that trees tell from as many of the exact solution."""

POINTS = 1024
"""Points whose distance from the exact solution is measured."""

EFFORTS: tuple[dict[str, Any], ...] = ({"effort": 0.5}, {"batch_rows": 128}, {}, {"batch_rows": 512}, {"effort": 2.0})
"""Settings that training takes less and more time with; the usual ones among them."""

BRIEF = 200
"""Steps of each network where only their speed matters."""

RATED: dict[str, tuple[str | None, ...]] = {
    "latent_diffusion": tuple(QUALITIES),
    "data_diffusion": ("balanced",),
    "smote_standardised": (None,),
}
"""Generators whose rate is measured, and at which qualities."""

MANY = ("latent_diffusion", "smote_standardised")
"""Those that are measured in processes too."""

MORE = 20
"""How many times as many rows processes mint: starting them takes seconds."""

STARTS = 15
"""How often each command is started."""

SIDE, BATCH = 192, 2048
"""Rows and columns of the weights, and rows of the points, whose product is timed."""


def seconds_of(work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that some work takes."""
    start = clock()
    work()
    return clock() - start


def product_rate(kind: torch.dtype, *, times: int = 400) -> float:
    """Operations a second of a matrix product as in sampling, on one thread, in thousands of millions."""
    points, weights = torch.rand(BATCH, SIDE).to(kind), torch.rand(SIDE, SIDE).to(kind)
    seconds = seconds_of(
        lambda: [torch.nn.functional.linear(points, weights) for _ in range(times)], clock=time.process_time
    )
    return 2 * BATCH * SIDE * SIDE * times / seconds / 1e9


def rate(data: Path, *, seed: int, rows: int) -> dict[str, Any]:
    """Time fitting and sampling to Parquet on all cores, and the stages of sampling on one thread."""
    split, source, attack, _ = make_task(data, TASKS[0], seed)
    features, labels = split.train.drop(source.label), split.train[source.label]
    told: dict[str, Any] = {"rows": rows, "seed": seed, "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        for name, qualities in RATED.items():
            place, model = Path(folder) / name, make_generator(name, seed=seed)
            told[f"{name}: fit, seconds"] = seconds_of(partial(model.fit, features, labels))
            model.save(place)
            for quality in qualities:
                wanted = Wanted(rows=rows, class_name=attack, seed=seed, quality=quality)
                seconds = seconds_of(partial(mint_file, place, Path(folder) / "minted.parquet", wanted))
                told[f"{name}{f', {quality}' if quality else ''}: to Parquet, rows/s"] = rows / seconds
        for name in MANY:
            told[f"{name}, many rows in processes: to Parquet, rows/s"] = beside_each_other(
                Path(folder) / name, attack, seed=seed, rows=MORE * rows
            )
        told |= one_thread(Path(folder) / "latent_diffusion", attack, seed=seed)
        told |= stages(LatentDiffusion.load(Path(folder) / "latent_diffusion"), attack, rows=rows // 8)
    return told


def beside_each_other(model: Path, attack: str, *, seed: int, rows: int) -> float:
    """Rows a second of as many processes as there are cores, their start included, at the highest rate."""
    quality = "fast" if model.name == "latent_diffusion" else None
    wanted = Wanted(rows=rows, class_name=attack, seed=seed, quality=quality)
    mint = partial(mint_file, model, model.with_name("minted.parquet"), wanted, workers=os.cpu_count() or 1)
    return rows / seconds_of(mint)


def one_thread(model: Path, attack: str, *, seed: int) -> dict[str, float]:
    """Time one part as a task of a cluster mints it: at the usual quality, on one thread, with its file's size."""
    threads, out = torch.get_num_threads(), model.with_name("part.parquet")
    torch.set_num_threads(1)
    wanted = Wanted(rows=PART_ROWS, class_name=attack, seed=seed)
    seconds = seconds_of(partial(mint_file, model, out, wanted))
    torch.set_num_threads(threads)
    return {
        "one part on one thread: to Parquet, rows/s": PART_ROWS / seconds,
        "one part: bytes/row": out.stat().st_size / PART_ROWS,
    }


def stages(model: LatentDiffusion, attack: str, *, rows: int) -> dict[str, float]:
    """Time the stages of sampling on one thread, in microseconds of the processor for each row."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    code = model.classes_.code(attack)

    def each(work: Callable[[], object]) -> float:
        work()
        return 1e6 * min(seconds_of(work, clock=time.process_time) for _ in range(3)) / rows

    def sample(evaluations: int, precision: str) -> Callable[[], object]:
        def work() -> object:
            model.set_params(evaluations=evaluations, precision=precision)
            return model._sample(rows, code, 1, SILENT)  # noqa: SLF001 - a stage by itself

        return work

    told = {}
    for precision in ("float32", "bfloat16"):
        few, many = each(sample(4, precision)), each(sample(12, precision))
        told[f"one evaluation in {precision}, µs/row"] = (many - few) / 8
        told[f"decoding and the start, with {precision}, µs/row"] = few - (many - few) / 2
    raw = model._sample(rows, code, 1, SILENT)  # noqa: SLF001
    told["rules, µs/row"] = each(lambda: model.validity_.complete(raw, model.schema_, class_name=attack))
    for precision, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        told[f"matrix product in {precision}, GFLOP/s"] = product_rate(kind)
    torch.set_num_threads(threads)
    return told


def points(model: LatentDiffusion, code: int, *, seed: int) -> torch.Tensor:
    """Draw standardised latents of one class in float32: the same noise for the same seed."""
    path = model._path(code)  # noqa: SLF001 - a stage by itself
    drawn = model._draw(path, POINTS, torch.Generator().manual_seed(seed))  # noqa: SLF001
    return (drawn - model.mean_) / model.spread_


def told_apart(rows: pl.DataFrame, exact: pl.DataFrame, *, seed: int) -> float:
    """AUC of boosted trees that tell rows from rows of the exact solution; 0.5 where they cannot."""
    table = pl.concat([rows, exact]).to_dummies(cs.string() | cs.categorical()).cast(pl.Float64)
    labels = np.repeat([0, 1], [rows.height, exact.height])
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    trees = HistGradientBoostingClassifier(random_state=seed)
    chances = cross_val_predict(trees, table.to_numpy(), labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, chances))


def curve(data: Path, *, task: str, seed: int, solvers: tuple[str, ...]) -> list[dict[str, Any]]:
    """Fit once, then sample with more and more evaluations."""
    torch.set_num_threads(1)
    split, source, attack, _ = make_task(data, task, seed)
    label = source.label
    model = LatentDiffusion(seed=seed).fit(split.train.drop(label), split.train[label])
    code, cells = model.classes_.code(attack), []

    model.set_params(solver="adams", evaluations=EXACT, precision="float32")
    ends = points(model, code, seed=seed)
    rows = model.sample_table(TOLD, label=attack, seed=seed + 1, repair=False)
    for solver in solvers:
        for evaluations in FEW if solver == "fitted" else CURVE:
            model.set_params(
                solver=solver,
                evaluations=evaluations,
                precision="float32",
                quality="fast" if solver == "fitted" else "balanced",
            )
            far = float((points(model, code, seed=seed) - ends).pow(2).mean().sqrt())
            model.set_params(precision="auto")
            train = balance_table(split.train, label=label, generator=model, seed=seed)
            f1 = score(train, split.test, label=label, attack=attack, seed=seed)
            drawn = model.sample_table(TOLD, label=attack, seed=seed, repair=False)
            apart = told_apart(drawn, rows, seed=seed)
            cell = {"task": task, "seed": seed, "solver": solver, "evaluations": evaluations, "distance": far}
            cells.append(cell | {"told_apart": apart, "f1": f1, "mean_f1": float(np.mean(list(f1.values())))})
    return cells


def effort(data: Path, *, task: str, seed: int) -> list[dict[str, Any]]:
    """Fit with more and with less effort than usual, on one thread, and score detectors on what each mints."""
    torch.set_num_threads(1)
    split, source, attack, _ = make_task(data, task, seed)
    label, cells = source.label, []
    for settings in EFFORTS:
        model = LatentDiffusion(seed=seed, **settings)
        seconds = seconds_of(partial(model.fit, split.train.drop(label), split.train[label]), clock=time.process_time)
        train = balance_table(split.train, label=label, generator=model, seed=seed)
        f1 = score(train, split.test, label=label, attack=attack, seed=seed)
        mean = float(np.mean(list(f1.values())))
        cells.append({"task": task, "seed": seed, "settings": settings, "fit": seconds, "f1": f1, "mean_f1": mean})
    return cells


def show_effort(cells: list[dict[str, Any]]) -> str:
    """One row for each effort: processor seconds and F1 of each task."""
    tasks = [task for task in TASKS if any(c["task"] == task for c in cells)]
    names = [task.split(":")[1] for task in tasks]
    lines = ["| settings | fit, processor seconds | " + " | ".join(names) + " |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for settings in EFFORTS:
        own = [c for c in cells if c["settings"] == settings]
        scores = []
        for task in tasks:
            mean, half = interval([c["mean_f1"] for c in own if c["task"] == task])
            scores.append(f"{mean:.3f} ± {half:.3f}")
        told = ", ".join(f"`{name}={value}`" for name, value in settings.items()) or "the usual"
        lines.append(f"| {told} | {np.mean([c['fit'] for c in own]):.0f} | " + " | ".join(scores) + " |")
    return "\n".join(lines)


def beside(data: Path, *, seed: int) -> dict[str, Any]:
    """Time a short fit of the 25-row task on one thread and on all, alone and beside one process that computes."""
    split, source, _, _ = make_task(data, TASKS[0], seed)
    features, labels = split.train.drop(source.label), split.train[source.label]
    told: dict[str, Any] = {"seed": seed, "steps": BRIEF}
    usual = torch.get_num_threads()
    for busy in (0, 1):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        for threads in (1, usual):
            torch.set_num_threads(threads)
            model = LatentDiffusion(seed=seed, steps=BRIEF, autoencoder_steps=BRIEF)
            told[f"{threads} threads, beside {busy} processes: seconds"] = seconds_of(
                partial(model.fit, features, labels)
            )
        for other in others:
            other.kill()
            other.wait()
    return told


def start(times: int) -> dict[str, Any]:
    """Time new processes that do nothing but start, by the clock."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import flowmint'": [sys.executable, "-c", "import flowmint"],
        "flowmint --help": [str(Path(sys.executable).with_name("flowmint")), "--help"],
    }

    def run(command: list[str]) -> None:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own

    for command in commands.values():  # caches are warm from the second time on, as a user's are
        run(command)
    return {name: sorted(seconds_of(partial(run, command)) for _ in range(times)) for name, command in commands.items()}


def show_start(found: dict[str, list[float]]) -> str:
    """One row for each command: median, least and most seconds."""
    lines = ["| command | median, s | least, s | most, s |", "|---|---|---|---|"]
    lines += [f"| `{n}` | {np.median(v):.2f} | {v[0]:.2f} | {v[-1]:.2f} |" for n, v in found.items()]
    return "\n".join(lines)


def show_rate(runs: list[dict[str, Any]]) -> str:
    """One row for each thing that was measured, one column for each run."""
    lines = ["| measured | " + " | ".join(f"seed {run['seed']}" for run in runs) + " |", "|---" * (len(runs) + 1) + "|"]
    for name in runs[0]:
        if name != "seed":
            values = [run[name] for run in runs]
            lines.append(f"| {name} | " + " | ".join(f"{v:,.0f}" if v >= 100 else f"{v:.2f}" for v in values) + " |")
    return "\n".join(lines)


def show_curve(cells: list[dict[str, Any]]) -> str:
    """One table for each solver: evaluations against distance, how well rows are told apart, and F1 of each task."""
    parts = []
    tasks = [task for task in TASKS if any(c["task"] == task for c in cells)]
    for solver in dict.fromkeys(c["solver"] for c in cells):
        names = [task.split(":")[1] for task in tasks]
        parts.append(
            f"## {solver}\n\n| evaluations | distance | told apart | {' | '.join(names)} |\n"
            + "|---" * (3 + len(names))
            + "|"
        )
        for evaluations in sorted({c["evaluations"] for c in cells if c["solver"] == solver}):
            own = [c for c in cells if c["solver"] == solver and c["evaluations"] == evaluations]
            scores = []
            for task in tasks:
                mean, half = interval([c["mean_f1"] for c in own if c["task"] == task])
                scores.append(f"{mean:.3f}" if np.isnan(half) else f"{mean:.3f} ± {half:.3f}")
            far, apart = (np.mean([c[what] for c in own]) for what in ("distance", "told_apart"))
            parts.append(f"| {evaluations} | {far:.3f} | {apart:.3f} | " + " | ".join(scores) + " |")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Measure and write one JSON and one Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLOWMINT_DATA", "data")))
    parser.add_argument("--part", choices=("rate", "curve", "effort", "beside", "start"), required=True)
    parser.add_argument("--seeds", default="30,31,32", help="seeds; others were seen while settings were chosen")
    parser.add_argument("--rows", type=int, default=500_000, help="rows to sample for a rate")
    parser.add_argument("--solvers", default="adams,dpm_solver,fitted")
    parser.add_argument("--workers", type=int, default=2, help="fits of the curve that run at once")
    parser.add_argument("--out", type=Path, required=True, help="result without extension: .json and .md are written")
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    machine = f"{platform.machine()}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    about = f"Machine: {machine}, torch {torch.__version__}; seeds {args.seeds}"
    found: Any
    if args.part == "rate":
        found = [rate(args.data, seed=seed, rows=args.rows) for seed in track(seeds, description="seeds")]
        text = f"# What fitting and sampling cost\n\n{about}\n\n{show_rate(found)}\n"
    elif args.part == "beside":
        found = [beside(args.data, seed=seed) for seed in seeds]
        text = f"# Training beside other work\n\n{about}\n\n{show_rate(found)}\n"
    elif args.part == "start":
        found = start(STARTS)
        about = f"Machine: {machine}; {STARTS} times each, after one that warmed the caches"
        text = f"# How long starting takes\n\n{about}\n\n{show_start(found)}\n"
    else:
        work = effort if args.part == "effort" else partial(curve, solvers=tuple(args.solvers.split(",")))
        found = []
        with ProcessPoolExecutor(args.workers) as pool:
            jobs = [pool.submit(work, args.data, task=task, seed=seed) for task in TASKS for seed in seeds]
            for job in track(as_completed(jobs), total=len(jobs), description="fits"):
                found += job.result()
        told = "F1 is the mean of four detectors, ± the half-width of the 95 % t-interval over the seeds."
        apart = (
            "Distance is how far latents end from those of the exact solution, in units of their spread; told apart is "
            f"the AUC of boosted trees between {TOLD:,} rows and as many of the exact solution, 0.5 where there is no "
            "difference. The fitted solver is used as `fast` uses it, with latents decoded in bfloat16 where the "
            "processor multiplies it."
        )
        if args.part == "effort":
            text = f"# What training costs and what it is worth\n\n{about}\n\n{told}\n\n{show_effort(found)}\n"
        else:
            text = f"# Evaluations and what they are worth\n\n{about}\n\n{told} {apart}\n\n{show_curve(found)}"
    for extension, content in ((".json", json.dumps({"about": about, "cells": found}, indent=1) + "\n"), (".md", text)):
        unfinished = args.out.with_suffix(f"{extension}.partial")
        unfinished.write_text(content)
        unfinished.replace(args.out.with_suffix(extension))


if __name__ == "__main__":
    main()
