r"""The fidelity benchmark: how like real rows minted rows are, on a whole table with all its classes.

For each seed: 60 % of every class is learnt from, as many rows of every class as the other 40 % holds are minted, and
every score of `flowmint evaluate` but the detectors' is computed, beside the same score of the real held-out rows
against the real training rows. A run that was interrupted goes on where it stopped. ``--settings`` learns with each of
some settings, ``--qualities`` samples what one fit has learnt at each quality.

    python benchmarks/fidelity.py --generators latent_diffusion,smote_standardised --out benchmarks/results/fidelity
    python benchmarks/fidelity.py --seeds 76,77 --qualities fast,balanced --out benchmarks/results/fidelity_curve
    python benchmarks/fidelity.py --seeds 76 --qualities balanced --settings effort=0.5,effort=0.25,tolerance=0 \
        --out benchmarks/results/fidelity_curve
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

from flowmint.evaluate.evaluation import evaluate_tables
from flowmint.flows.split import hold_out
from flowmint.generators import make_generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flowmint.evaluate.scores import Family
    from flowmint.flows.split import HeldOut
    from flowmint.rules.ruleset import Rules

LABEL = "Label"

SHARE = 0.4
"""Share of every class that is held out."""

FAMILIES: tuple[Family, ...] = ("distribution", "dependency", "diversity", "detectability", "privacy", "validity")

WANTED = {
    "column_error": "at most 0.015",
    "pearson_error": "at most 0.02",
    "coverage": "within 5 % of real rows",
    "beta_recall": "within 5 % of real rows",
    "membership_inference": "at most 0.55",
    "detection_boosted_trees": "at most 0.75",
    "valid_rows": "1",
}
"""What latent diffusion shall reach, by the name of the score."""


def split_table(data: Path, seed: int) -> HeldOut:
    """Give the rows to learn from and the rows to judge by."""
    table = pl.read_parquet(data / "flows" / "ciciomt2024.parquet")
    return hold_out(table, label=LABEL, share=SHARE, seed=seed)


def wanted_rows(split: HeldOut) -> dict[str, int]:
    """Tell how many rows of each class to mint: as many as are held out."""
    return dict(split.test[LABEL].value_counts(sort=True).iter_rows())


def score_minted(split: HeldOut, minted: pl.DataFrame, *, rules: Rules, seed: int) -> dict[str, dict[str, Any]]:
    """Score minted rows, whoever minted them.

    Args:
        split: The rows that were learnt from and those held out.
        minted: Minted rows with the label, columns in any order.
        rules: What valid rows satisfy, found in the rows that were learnt from.
        seed: Seed of what the scores draw.

    Returns:
        By the name of the score: its title, its value, and the same of real rows.
    """
    found = evaluate_tables(
        split.test,
        minted.select(split.test.columns),
        train=split.train,
        label=LABEL,
        rules=rules,
        families=FAMILIES,
        seed=seed,
    )
    return {s.name: {"title": s.title, "value": s.value, "reference": s.reference} for s in found.scores}


def measure(
    data: Path, generator: str, seed: int, *, setting: str = "", qualities: Sequence[str | None] = (None,)
) -> Iterator[dict[str, Any]]:
    """Learn once; mint and score at each quality, None for a generator that has none.

    Args:
        data: Folder that holds the flows.
        generator: Its name.
        seed: Seed of the split, the generator and the scores.
        setting: A setting of numbers to learn with, ``NAME=VALUE``; the usual ones if empty.
        qualities: At which qualities to mint.

    Yields:
        A cell of the result for each quality.
    """
    split = split_table(data, seed)
    model = make_generator(generator, seed=seed)
    if setting:
        name, _, value = setting.partition("=")
        model.set_params(**{name: float(value)})
    started, used = time.perf_counter(), time.process_time()
    model.fit(split.train.drop(LABEL), split.train[LABEL])
    fit = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - used}
    say(f"{generator}, seed {seed}: learnt {split.train.height:,} rows in {fit['seconds']:.0f} s")
    for quality in qualities:
        if quality is not None:
            model.set_params(quality=quality)
        started, used = time.perf_counter(), time.process_time()
        minted = pl.concat(
            model.sample_table(rows, label=name, seed=seed).with_columns(pl.lit(name).alias(LABEL))
            for name, rows in wanted_rows(split).items()
        )
        mint = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - used}
        scores = score_minted(split, minted, rules=model.validity_.rules, seed=seed)
        told = title(generator, setting, quality)
        say(f"{told}, seed {seed}: {minted.height:,} rows minted in {mint['seconds']:.0f} s; {tell_wanted(scores)}")
        yield {
            "generator": generator,
            "setting": setting,
            "quality": quality,
            "seed": seed,
            "rows_learnt": split.train.height,
            "rows_minted": minted.height,
            "fit": fit,
            "mint": mint,
            "scores": scores,
        }


def title(generator: str, setting: str, quality: str | None) -> str:
    """Name what was measured."""
    return ", ".join(part for part in (generator, quality, setting) if part)


def title_of(cell: dict[str, Any]) -> str:
    """Name what a cell measured."""
    return title(cell["generator"], cell.get("setting", ""), cell.get("quality"))


def tell_wanted(scores: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Give the scores of which something is wanted, rounded."""
    return {name: round(s["value"], 4) for name, s in scores.items() if name in WANTED and s["value"] is not None}


