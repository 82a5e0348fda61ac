"""Minting more rows than memory holds: part by part, into one file or into a folder of parts that can be resumed.

A folder holds ``part-00000.parquet`` and so on, and ``manifest.json``, which tells what was asked for and names the
parts that are finished. Each part is written beside and renamed, then named in the manifest; what is named is whole.
Each part follows from the model, the seed and its number alone, so a resumed folder equals an uninterrupted one, and
several processes may mint parts side by side.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import torch

from flowmint.errors import SettingError, WriteError
from flowmint.flows.write import check_extension, whole_file, write_table, write_tables
from flowmint.generators import load_generator
from flowmint.generators.base import PART_ROWS
from flowmint.generators.settings import is_whole
from flowmint.processes import run_jobs
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowmint.generators import Generator

MANIFEST = "manifest.json"
VERSION = 1

PARTS_EACH = 2
"""Parts that a process has to mint before starting it pays."""

MOST_WORKERS = 8
"""Processes that mint at most where nobody says how many: each holds a part in memory."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows to mint.

    Attributes:
        rows: How many, 1 or more.
        class_name: Their class; may be left out if the model has only one.
        label: Write the class too, in a column of this name.
        seed: Seed of the draw.
        part_rows: Rows of each part but the last; with the seed they tell which rows are minted.
        quality: How much time sampling takes: ``fast``, ``balanced`` or ``best``; the model's own if absent.
        device: Where to mint: ``cpu``, ``cuda`` or ``auto``; where the model was fitted if absent.
    """

    rows: int
    class_name: str | None = None
    label: str | None = None
    seed: int = 0
    part_rows: int = PART_ROWS
    quality: str | None = None
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of which model, as a manifest tells it.

    Attributes:
        model: SHA-256 of the model folder's files.
        rows: How many rows.
        class_name: Their class.
        label: Name of the column that tells the class; None for no such column.
        seed: Seed of the draw.
        part_rows: Rows of each part but the last.
        quality: How much time sampling takes; None for the model's own choice.
        device: What mints, ``cpu`` or ``cuda``: their random numbers differ.
    """

    model: str
    rows: int
    class_name: str
    label: str | None
    seed: int
    part_rows: int
    quality: str | None
    device: str

    @property
    def sizes(self) -> list[int]:
        """Rows of each part."""
        return [min(self.part_rows, self.rows - start) for start in range(0, self.rows, self.part_rows)]


def mint_file(
    model: str | Path, out: str | Path, wanted: Wanted, *, workers: int | None = 1, progress: Progress = SILENT
) -> int:
    """Mint rows of one class into a file, holding one part in memory at a time.

    Args:
        model: A model folder.
        out: The file; its extension tells the format. It is replaced once the new one is whole.
        wanted: Which rows.
        workers: How many processes mint parts; None for as many as pay, see `usual_workers`.
        progress: Shows how far it is.

    Returns:
        How many rows were minted: all of them.

    Raises:
        ModelError: The model folder is absent or damaged.
        LabelError: The model knows no such class.
        SettingError: What is wanted is no number of rows or no quality of the model, ``label`` is a column of it, or
            ``workers`` cannot be.
        WriteError: The file cannot be written, or a process died; nothing is left behind.
    """
    place = Path(out)
    extension = check_extension(place)
    request, generator = _request(model, wanted)
    if len(request.sizes) == 1:
        write_table(next(_mint(request, generator, first=0, progress=progress)), place)
        return wanted.rows
    count = _workers(workers, request)
    with whole_file(place) as partial:
        if count == 1:
            write_tables(_mint(request, generator, first=0, progress=progress), partial, extension)
        else:
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=".flowmint-") as folder:
                jobs = [Part(Path(model), Path(folder), request, n, kept=False) for n in range(len(request.sizes))]
                write_tables(_in_order(jobs, workers=count, progress=progress), partial, extension)
    return wanted.rows


