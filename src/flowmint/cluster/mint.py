"""Minting on a cluster: each part of a folder is a job.

A part follows from the model, the seed and its number alone, and is written beside and renamed by whoever minted it, so
a job that is lost with its node is done again elsewhere, and the folder is the same as that of one machine.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flowmint.cluster.connection import connected
from flowmint.cluster.jobs import Cluster
from flowmint.errors import WriteError
from flowmint.generators import Generator, load_generator
from flowmint.parts import Named, Request, Wanted, begin_folder, mint_part, part_name, sweep
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


def mint_on_cluster(
    model: str | Path, out: str | Path, wanted: Wanted, *, address: str = "auto", progress: Progress = SILENT
) -> int:
    """Mint rows of one class into a folder of Parquet parts on all nodes; an interrupted folder is finished.

    Args:
        model: A model folder; it need not be on all nodes.
        out: The folder, absent, empty, or begun by the same request; the same on all nodes.
        wanted: Which rows.
        address: A Ray cluster: ``auto`` for the one that this machine belongs to, ``local`` to start one here, or
            where it is.
        progress: Shows how far it is.

    Returns:
        How many rows were minted; the others were there already.

    Raises:
        SettingError: Ray or the cluster is not there, or what is wanted is not usable.
        WriteError: The folder holds something else, cannot be written, or is not the same on all nodes.
        FlowmintError: As `flowmint.parts.mint_folder`.
    """
    folder = Path(out).resolve()
    with connected(address):
        request, done = begin_folder(model, folder, wanted)
        files = tuple((file.name, file.read_bytes()) for file in sorted(Path(model).iterdir()))
        work = partial(_mint_part, files, folder, request)
        numbers = range(done, len(request.sizes))
        named = Named(folder, request, done)
        with progress.stage("sampling", total=request.rows, unit="rows") as stage:
            stage.advance(sum(request.sizes[:done]))
            for place, rows in Cluster(address).as_they_come(work, numbers, gpu=request.device == "cuda"):
                part = part_name(numbers[place])
                if not (folder / part).exists():
                    message = f"a node wrote {part}, but it is not in {folder} here; give --out a shared folder"
                    raise WriteError(message)
                named.add(numbers[place])
                stage.advance(rows)
    sweep(folder)
    return sum(request.sizes[done:])


def mint_parts_on_cluster(
    generator: Generator,
    rows: int,
    *,
    class_name: str,
    seed: int,
    beside: Path,
    address: str = "auto",
    progress: Progress = SILENT,
) -> Iterator[pl.DataFrame]:
    """Mint rows of one class on all nodes, and give them as `flowmint.balance.mint_here` does.

    Args:
        generator: A fitted generator.
        rows: How many, 1 or more.
        class_name: Their class.
        seed: Seed of the draw.
        beside: A folder, the same on all nodes, in which a temporary one holds the parts.
        address: A Ray cluster, as for `mint_on_cluster`.
        progress: Shows how far it is.

    Yields:
        Parts in order, Polars frames [part_rows, columns].

    Raises:
        FlowmintError: As `mint_on_cluster`.
    """
    wanted = Wanted(rows=rows, class_name=class_name, seed=seed)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".flowmint-") as folder:
        model, out = Path(folder) / "model", Path(folder) / "minted"
        generator.save(model)
        mint_on_cluster(model, out, wanted, address=address, progress=progress)
        for number in range(-(-rows // wanted.part_rows)):
            yield pl.read_parquet(out / part_name(number))


def _mint_part(files: tuple[tuple[str, bytes], ...], folder: Path, request: Request, number: int) -> int:
    """Mint one part, in a process of a node."""
    import torch

    torch.set_num_threads(1)  # as many jobs as processors run beside each other
    return mint_part(_loaded(request, files), folder, request, number=number)


@lru_cache(maxsize=1)
def _loaded(request: Request, files: tuple[tuple[str, bytes], ...]) -> Generator:
    """Load the model once in each process."""
    with tempfile.TemporaryDirectory(prefix="flowmint-") as folder:
        for name, content in files:
            (Path(folder) / name).write_bytes(content)
        return load_generator(folder, device=request.device).at_quality(request.quality)
