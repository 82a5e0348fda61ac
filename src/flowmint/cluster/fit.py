"""Fitting on a cluster: the one training loop in every worker of Ray Train, each on its share of every batch.

See `flowmint.diffusion.workers`; with one worker the model is that of a plain fit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flowmint.cluster.connection import connected
from flowmint.cluster.jobs import RETRIES
from flowmint.errors import FlowmintError
from flowmint.generators import Generator, load_generator
from flowmint.generators.streamed import Reading

if TYPE_CHECKING:
    import polars as pl

    from flowmint.generators.checkpoint import Checkpoint


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