def mint_folder(
    model: str | Path, out: str | Path, wanted: Wanted, *, workers: int | None = 1, progress: Progress = SILENT
) -> int:
    """Mint rows of one class into a folder of Parquet parts; a folder that was interrupted is finished.

    Args:
        model: A model folder.
        out: The folder, absent, empty, or begun by the same request.
        wanted: Which rows.
        workers: How many processes mint parts; None for as many as pay, see `usual_workers`.
        progress: Shows how far it is.

    Returns:
        How many rows were minted; the others were there already.

    Raises:
        ModelError: The model folder is absent or damaged.
        LabelError: The model knows no such class.
        SettingError: What is wanted is no number of rows or no quality of the model, ``label`` is a column of it, or
            ``workers`` cannot be.
        WriteError: The folder holds something else, cannot be written, or a process died; finished parts stay.
    """
    folder = Path(out)
    request, generator = _request(model, wanted)
    count = _workers(workers, request)
    done = _begin(folder, request)
    if count == 1:
        for number, part in enumerate(_mint(request, generator, first=done, progress=progress), start=done):
            write_table(part, folder / part_name(number))
            write_manifest(folder, request, finished=number + 1)
    else:
        jobs = [Part(Path(model), folder, request, number, kept=True) for number in range(done, len(request.sizes))]
        named = Named(folder, request, done)
        try:
            for job in _side_by_side(jobs, workers=count, done=done, progress=progress):
                named.add(job.number)
        finally:
            sweep(folder)
    return sum(request.sizes[done:])


@dataclass(frozen=True)
class Part:
    """A part to mint, wherever that is done.

    Attributes:
        model: The model folder.
        folder: Where the part shall lie.
        request: What is asked for.
        number: The part's number.
        kept: Whether the file stays; one that is read once and goes is not compressed.
    """

    model: Path
    folder: Path
    request: Request
    number: int
    kept: bool

    @property
    def place(self) -> Path:
        """The part's file."""
        return self.folder / (part_name(self.number) if self.kept else f"{self.number}.arrow")


class Named:
    """The manifest's parts while others mint them in any order: named are those before which all are finished."""

    def __init__(self, folder: Path, request: Request, done: int) -> None:
        """Begin where ``done`` parts are named."""
        self._folder, self._request, self._done, self._ahead = folder, request, done, set[int]()

    def add(self, number: int) -> None:
        """Count a part that is finished."""
        self._ahead.add(number)
        while self._done in self._ahead:
            self._ahead.remove(self._done)
            self._done += 1
        write_manifest(self._folder, self._request, finished=self._done)


def sweep(folder: Path) -> None:
    """Remove what processes left that were ended while they wrote a part."""
    for left in folder.glob(".part-*"):
        left.unlink(missing_ok=True)


