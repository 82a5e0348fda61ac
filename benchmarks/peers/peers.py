"""Other people's generators from their own packages, measured as `fidelity.py` measures ours.

Each peer lives in an environment of its own, which is made if absent, and sees a Parquet file of training rows (see
`run_peer.py`). Its minted rows are scored as they came, and again after the repair that every generator of ours has:
by the rules found in the same training rows; rows that cannot be made valid are left out, as ours mint them anew. It
may learn for as many processor seconds as latent diffusion did. What was minted or measured is not done again.

    python benchmarks/peers/peers.py --environments /tmp/peers --out benchmarks/results/peers
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # scripts, no package: fidelity.py lies one folder up

from fidelity import LABEL, describe, markdown, measure, say, score_minted, split_table, tell_wanted, wanted_rows
from fidelity import write_result as write
from flowmint.generators.validity import find_rules
from flowmint.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.flows.split import HeldOut
    from flowmint.rules.ruleset import Rules

OURS = ("latent_diffusion", "smote_standardised")
"""What the peers stand beside; the first one's learning is their budget."""


@dataclass(frozen=True)
class Peer:
    """Somebody else's generator.

    Attributes:
        environment: Folder of its environment; peers of one package share it.
        installs: What is given to ``pip install``, line by line.
        share: Share of the held-out rows that it mints of each class; less than 1 where minting is slow. The scores
            compare at most 10,000 rows of each table, the classes in proportion, so that a third is as good.
    """

    environment: str
    installs: tuple[tuple[str, ...], ...]
    share: float = 1.0


CTGAN = (("torch==2.13.0", "ctgan==0.12.1", "pandas==2.3.3", "pyarrow==26.0.1"),)
FOREST = (("ForestDiffusion==1.0.6", "xgboost==3.2.0", "pandas==2.3.3", "pyarrow==26.0.1"),)
SYNTHCITY = (
    ("synthcity==0.2.12", "torch==2.2.2", "opacus==1.5.2", "pandas==2.3.3"),
    ("pyarrow==21.0.0", "numpy==1.26.4"),
)
SYNTHYVERSE = (
    (
        *("torch==2.13.0", "pandas==2.3.3", "pyarrow==26.0.1", "scikit-learn==1.9.1", "xgboost-cpu==3.2.0"),
        *("seaborn", "numba", "psutil", "torch-ema", "einops", "imbalanced-learn", "tqdm"),
    ),
    ("--no-deps", "synthyverse==0.2.7"),
)

PEERS = {
    "ctgan": Peer("ctgan", CTGAN),
    "tvae": Peer("ctgan", CTGAN),
    "forest_diffusion": Peer("forest", FOREST),
    "tabddpm": Peer("synthcity", SYNTHCITY, share=1 / 3),
    "tabsyn": Peer("synthyverse", SYNTHYVERSE),
}


class PeerError(Exception):
    """A peer could not be installed, or did not run."""