def markdown(result: dict[str, Any]) -> list[str]:
    """Write the result as a table: mean over seeds, spread, and the same of real rows."""
    cells = result["cells"]
    names = list(dict.fromkeys(map(title_of, cells)))
    lines = ["# Fidelity", "", result["about"], "", f"| score | wanted | real rows | {' | '.join(names)} |"]
    lines.append("|---|---|---|" + "---|" * len(names))
    for score, about in cells[0]["scores"].items():
        values = [_told([c["scores"][score]["value"] for c in cells if title_of(c) == name]) for name in names]
        real = _told([cell["scores"][score]["reference"] for cell in cells])
        lines.append(f"| {about['title']} (`{score}`) | {WANTED.get(score, '')} | {real} | {' | '.join(values)} |")
    for what, about in (("fit", "fit"), ("mint", "minting")):
        for clock, unit in (("processor_seconds", "processor seconds"), ("seconds", "seconds by the clock")):
            values = [_told([c[what][clock] for c in cells if title_of(c) == name]) for name in names]
            lines.append(f"| {about}, {unit} | | | {' | '.join(values)} |")
    return lines


def write_result(out: Path, result: dict[str, Any], lines: list[str]) -> None:
    """Write a result as JSON and Markdown, each beside and then renamed."""
    for path, text in (
        (out.with_suffix(".json"), json.dumps(result, indent=1)),
        (out.with_suffix(".md"), "\n".join(lines)),
    ):
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)


def describe() -> str:
    """Tell where and with what it is measured."""
    packages = ", ".join(f"{package} {version(package)}" for package in ("flowmint", "torch", "numpy", "polars"))
    return f"{platform.machine()}, {os.cpu_count()} cores; {packages}"


def _told(values: list[float | None]) -> str:
    """Write a mean and the standard deviation over seeds."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    spread = f" ± {stdev(known):.3g}" if len(known) > 1 else ""
    return f"{fmean(known):.4g}{spread}"


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("FLOWMINT_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder that holds flows/*.parquet")
    parser.add_argument("--generators", default="latent_diffusion", help="names, separated by commas")
    parser.add_argument("--settings", default="", help="NAME=VALUE to learn with, one after the other, commas between")
    parser.add_argument("--qualities", help="qualities of sampling, separated by commas")
    parser.add_argument("--seeds", default="0,1,2", help="seeds, separated by commas")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--out", type=Path, required=True, help="result without extension: .json and .md are written")
    return parser.parse_args()


def main() -> None:
    """Measure what is not measured yet and write both files."""
    args = parse()
    torch.set_num_threads(args.threads)
    store = args.out.with_suffix(".json")
    cells = json.loads(store.read_text())["cells"] if store.exists() else []
    about = (
        "CICIoMT2024, 19 classes, 60 % learnt from, as many rows minted of each class as are held out; mean and "
        f"standard deviation over seeds. {describe()}"
    )
    qualities = args.qualities.split(",") if args.qualities else [None]
    done = {(title_of(cell), cell["seed"]) for cell in cells}
    wanted = product(args.generators.split(","), args.settings.split(","), map(int, args.seeds.split(",")))
    for generator, setting, seed in wanted:
        left = [quality for quality in qualities if (title(generator, setting, quality), seed) not in done]
        for cell in measure(args.data, generator, seed, setting=setting, qualities=left) if left else ():
            cells.append(cell)
            result = {"about": about, "cells": cells}
            write_result(args.out, result, markdown(result))


if __name__ == "__main__":
    main()