def usual_workers(request: Request) -> int:
    """Tell how many processes pay: one for each of torch's threads that has `PARTS_EACH` parts to mint or more.

    A process takes a while to start, and holds a part in memory.
    """
    if request.device != "cpu":
        return 1
    return max(min(torch.get_num_threads(), len(request.sizes) // PARTS_EACH, MOST_WORKERS), 1)


def _workers(wanted: int | None, request: Request) -> int:
    """Check how many processes shall mint."""
    if wanted is None:
        return usual_workers(request)
    if not is_whole(wanted) or wanted < 1:
        message = f"workers is {wanted!r}; give a whole number, 1 or more"
        raise SettingError(message)
    if wanted > 1 and request.device != "cpu":
        message = f"workers is {wanted}, but the model is on a GPU, which one process keeps busy; leave it out"
        raise SettingError(message)
    return min(wanted, len(request.sizes))


def _side_by_side(jobs: list[Part], *, workers: int, done: int, progress: Progress) -> Iterator[Part]:
    """Mint parts in processes, and give each when its file is whole."""
    if not jobs:
        return
    sizes = jobs[0].request.sizes
    with progress.stage("sampling", total=sum(sizes), unit="rows") as stage:
        stage.advance(sum(sizes[:done]))
        for job, rows in run_jobs(_mint_job, jobs, workers=workers, lost=_lost):
            stage.advance(rows)
            yield job


def _in_order(jobs: list[Part], *, workers: int, progress: Progress) -> Iterator[pl.DataFrame]:
    """Mint parts in processes, and give their rows in order; their files go as soon as they are read."""
    finished, following = set[int](), iter(jobs)
    wanted = next(following, None)
    for job in _side_by_side(jobs, workers=workers, done=0, progress=progress):
        finished.add(job.number)
        while wanted is not None and wanted.number in finished:
            yield pl.read_ipc(wanted.place)
            wanted.place.unlink()
            wanted = next(following, None)


def _mint_job(job: Part) -> int:
    """Mint one part in a process of its own."""
    generator = _loaded(job.model, job.request)
    if job.kept:
        return mint_part(generator, job.folder, job.request, number=job.number)
    part = next(_mint(job.request, generator, first=job.number, progress=SILENT))
    part.write_ipc(job.place)
    return part.height


@lru_cache(maxsize=1)
def _loaded(model: Path, request: Request) -> Generator:
    """Load the model once in each process."""
    return load_generator(model, device=request.device).at_quality(request.quality)


def _lost(job: Part, told: str) -> int:
    """Tell that a process died."""
    message = f"the process that minted part {job.number} {told}; give fewer --workers, and repeat the command"
    raise WriteError(message)


def begin_folder(model: str | Path, out: str | Path, wanted: Wanted) -> tuple[Request, int]:
    """Begin a folder of parts, or take up one that was interrupted, for parts that are minted elsewhere.

    Args:
        model: A model folder.
        out: The folder, absent, empty, or begun by the same request.
        wanted: Which rows.

    Returns:
        What is asked for, and how many parts, from the first on, are finished.

    Raises:
        FlowmintError: As `mint_folder`.
    """
    request, _ = _request(model, wanted)
    return request, _begin(Path(out), request)


def mint_part(generator: Generator, out: str | Path, request: Request, *, number: int) -> int:
    """Mint one part of a folder that was begun; the manifest is left to whoever counts the parts.

    Args:
        generator: The model of the request.
        out: The folder.
        request: What is asked for.
        number: The part's number.

    Returns:
        How many rows it has.

    Raises:
        WriteError: The part cannot be written.
    """
    part = next(_mint(request, generator, first=number, progress=SILENT))
    write_table(part, Path(out) / part_name(number))
    return part.height


def _request(model: str | Path, wanted: Wanted) -> tuple[Request, Generator]:
    """Check what is wanted of a model, and load it."""
    generator = load_generator(model, device=wanted.device).at_quality(wanted.quality)
    for name, value in (("rows", wanted.rows), ("part_rows", wanted.part_rows)):
        if value < 1:
            message = f"{name} is {value}; give a whole number, 1 or more"
            raise SettingError(message)
    if wanted.label is not None and wanted.label in generator.schema_.names:
        message = f"the model has a column {wanted.label!r} of its own; give --label another name"
        raise SettingError(message)
    generator.sample_table(0, label=wanted.class_name)  # refuses a class that it does not know
    known = generator.classes_.names[0] if wanted.class_name is None else wanted.class_name
    told = {"class_name": known, "model": _fingerprint(Path(model)), "device": generator.device_type}
    return Request(**{**asdict(wanted), **told}), generator


def _fingerprint(folder: Path) -> str:
    """Tell one model folder from another by the bytes of its files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _mint(request: Request, generator: Generator, *, first: int, progress: Progress) -> Iterator[pl.DataFrame]:
    """Mint the parts that are lacking, with their class where that is asked for."""
    parts = generator.sample_parts(
        request.rows,
        label=request.class_name,
        seed=request.seed,
        part_rows=request.part_rows,
        first=first,
        progress=progress,
    )
    classes = generator.classes_
    value = classes.values[classes.code(request.class_name)]
    for part in parts:
        if request.label is None:
            yield part
        else:
            yield part.with_columns(pl.Series(request.label, [value]).new_from_index(0, part.height))


def part_name(number: int) -> str:
    """Name the file of a part."""
    return f"part-{number:05}.parquet"


def _begin(folder: Path, request: Request) -> int:
    """Make the folder, or find out how many of its parts are finished."""
    manifest = folder / MANIFEST
    if manifest.exists():
        return _finished(folder, request)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "a folder with other files in it" if folder.is_dir() else "a file"
        message = f"{folder} is {what}; give --out the name of a folder that is absent, empty or was begun before"
        raise WriteError(message)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        message = f"{folder} cannot be made: {error.strerror or error}"
        raise WriteError(message) from error
    write_manifest(folder, request, finished=0)
    return 0


def _finished(folder: Path, request: Request) -> int:
    """Count the parts, from the first on, that the manifest names and that are whole."""
    try:
        found: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        asked, parts = found["request"], found["parts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{folder / MANIFEST} is damaged; delete the folder to mint anew"
        raise WriteError(message) from error
    other = [name for name, value in asdict(request).items() if not isinstance(asked, dict) or asked.get(name) != value]
    if found.get("format_version") != VERSION or other:
        message = (
            f"{folder} was begun with another {' and '.join(other) or 'version'}; repeat that request to finish it, "
            "give --out another folder, or delete this one"
        )
        raise WriteError(message)
    sizes = request.sizes
    done = 0
    while done < len(sizes) and part_name(done) in parts and _rows_in(folder / part_name(done)) == sizes[done]:
        done += 1
    return done


def _rows_in(path: Path) -> int | None:
    """Count a Parquet file's rows; None if it is absent or damaged."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError):
        return None


def write_manifest(folder: Path, request: Request, *, finished: int) -> None:
    """Name the parts that are finished, from the first on."""
    parts = {part_name(number): size for number, size in enumerate(request.sizes[:finished])}
    content = {"format_version": VERSION, "request": asdict(request), "parts": parts}
    with whole_file(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
