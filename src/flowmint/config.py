"""Run files: a comparison written down in TOML, so that anybody can run the same one again.

Example::

    title = "Man in the middle"
    rows = [10, 25]
    seeds = 5
    generators = ["none", "smote", "latent_diffusion", "all_real_rows"]
    shortcuts = ["kept", "dropped"]

    [sources.flows]
    files = ["flows/train.parquet"]
    label = "Label"

    [[tasks]]
    source = "flows"
    attack = "ARP_Spoofing"

    [generator.latent_diffusion]
    evaluations = 20

Paths are relative to a data folder that is given when the file is read. An unknown key is refused.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from flowmint.errors import LabelError, ReadError, SettingError, nearest
from flowmint.evaluate.compare import INTRINSIC, Plan, Task
from flowmint.evaluate.compare.result import Shortcuts  # noqa: TC001 - msgspec reads annotations at run time
from flowmint.flows.read import concatenate, read_table
from flowmint.flows.split import CAPTURE
from flowmint.generators.settings import Setting  # noqa: TC001 - the same
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST = 2**20
"""Bytes that a run file may have."""

OTHERWISE = ("seeds", "settings")
"""Settings of a plan that a run file writes in another way."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table to read.

    Attributes:
        files: CSV or Parquet files, or folders of captures, with the same columns.
        label: The label column.
        label_from_name: Whether the class comes from each file's name.
        categorical: Columns whose values are names.
        drop: Columns that are no features.
        delimiter: What separates the cells of a CSV.
        finite: Whether rows with a NaN or an infinite value are left out.
    """

    files: tuple[str, ...]
    label: str = "Label"
    label_from_name: bool = False
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    delimiter: str | None = None
    finite: bool = False


class TaskEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attack to tell from benign rows.

    Attributes:
        source: The source of the attack rows.
        attack: The attack class.
        name: How the task is called; the attack class if absent.
        benign: The benign class; the largest other class if absent.
        benign_source: The source of the benign rows; that of the attack rows if absent.
    """

    source: str
    attack: str
    name: str | None = None
    benign: str | None = None
    benign_source: str | None = None


class RunFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole run file; what is absent is the default of `flowmint.evaluate.compare.Plan`.

    Attributes:
        sources: Tables by name.
        tasks: What to tell apart.
        title: What the result is called.
        rows: Numbers of real attack rows.
        seeds: Seeds, or how many, counted from 0.
        generators: Generators and references.
        generator: Settings of generators that are not their defaults.
        detectors: Detectors; all that are installed if absent.
        split: What stays together.
        shortcuts: ``kept``, ``dropped``, or both.
        most: Most rows of a class.
        families: Families of intrinsic scores.
        ours: The generator whose lead is told.
        headline: Up to how many real rows the overall means go.
        rules: What every generator's rows satisfy.
        force_rules: Whether they are kept although more real rows break one of them than may.
    """

    sources: dict[str, Source]
    tasks: tuple[TaskEntry, ...]
    title: str = ""
    rows: tuple[int, ...] = Plan.rows
    seeds: int | tuple[int, ...] = Plan.seeds
    generators: tuple[str, ...] = Plan.generators
    generator: dict[str, dict[str, Setting]] = {}
    detectors: tuple[str, ...] | None = None
    split: str = Plan.split
    shortcuts: tuple[Shortcuts, ...] = Plan.shortcuts
    most: int = Plan.most
    families: tuple[str, ...] = INTRINSIC
    ours: str | None = None
    headline: int = Plan.headline
    rules: str = Plan.rules
    force_rules: bool = Plan.force_rules


@dataclass(frozen=True)
class RunSettings:
    """What a run file asks for, its tables read.

    Attributes:
        title: What the result is called.
        tasks: What to tell apart.
        plan: How to measure.
    """

    title: str
    tasks: tuple[Task, ...]
    plan: Plan


def read_run(
    path: str | Path,
    *,
    data: str | Path | None = None,
    only: Sequence[str] = (),
    shortcuts: Shortcuts | None = None,
    progress: Progress = SILENT,
) -> RunSettings:
    """Read a run file and the tables that it names.

    Args:
        path: The run file, in TOML.
        data: Folder to which the files of sources are relative; the run file's own if absent.
        only: Names of the tasks to take; all if there is none. Tables that only others need are not read.
        shortcuts: ``kept`` or ``dropped``, to take only that of the run file's two; as it says if absent.
        progress: Shows how far reading is.

    Returns:
        Tasks and plan, checked.

    Raises:
        ReadError: The run file or a table cannot be read.
        SettingError: A key is unknown, or a value is not usable; the message names it. Or there is no such task, or the
            run file does not say ``shortcuts``.
        LabelError: A class is absent.
    """
    place = Path(path)
    run = parse_run(_read_text(place), name=str(place))
    entries = _wanted(run, only, name=str(place))
    plan = _narrowed(plan_of(run), shortcuts, name=str(place))
    folder = place.parent if data is None else Path(data)
    tables = _Tables(run.sources, folder, by_capture=run.split == "capture", progress=progress)
    return RunSettings(run.title, tuple(_task(entry, tables) for entry in entries), plan)


def parse_run(text: str, *, name: str) -> RunFile:
    """Read the text of a run file, without the tables that it names.

    Args:
        text: TOML.
        name: What messages call the file.

    Returns:
        The run file.

    Raises:
        ReadError: It is no TOML.
        SettingError: A key is unknown, or a value is of the wrong type.
    """
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = f"{name} is no valid TOML: {error}"
        raise ReadError(message) from error
    _check_keys(found, RunFile, name)
    for key, source in _tables_in(found, "sources", name).items():
        _check_keys(source, Source, f"{name}: [sources.{key}]")
    for place, entry in enumerate(found.get("tasks") or []):
        _check_keys(entry, TaskEntry, f"{name}: [[tasks]] number {place + 1}")
    try:
        run = msgspec.convert(found, RunFile)
    except msgspec.ValidationError as error:
        message = f"{name}: {error}"
        raise SettingError(message) from error
    if not run.tasks:
        message = f"{name} has no [[tasks]]; give at least one with source and attack"
        raise SettingError(message)
    for entry in run.tasks:
        for wanted in (entry.source, entry.benign_source):
            if wanted is not None and wanted not in run.sources:
                message = f"{name}: there is no source {wanted!r}; {nearest(wanted, run.sources)}"
                raise SettingError(message)
    return run


def plan_of(run: RunFile) -> Plan:
    """Make the plan that a run file asks for.

    Raises:
        SettingError: A setting is unknown or out of its range.
    """
    if isinstance(run.seeds, int) and run.seeds < 1:
        message = f"seeds is {run.seeds}; give how many, 1 or more, or a list of seeds"
        raise SettingError(message)
    same = {part.name: getattr(run, part.name) for part in fields(Plan) if part.name not in OTHERWISE}
    seeds = tuple(range(run.seeds)) if isinstance(run.seeds, int) else run.seeds
    plan = Plan(seeds=seeds, settings=run.generator, **same)
    plan.check()
    return plan


def _narrowed(plan: Plan, shortcuts: Shortcuts | None, *, name: str) -> Plan:
    """Take one of a plan's two ways with shortcuts."""
    if shortcuts is None:
        return plan
    if shortcuts not in plan.shortcuts:
        message = f"{name} compares with shortcuts {' and '.join(plan.shortcuts)} only, not {shortcuts}"
        raise SettingError(message)
    return replace(plan, shortcuts=(shortcuts,))


def _wanted(run: RunFile, only: Sequence[str], *, name: str) -> tuple[TaskEntry, ...]:
    """Give the tasks of these names, in the run file's order."""
    known = {entry.name or entry.attack: entry for entry in run.tasks}
    for wanted in only:
        if wanted not in known:
            message = f"{name} has no task {wanted!r}; {nearest(wanted, known, show=20)}"
            raise SettingError(message)
    return tuple(entry for called, entry in known.items() if called in only) if only else run.tasks