def make_environment(folder: Path, installs: Sequence[Sequence[str]]) -> Path:
    """Make a peer's environment unless it is there.

    Args:
        folder: Where to.
        installs: What is given to ``pip install``, line by line.

    Returns:
        Its Python.

    Raises:
        PeerError: A package could not be installed.
    """
    python, made = folder / "bin" / "python", folder / "installed.json"
    told = json.dumps(installs)
    if made.exists() and made.read_text(encoding="utf-8") == told:
        return python
    say(f"making {folder}")
    if not python.exists():
        venv.create(folder, with_pip=True)
    for packages in installs:
        call([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    made.write_text(told, encoding="utf-8")
    return python


def call(command: list[str]) -> None:
    """Run a command of a peer's environment.

    Raises:
        PeerError: It failed; the message is the last it said.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603 - our own
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        message = f"exit {done.returncode}: {said[-1] if said else 'said nothing'}"
        raise PeerError(message)


def mint_rows(name: str, seed: int, split: HeldOut, args: argparse.Namespace) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Let a peer learn and mint, unless it did so before.

    Args:
        name: Its name.
        seed: Seed of the split and of the peer.
        split: The rows.
        args: The folder of environments and work, and the budget.

    Returns:
        Minted rows, and what the peer tells of itself.

    Raises:
        PeerError: It could not be installed or failed.
    """
    peer, folder = PEERS[name], args.environments / "runs" / str(seed)
    out = folder / f"{name}.parquet"
    if not out.with_suffix(".json").exists():
        python = make_environment(args.environments / peer.environment, peer.installs)
        folder.mkdir(parents=True, exist_ok=True)
        rows, wanted = folder / "train.parquet", folder / f"{name}.wanted.json"
        split.train.write_parquet(rows)
        counts = {of: max(round(peer.share * count), 1) for of, count in wanted_rows(split).items()}
        wanted.write_text(json.dumps(counts), encoding="utf-8")
        files = ["--rows", str(rows), "--wanted", str(wanted), "--out", str(out)]
        script, limits = str(Path(__file__).with_name("run_peer.py")), ["--seconds", str(args.seconds)]
        say(f"{name}, seed {seed}: learns for {args.seconds:.0f} processor seconds")
        call([str(python), script, name, *files, *limits, "--seed", str(seed)])
    about = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    minted = pl.read_parquet(out).select(split.train.columns)
    return minted.cast(split.train.schema), about


@cache
def rules_of(data: Path, seed: int) -> Rules:
    """Find the rules of the training rows, as every generator of ours does."""
    train = split_table(data, seed).train
    return find_rules(train.drop(LABEL), train[LABEL], progress=SILENT)


def measure_peer(name: str, seed: int, args: argparse.Namespace, *, repaired: bool) -> dict[str, Any]:
    """Mint with a peer and score its rows, as they came or repaired.

    Args:
        name: Its name.
        seed: Seed of the split, the peer and the scores.
        args: The data, the folder of environments and the budget.
        repaired: Whether to repair them first.

    Returns:
        A cell like those of `fidelity.measure`.

    Raises:
        PeerError: It could not be installed or failed.
    """
    split = split_table(args.data, seed)
    minted, about = mint_rows(name, seed, split, args)
    failed = 0
    if repaired:
        done = rules_of(args.data, seed).repair(minted, label=LABEL)
        minted, failed = done.frame.filter(pl.Series(done.after)), int(done.failed.sum())
    scores = score_minted(split, minted, rules=rules_of(args.data, seed), seed=seed)
    told = f"{name} + repair" if repaired else name
    say(f"{told}, seed {seed}: {minted.height:,} rows; {tell_wanted(scores)}")
    counts = dict(minted[LABEL].value_counts(sort=True).iter_rows())
    return {"generator": told, "seed": seed, **about, "failed_repair": failed, "rows": counts, "scores": scores}


def report(result: dict[str, Any]) -> list[str]:
    """Write the result as Markdown: the scores, what each peer was told, and which of them failed."""
    lines = markdown(result)
    lines[0] = "# Peers"
    peers = [cell for cell in result["cells"] if "settings" in cell and not cell["generator"].endswith("repair")]
    head = "| peer | seed | versions | settings beyond the defaults | fit, processor seconds (clock) |"
    lines += ["", head + " rows minted (drawn) | rows a processor second |", "|---|---|---|---|---|---|---|"]
    for cell in peers:
        told = [", ".join(f"{key} {value}" for key, value in cell[part].items()) for part in ("versions", "settings")]
        fit = f"{cell['fit']['processor_seconds']:.0f} ({cell['fit']['seconds']:.0f})"
        rows = f"{cell['rows_minted']:,} ({cell['rows_drawn']:,})"
        speed = f"{cell['rows_per_second']:.0f}"
        lines.append("| " + " | ".join([cell["generator"], str(cell["seed"]), *told, fit, rows, speed]) + " |")
    if result["failed"]:
        lines += ["", "Failed:", ""]
        lines += [f"- {each['peer']}, seed {each['seed']}: {each['reason']}" for each in result["failed"]]
    return lines


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("FLOWMINT_DATA", str(Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder that holds flows/*.parquet")
    parser.add_argument("--environments", type=Path, required=True, help="folder for environments and minted rows")
    parser.add_argument("--peers", default=",".join(PEERS), help="names, separated by commas")
    parser.add_argument("--seeds", default="60", help="seeds, separated by commas")
    parser.add_argument("--beside", type=Path, help="result of fidelity.py to take our generators from, JSON")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of our generators; peers have one")
    parser.add_argument("--out", type=Path, required=True, help="result without extension: .json and .md are written")
    args = parser.parse_args()
    unknown = set(args.peers.split(",")) - set(PEERS)
    if unknown:
        parser.error(f"no such peers: {', '.join(sorted(unknown))}; known: {', '.join(PEERS)}")
    return args


class Store:
    """The result so far, written after every cell."""

    def __init__(self, out: Path) -> None:
        self.out = out
        file = out.with_suffix(".json")
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.cells: list[dict[str, Any]] = found.get("cells", [])
        self.failed: list[dict[str, Any]] = found.get("failed", [])

    def find(self, generator: str, seed: int) -> dict[str, Any] | None:
        """Give a cell that is there."""
        return next((c for c in self.cells if (c["generator"], c["seed"]) == (generator, seed)), None)

    def write(self) -> None:
        """Write both files."""
        about = (
            "CICIoMT2024, 19 classes, 60 % learnt from: the same rows and scores as in fidelity.md. A peer's rows as "
            "they came, and after the same repair as ours; each learnt on one thread for about the processor "
            f"seconds of latent diffusion. {describe()}"
        )
        result = {"about": about, "cells": self.cells, "failed": self.failed}
        write(self.out, result, report(result))


def measure_ours(store: Store, seed: int, args: argparse.Namespace) -> None:
    """Take our generators' cells from a result of fidelity.py, or measure them."""
    given = json.loads(args.beside.read_text(encoding="utf-8"))["cells"] if args.beside else []
    for name in OURS:
        if store.find(name, seed) is None:
            found = next((cell for cell in given if (cell["generator"], cell["seed"]) == (name, seed)), None)
            store.cells.extend([found] if found else measure(args.data, name, seed))
            store.write()


def main() -> None:
    """Measure what is not measured yet; a peer that fails is told, and the others go on."""
    args = parse()
    torch.set_num_threads(args.threads)
    os.environ["OMP_NUM_THREADS"] = "1"
    store = Store(args.out)
    for seed in map(int, args.seeds.split(",")):
        measure_ours(store, seed, args)
        budget = store.find(OURS[0], seed)
        if budget is None:
            raise AssertionError
        args.seconds = budget["fit"]["processor_seconds"]
        for name in args.peers.split(","):
            store.failed = [each for each in store.failed if (each["peer"], each["seed"]) != (name, seed)]
            try:
                for repaired in (False, True):
                    if store.find(f"{name} + repair" if repaired else name, seed) is None:
                        store.cells.append(measure_peer(name, seed, args, repaired=repaired))
                        store.write()
            except PeerError as error:
                say(f"{name}, seed {seed}: {error}")
                store.failed.append({"peer": name, "seed": seed, "reason": str(error)})
            store.write()


if __name__ == "__main__":
    main()
