"""The scale benchmark: fitting, sampling and balancing tables larger than memory, by rows: seconds and peak memory.

Tables are made of the real rows in --data: all rows of one file again and again, in their order, and in each repeat
`IAT` and `Rate` are multiplied by factors from 1 to 1.01, each row its own, rounded as the file is. No rule binds these
two columns but `IAT >= 1 / Rate`, which larger values keep; all others stay, so that equalities and lattices hold as
often as in the real rows. The sketch sees hundreds of thousands of distinct values, and no row is repeated exactly.

Each size is made as one Parquet file, one CSV, and a folder of CSV captures whose names tell the class. Each verb runs
in a process of its own with its defaults; seconds are those of the clock, peak memory is the process's resident set as
the kernel counts it, the processes that `sample` starts not among it. A table is removed when it was measured. A run
that was interrupted goes on with the table at which it stopped.

    python benchmarks/scale.py --data DATA --scratch FOLDER --sizes 5000000,20000000 --learn-rows 20000 --quality fast \
        --out benchmarks/results/scale
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LABEL = "Label"
SOURCE = Path("flows") / "ciciomt2024.parquet"
RARE = "Recon-Ping_Sweep"
MINTED = 100_000
"""Rows that balancing mints: real rows streaming through is what it is measured for; sampling is measured by itself."""

JITTERED = ("IAT", "Rate")
MOST_JITTER = 0.01
KINDS = ("parquet", "csv", "captures")
FLOWMINT = "from flowmint.cli import main; main()"


def repeats(data: Path, rows: int) -> Iterator[pl.DataFrame]:
    """Give real rows again and again, jittered, until there are so many."""
    table = pl.read_parquet(data / SOURCE)
    rng = np.random.default_rng(0)
    for start in range(0, rows, table.height):
        part = table.head(min(table.height, rows - start))
        factors = {name: 1 + MOST_JITTER * rng.random(part.height) for name in JITTERED}
        yield part.with_columns((pl.col(name) * pl.Series(factor)).round(6) for name, factor in factors.items())


def make(data: Path, kind: str, rows: int, place: Path) -> None:
    """Make a table of a kind; it holds one repeat in memory at a time."""
    if kind == "parquet":
        writer: Any = None
        for part in repeats(data, rows):
            arrow = part.to_arrow()
            writer = writer or pq.ParquetWriter(place, arrow.schema, compression="zstd")
            writer.write_table(arrow)
        writer.close()
    elif kind == "csv":
        with place.open("wb") as file:
            for number, part in enumerate(repeats(data, rows)):
                part.write_csv(file, include_header=number == 0)
    else:
        place.mkdir()
        for part in repeats(data, rows):
            for (name,), own in part.partition_by(LABEL, as_dict=True, include_key=False).items():
                capture = place / f"{name}.pcap.csv"
                with capture.open("ab") as file:
                    own.write_csv(file, include_header=capture.stat().st_size == 0)


def measure(arguments: Sequence[str]) -> dict[str, Any]:
    """Run a program, and tell seconds and peak memory; this process stays small, since the kernel counts it too."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - its own arguments
    _, told = _drain(process)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}: {told}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gib": round(usage.ru_maxrss / 2**20, 2),
    }