def _read_text(place: Path) -> str:
    try:
        size = place.stat().st_size
        if size > LARGEST:
            message = f"{place} has {size:,} bytes, at most {LARGEST:,} are allowed; is this a run file?"
            raise ReadError(message)
        return place.read_bytes().decode()
    except UnicodeDecodeError as error:
        message = f"{place} is not UTF-8; is this a run file?"
        raise ReadError(message) from error
    except OSError as error:
        message = f"{place} cannot be read: {error.strerror or error}"
        raise ReadError(message) from error


def _check_keys(found: object, kind: type[msgspec.Struct], where: str) -> None:
    """Refuse a key that a table of a run file does not have."""
    if not isinstance(found, dict):
        message = f"{where} is {str(found)[:40]!r}; give a table of names and values"
        raise SettingError(message)
    known = kind.__struct_fields__
    for key in found:
        if key not in known:
            message = f"{where}: unknown key {key!r}; {nearest(key, known, show=20)}"
            raise SettingError(message)


def _tables_in(found: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    tables = found.get(key)
    if not isinstance(tables, dict) or not tables:
        message = f"{name} has no [{key}.NAME]; give at least one, with files and label"
        raise SettingError(message)
    return tables


class _Tables:
    """Sources, each read once when it is first asked for."""

    def __init__(self, sources: Mapping[str, Source], folder: Path, *, by_capture: bool, progress: Progress) -> None:
        self.sources = sources
        self._folder = folder
        self._capture = CAPTURE if by_capture else None
        self._progress = progress
        self._read: dict[str, pl.DataFrame] = {}

    def read(self, name: str) -> pl.DataFrame:
        """Give the table of a source."""
        if name not in self._read:
            source = self.sources[name]
            places = [self._folder / file for file in source.files]
            if not places:
                message = f"source {name!r} has no files; give at least one"
                raise SettingError(message)
            tables = [self._read_one(source, place) for place in places]
            self._read[name] = _finite(concatenate(tables, places)) if source.finite else concatenate(tables, places)
        return self._read[name]

    def _read_one(self, source: Source, place: Path) -> pl.DataFrame:
        return read_table(
            place,
            label=source.label,
            label_from_name=source.label_from_name,
            categorical=source.categorical,
            drop=source.drop,
            delimiter=source.delimiter,
            capture=self._capture,
            progress=self._progress,
        )


def _finite(table: pl.DataFrame) -> pl.DataFrame:
    """Leave rows out that have a NaN, an infinite or an empty value among decimals."""
    floats = [name for name, dtype in table.schema.items() if dtype.is_float()]
    return table.filter(pl.all_horizontal(pl.col(floats).is_finite())) if floats else table


def _task(entry: TaskEntry, tables: _Tables) -> Task:
    label = tables.sources[entry.source].label
    table = tables.read(entry.source)
    if entry.benign_source is not None and entry.benign_source != entry.source:
        table = _beside(entry, tables, label=label)
    return Task(name=entry.name or entry.attack, table=table, label=label, attack=entry.attack, benign=entry.benign)


def _beside(entry: TaskEntry, tables: _Tables, *, label: str) -> pl.DataFrame:
    """Put the benign rows of one source beside the attack rows of another."""
    other = entry.benign_source or entry.source
    if entry.benign is None:
        message = f"task {entry.name or entry.attack!r} takes benign rows from {other!r}; say which class (benign)"
        raise SettingError(message)
    parts = []
    for source, name in ((other, entry.benign), (entry.source, entry.attack)):
        own = tables.sources[source].label
        table = tables.read(source)
        rows = table.filter(pl.col(own).cast(pl.String) == name)
        if not rows.height:
            known = table[own].cast(pl.String).unique().sort().to_list()
            message = f"source {source!r} has no class {name!r}; {nearest(name, known)}"
            raise LabelError(message)
        parts.append(rows.with_columns(pl.col(own).cast(pl.String)).rename({own: label}))
    return concatenate(parts, [Path(other), Path(entry.source)])
