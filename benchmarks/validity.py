"""The validity benchmark: what rules find, hold and mend.

Each part is measured on its own and kept in one JSON file; the Markdown beside it is written anew from all parts.

    python benchmarks/validity.py --part discovery --out benchmarks/results/validity_rules
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import validity_discovery
import validity_minted
import validity_speed

if TYPE_CHECKING:
    from collections.abc import Callable

    Measure = Callable[[Path, int], dict[str, Any]]
    Part = tuple[Measure, Callable[[dict[str, Any]], list[str]]]


def of_data(measure: Callable[[Path], dict[str, Any]]) -> Measure:
    """Take what measures a part by the data alone, whatever the number of rows to mint."""
    return lambda data, _: measure(data)


PARTS: dict[str, Part] = {
    "discovery": (of_data(validity_discovery.measure), validity_discovery.markdown),
    "check": (of_data(validity_speed.measure_check), validity_speed.markdown_check),
    "repair": (of_data(validity_speed.measure_repair), validity_speed.markdown_repair),
    "minted": (validity_minted.measure_minted, validity_minted.markdown_minted),
    "cost": (validity_minted.measure_cost, validity_minted.markdown_cost),
}
"""What measures a part, and what writes it as Markdown."""


def describe() -> str:
    """What a reader needs to repeat the run."""
    packages = ", ".join(f"{package} {version(package)}" for package in ("flowmint", "numpy", "polars", "scipy"))
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {packages}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("FLOWMINT_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder that holds flows/*.parquet")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="repeatable; all if absent")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to mint in all, part minted")
    parser.add_argument("--out", type=Path, required=True, help="result without extension: .json and .md are written")
    return parser.parse_args()


def main() -> None:
    """Measure the parts that are wanted and write both files."""
    args = parse()
    store = args.out.with_suffix(".json")
    parts: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    for name in args.part or PARTS:
        parts[name] = {"about": describe(), **PARTS[name][0](args.data, args.rows)}
        partial = store.with_suffix(".partial")
        partial.write_text(json.dumps(parts, indent=1) + "\n")
        partial.replace(store)
    lines = ["# Validity"]
    for name, (_, markdown) in PARTS.items():
        if name in parts:
            lines += ["", f"## {name.capitalize()}", "", parts[name]["about"], "", *markdown(parts[name])]
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
