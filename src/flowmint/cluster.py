"""Beyond one machine: fitting, minting and balancing on a Ray cluster (extra ``ray``).

Minting: each part of a folder is a task. A part follows from the model, the seed and its number alone, and is written
beside and renamed by whoever minted it, so a task that is lost with its node is done again elsewhere, and the folder is
the same as that of one machine. Fitting: the one training loop runs in every worker of Ray Train, each on its share of
every batch, see `flowmint.diffusion.workers`; with one worker the model is that of a plain fit.

Folders that are written to must be the same on all nodes.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from flowmint.errors import FlowmintError, SettingError, WriteError
from flowmint.generators import Generator, load_generator
from flowmint.generators.streamed import Reading
from flowmint.parts import Named, Request, Wanted, begin_folder, mint_part, part_name, sweep
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowmint.generators.checkpoint import Checkpoint

RETRIES = 10
"""How often a part is minted again when its node or its process is lost."""

AHEAD = 2
"""Parts that wait for each processor of the cluster, so that none is idle."""


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
    with connected(address) as ray:
        request, done = begin_folder(model, folder, wanted)
        files = {file.name: file.read_bytes() for file in Path(model).iterdir()}
        task = ray.remote(num_cpus=1, num_gpus=1 if request.device == "cuda" else 0, max_retries=RETRIES)(_mint_part)
        sent = ray.put(files)
        with progress.stage("sampling", total=request.rows, unit="rows") as stage:
            stage.advance(sum(request.sizes[:done]))
            _collect(ray, task, sent, folder, request, done=done, stage=stage)
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


def _collect(ray: Any, task: Any, sent: Any, folder: Path, request: Request, *, done: int, stage: Any) -> None:  # noqa: ANN401 - Ray ships no types
    """Keep all processors busy; name parts in the manifest as soon as all before them are finished."""
    waiting = iter(range(done, len(request.sizes)))
    most = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    busy: dict[Any, int] = {}
    named = Named(folder, request, done)
    while True:
        for number in waiting:
            busy[task.remote(sent, str(folder), request, number)] = number
            if len(busy) >= most:
                break
        if not busy:
            return
        (ready, *_), _ = ray.wait(list(busy), num_returns=1)
        number, rows = busy.pop(ready), _result(ray, ready)
        if not (folder / part_name(number)).exists():
            message = f"a node wrote {part_name(number)}, but it is not in {folder} here; give --out a shared folder"
            raise WriteError(message)
        named.add(number)
        stage.advance(rows)


def _result(ray: Any, ready: Any) -> int:  # noqa: ANN401
    """Give a task's rows; what it raised is raised as it was, a loss that repeats itself as one sentence."""
    try:
        return int(ray.get(ready))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, FlowmintError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        message = f"a part was lost {RETRIES + 1} times ({str(error).splitlines()[0]}); repeat the command to go on"
        raise WriteError(message) from error


def _mint_part(files: dict[str, bytes], out: str, request: Request, number: int) -> int:
    """Mint one part, in a process of a node."""
    import torch

    torch.set_num_threads(1)  # as many tasks as processors run beside each other
    return mint_part(_loaded(request, tuple(files.items())), out, request, number=number)


@lru_cache(maxsize=1)
def _loaded(request: Request, files: tuple[tuple[str, bytes], ...]) -> Generator:
    """Load the model once in each process."""
    with tempfile.TemporaryDirectory(prefix="flowmint-") as folder:
        for name, content in files:
            (Path(folder) / name).write_bytes(content)
        return load_generator(folder, device=request.device).at_quality(request.quality)


def fit_on_cluster(
    generator: Generator,
    given: tuple[pl.DataFrame, pl.Series] | Reading,
    *,
    checkpoint: Checkpoint,
    workers: int = 1,
    address: str = "auto",
) -> Generator:
    """Fit a generator by workers of Ray Train; a worker that is lost is replaced, and goes on from the checkpoint.

    Args:
        generator: What shall learn; left unfitted.
        given: Rows [rows, columns] and the class of each [rows], or what `Generator.read_stream` read. Each worker gets
            it all, and computes on its share of every batch.
        checkpoint: Keeps the training; its folder's place must be the same on all nodes. Left for its owner to remove.
        workers: How many processes train together.
        address: A Ray cluster, as for `mint_on_cluster`.

    Returns:
        The fitted generator.

    Raises:
        SettingError: Ray or the cluster is not there.
        FlowmintError: As `Generator.fit`.
    """
    place, replace = checkpoint.folder.resolve(), checkpoint.replace
    with connected(address) as ray, tempfile.TemporaryDirectory(dir=place.parent, prefix=".flowmint-") as shared:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        sent = ray.put((generator, given))
        cuda = generator.device_type == "cuda"

        def work() -> None:
            model, learnt = ray.get(sent)
            _fit_worker(model, learnt, place, Path(shared), replace=replace)

        trainer = TorchTrainer(
            work,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=cuda),
            run_config=RunConfig(storage_path=str(shared), failure_config=FailureConfig(max_failures=RETRIES)),
        )
        trainer.fit()
        failed = Path(shared) / "error"
        if failed.exists():
            raise FlowmintError(failed.read_text(encoding="utf-8"))
        fitted = load_generator(Path(shared) / "model")
    if isinstance(given, Reading):
        fitted.streamed_ = given.streamed
    return fitted


def _fit_worker(
    generator: Generator,
    given: tuple[pl.DataFrame, pl.Series] | Reading,
    place: Path,
    shared: Path,
    *,
    replace: bool,
) -> None:
    """Fit in a process of a node; the first saves what was learnt."""
    from flowmint.diffusion.workers import number
    from flowmint.generators.checkpoint import Checkpoint

    checkpoint = Checkpoint(place, replace)
    try:
        if isinstance(given, Reading):
            generator.fit_reading(given, checkpoint=checkpoint)
        else:
            generator.fit(*given, checkpoint=checkpoint)
    except FlowmintError as error:  # the user's to mend: to try again would not help
        (shared / "error").write_text(str(error), encoding="utf-8")
        return
    if number() == 0:
        generator.save(shared / "model")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a Ray cluster for the length of a ``with`` block; a connection that there is, is used and left.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, ``local`` to start one here, or where it is.

    Yields:
        The module ``ray``.

    Raises:
        SettingError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here tells nobody
    try:
        import ray
    except ImportError as error:
        message = "Ray is not installed; install it with: pip install 'flowmint[ray]'"
        raise SettingError(message) from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        told = str(error).splitlines()[0]
        message = f"no Ray cluster at {address!r} ({told}); start one with 'ray start --head', or give --ray local"
        raise SettingError(message) from error
    try:
        yield ray
    finally:
        ray.shutdown()