def _drain(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Read what a program tells to its end without waiting for it: `os.wait4` must do that to tell its memory."""
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    told = process.stdout.read().decode(), process.stderr.read().decode()
    process.stdout.close()
    process.stderr.close()
    return told


def run_size(options: argparse.Namespace, kind: str, rows: int) -> Iterator[dict[str, Any]]:
    """Measure the verbs on one table."""
    scratch: Path = options.scratch
    place = scratch / {"parquet": "table.parquet", "csv": "table.csv", "captures": "captures"}[kind]
    model, out = scratch / "model", scratch / "out.parquet"
    remove(place, model, out)
    measure([__file__, "--make", kind, "--data", str(options.data), "--sizes", str(rows), "--out", str(place)])
    size = sum(file.stat().st_size for file in (place.iterdir() if place.is_dir() else [place]))
    label = ["--label-from-name"] if kind == "captures" else ["--label", LABEL]
    how = ["--stream", *([] if options.learn_rows is None else ["--learn-rows", str(options.learn_rows)])]
    present = int((pl.read_parquet(options.data / SOURCE, columns=[LABEL])[LABEL] == RARE).sum())
    target = f"{RARE}={present * (rows // 91_801 + 1) + MINTED}"
    verbs = {
        "fit": ["fit", str(place), *label, "--out", str(model), "--generator", options.generator, *how],
        "balance": ["balance", str(place), *label, "--model", str(model), "--target", target, "--out", str(out)],
        "sample": ["sample", str(model), "--class", RARE, "--rows", str(rows), "--out", str(out)],
    }
    if options.quality is not None:
        verbs["sample"] += ["--quality", options.quality]
    verbs["balance"].append("--stream")
    if kind != options.kinds[0]:
        del verbs["sample"]  # it does not see the table
    for verb, arguments in verbs.items():
        yield {
            "verb": verb,
            "kind": kind,
            "rows": rows,
            "table_gb": round(size / 1e9, 2),
            **measure(["-c", FLOWMINT, *arguments]),
            "load": round(os.getloadavg()[0], 1),
        }
    remove(place, model, out)


def whole(results: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Keep the results of tables of which every verb was measured."""
    kept = []
    for kind, rows in dict.fromkeys((each["kind"], each["rows"]) for each in results):
        own = [each for each in results if (each["kind"], each["rows"]) == (kind, rows)]
        kept += own if len(own) == (3 if kind == kinds[0] else 2) else []
    return kept


def remove(*places: Path) -> None:
    """Remove files and folders that are there."""
    for place in places:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def machine() -> str:
    """Describe the machine and the packages that matter."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("flowmint", "torch", "polars", "pyarrow", "numpy"))
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {packages}"


def slope(results: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Fit seconds = fixed + each · million rows by least squares."""
    rows = np.array([found["rows"] / 1e6 for found in results])
    seconds = np.array([found["seconds"] for found in results])
    each, fixed = np.polyfit(rows, seconds, 1)
    return float(fixed), float(each)


def markdown(found: dict[str, Any]) -> str:
    """Write the results as Markdown."""
    learnt = found["learn_rows"] or "150,000"
    lines = [
        "# Tables larger than memory",
        "",
        f"Machine: {found['machine']}  ",
        f"Generator: {found['generator']}; rows drawn to learn from: {learnt}  ",
        f"Balancing mints {MINTED:,} rows; quality of sampling: {found['quality'] or 'the usual'}  ",
        "Peak memory is the process's largest resident set; load is that of the machine when the verb ended.",
        "",
        "| verb | table | rows | GB | seconds | CPU seconds | rows/s | peak memory, GiB | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['verb']} | {each['kind']} | {each['rows']:,} | {each['table_gb']} | {each['seconds']:,} | "
        f"{each['cpu_seconds']:,} | {each['rows'] / each['seconds']:,.0f} | {each['peak_gib']} | {each['load']} |"
        for each in found["results"]
    ]
    lines += ["", "Seconds by rows, where several sizes were measured:", ""]
    for verb, kind in dict.fromkeys((each["verb"], each["kind"]) for each in found["results"]):
        own = [each for each in found["results"] if (each["verb"], each["kind"]) == (verb, kind)]
        if len(own) > 1:
            fixed, each = slope(own)
            lines.append(f"- {verb}, {kind}: {fixed:,.1f} s and {each:,.1f} s more for each million rows")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds flows/")
    parser.add_argument("--scratch", type=Path, help="a folder with room for the largest table, twice")
    parser.add_argument("--sizes", default="1000000,5000000,20000000")
    parser.add_argument("--kinds", default=",".join(KINDS), type=lambda given: given.split(","))
    parser.add_argument("--learn-rows", type=int)
    parser.add_argument("--generator", default="latent_diffusion", help="smote shows what the passes alone take")
    parser.add_argument("--quality", help="of sampling: fast, balanced or best; the usual if absent")
    parser.add_argument("--out", type=Path, required=True, help="where results go, without extension")
    parser.add_argument("--make", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, and write the results after each verb."""
    options = parse()
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.make:
        make(options.data, options.make, sizes[0], options.out)
        return
    options.scratch.mkdir(parents=True, exist_ok=True)
    store = options.out.with_suffix(".json")
    before = whole(json.loads(store.read_text())["results"], options.kinds) if store.exists() else []
    found: dict[str, Any] = {"machine": machine(), "generator": options.generator, "results": before}
    found |= {"learn_rows": options.learn_rows, "quality": options.quality}
    done = {(each["kind"], each["rows"]) for each in before}
    for rows in sizes:
        for kind in options.kinds:
            for result in run_size(options, kind, rows) if (kind, rows) not in done else ():
                found["results"].append(result)
                print(result, flush=True)
                options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
                options.out.with_suffix(".md").write_text(markdown(found))


if __name__ == "__main__":
    main()
