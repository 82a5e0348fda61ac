"""The store: a folder with one small JSON file for each finished cell, so that a run can go on where it stopped.

A file's name ends in a digest of everything that decides the result: the rows, the task, the plan's part
in it, the generator with its settings, the version of Flowmint. A run with another plan therefore takes
what still holds and leaves the rest alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

import flowmint
from flowmint.errors import FlowmintError, ReadError, WriteError
from flowmint.evaluate.compare.cell import Job, Outcome, Shown
from flowmint.evaluate.compare.plan import REFERENCES
from flowmint.evaluate.compare.result import Cell
from flowmint.evaluate.scores import Score
from flowmint.flows.write import whole_file

ORIGIN = "origin#"
"""The column of kept rows that says what each is."""

LARGEST = 16 * 2**20
"""Bytes that a cell's file may have."""


def fingerprint(table: pl.DataFrame) -> str:
    """Digest a table's columns and rows, order included.

    Args:
        table: Rows [rows, columns].

    Returns:
        A digest in hexadecimal.
    """
    digest = hashlib.sha256(str(table.schema).encode())
    digest.update(table.hash_rows(seed=0).to_numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Store:
    """Where finished cells lie.

    Attributes:
        folder: The folder; None keeps nothing.
    """

    folder: Path | None = None

    def open(self) -> None:
        """Make the folder.

        Raises:
            WriteError: The disk refuses, or a file is in the way.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            message = f"cannot keep cells in {self.folder}: {error.strerror or error}; choose another place"
            raise WriteError(message) from error

    def read(self, job: Job, *, data: str) -> Outcome | None:
        """Give a cell that a former run finished, or None.

        Args:
            job: What would have to be done.
            data: The fingerprint of the job's table.

        Raises:
            ReadError: Its file is damaged.
        """
        place = self._place(job, data)
        if place is None or not place.exists():
            return None
        try:
            if place.stat().st_size > LARGEST:
                raise ReadError(f"it has more than {LARGEST:,} bytes")
            found = json.loads(place.read_bytes())
            cell = msgspec.convert(found["cell"], Cell)
            scores = tuple(Score.from_json(score) for score in found["scores"])
            shown = _read_shown(job, place.with_suffix(".parquet")) if job.show else None
        except (OSError, ValueError, KeyError, TypeError, FlowmintError, pl.exceptions.PolarsError) as error:
            message = f"{place} is no finished cell ({error}); remove it and run again"
            raise ReadError(message) from error
        return None if job.show and shown is None else Outcome(cell, scores, shown)

    def write(self, job: Job, outcome: Outcome, *, data: str) -> None:
        """Keep a cell; one that failed is not kept, so that another run tries it again.

        Args:
            job: What was done.
            outcome: What came out.
            data: The fingerprint of the job's table.

        Raises:
            WriteError: The disk refuses.
        """
        place = self._place(job, data)
        if place is None or outcome.cell.error is not None:
            return
        scores = [{**score.to_json(), "per_column": []} for score in outcome.scores]
        text = json.dumps({"cell": msgspec.to_builtins(outcome.cell), "scores": scores}, ensure_ascii=False)
        if outcome.shown is not None:
            with whole_file(place.with_suffix(".parquet")) as partial:
                _tagged(outcome.shown).write_parquet(partial)
        with whole_file(place) as partial:
            partial.write_text(text, encoding="utf-8")

    def _place(self, job: Job, data: str) -> Path | None:
        if self.folder is None:
            return None
        readable = f"{job.task[:40]}-{job.rows or 'all'}-{job.seed}-{job.generator}-{job.shortcuts}"
        digest = hashlib.sha256(json.dumps(_identity(job, data), sort_keys=True).encode()).hexdigest()
        return self.folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', readable)}-{digest[:16]}.json"


def _tagged(shown: Shown) -> pl.DataFrame:
    """Put rows to look at into one table that says of each what it is."""
    parts = {"real": shown.real, "minted": shown.minted, "train": shown.train}
    return pl.concat([rows.with_columns(pl.lit(what).alias(ORIGIN)) for what, rows in parts.items()])


def _read_shown(job: Job, place: Path) -> Shown | None:
    if not place.exists():
        return None
    table = pl.read_parquet(place)
    real, minted, train = (table.filter(pl.col(ORIGIN) == what).drop(ORIGIN) for what in ("real", "minted", "train"))
    return Shown(
        task=job.task, generator=job.generator, rows=train.height, seed=job.seed, real=real, minted=minted, train=train
    )


def _identity(job: Job, data: str) -> dict[str, Any]:
    """Everything that decides a cell's result."""
    plan = job.plan.about()
    settings = dict(plan.settings.get(job.generator, {}))
    rules = _rules(str(settings.get("rules", plan.rules))), plan.force_rules
    return {
        "flowmint": flowmint.__version__,
        "data": data,
        "task": [job.task, job.label, job.attack, job.benign, list(job.drop)],
        "cell": [job.rows, job.seed, job.generator, job.shortcuts],
        "settings": settings,
        "rules": None if job.generator in REFERENCES else rules,
        "plan": [plan.split, plan.most, list(plan.detectors), list(plan.families)],
    }


def _rules(wanted: str) -> str:
    """Tell rules from other rules: a rules file by what it holds, since it may change, others by their name."""
    place = Path(wanted)
    return hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else wanted
