"""Latent diffusion: an autoencoder maps rows to latents, a diffusion model learns the latents by class."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from flowmint.diffusion.autoencoder import Autoencoder, Cells, reconstruction_loss
from flowmint.diffusion.train import Training, build, train
from flowmint.encode.cells import cell_edges
from flowmint.encode.encoder import Encoder
from flowmint.generators.base import Generator
from flowmint.generators.denoising import (
    DenoiserShape,
    chunks,
    class_weights,
    draw_points,
    find_device,
    fit_denoiser,
    module_arrays,
    restore_array,
    restore_module,
    spawn_seeds,
)
from flowmint.generators.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from flowmint.encode.support import Support
    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.progress import Progress


@dataclass(kw_only=True, eq=False, repr=False)
class LatentDiffusion(Generator):
    """Latent diffusion for flow tables (after arXiv 2601.16976; details are ours, see docs/method.md).

    A setting that is None follows the data by the rule in `flowmint.generators.sizes`.

    Attributes:
        latent_dim: Dimensions of a latent.
        cells: Cells of equal share into which each column is cut, spikes apart.
        autoencoder_width: Units of the autoencoder's hidden layers.
        autoencoder_steps: Training steps of the autoencoder.
        width: Units of the denoiser's residual stream.
        blocks: Residual blocks of the denoiser.
        steps: Training steps of the denoiser.
        batch_rows: Rows drawn for each training step.
        autoencoder_learning_rate: Highest learning rate of the autoencoder.
        learning_rate: Highest learning rate of the denoiser.
        latent_noise: Noise added to latents while the autoencoder trains, in units of their spread.
        bandwidth: Noise added to latents while the denoiser trains, in units of their spread: it learns
            a kernel estimate of the latents' density rather than the rows themselves.
        class_power: A class of n rows weighs n^class_power while the denoiser trains.
        schedule: Noise schedule.
        solver: Solver of the sampler.
        evaluations: How often the denoiser is evaluated for each sample.
        device: Where to train and sample: ``cpu``, ``cuda`` or ``auto``.
    """

    name: ClassVar[str] = "latent_diffusion"

    latent_dim: int | None = None
    cells: int | None = None
    autoencoder_width: int | None = None
    autoencoder_steps: int | None = None
    width: int | None = None
    blocks: int = 2
    steps: int | None = None
    batch_rows: int = 512
    autoencoder_learning_rate: float = 3e-3
    learning_rate: float = 2e-3
    latent_noise: float = 0.05
    bandwidth: float = 0.15
    class_power: float = 0.5
    schedule: str = "rectified_flow"
    solver: str = "dpm_solver"
    evaluations: int = 15
    device: str = "cpu"

    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, progress: Progress) -> None:
        # Encoder and autoencoder see classes as frequent as they are: resolution follows the rows there are,
        # and only the denoiser, which is told the class, sees rare classes more often.
        self.encoder_ = Encoder.fit(table, schema)
        numbers = sum(map(numbers_of, self.encoder_.modelled))
        self.sizes_ = Sizes.of(rows=table.height, classes=classes, columns=numbers).but(
            dimensions=self.latent_dim,
            cells=self.cells,
            width=self.width,
            autoencoder_steps=self.autoencoder_steps,
            steps=self.steps,
        )
        if not numbers:
            return
        seeds = spawn_seeds(self.seed, 3)
        device = find_device(self.device)
        self.cells_ = cut(self.encoder_, self.sizes_.cells, device)
        normal = torch.from_numpy(self.encoder_.encode(table, seed=seeds[0])).to(device)
        cells, positions = self.cells_.locate(torch.special.ndtr(normal.double()))
        self.autoencoder_ = self._fit_autoencoder(normal, cells, positions.float(), seeds[1], progress)
        draw = torch.from_numpy(class_weights(codes, self.class_power)).to(device)
        training = Training(self.sizes_.steps, self.batch_rows, self.learning_rate)
        with progress.stage("diffusion", total=training.steps, unit="steps") as stage:
            self.denoiser_ = fit_denoiser(
                self._standardise(normal, cells, draw),
                torch.from_numpy(codes).to(device),
                draw,
                shape=self._shape(classes),
                training=training,
                bandwidth=self.bandwidth,
                seed=seeds[2],
                stage=stage,
            )

    def _shape(self, classes: int) -> DenoiserShape:
        return DenoiserShape(
            dimensions=self.sizes_.dimensions,
            classes=classes,
            width=self.sizes_.width,
            blocks=self.blocks,
            schedule=self.schedule,
        )

    def _make_autoencoder(self) -> Autoencoder:
        return Autoencoder(
            counts=self.cells_.counts,
            latent_dim=self.sizes_.dimensions,
            width=self.autoencoder_width or self.sizes_.width,
        )

    def _fit_autoencoder(
        self, normal: Tensor, cells: Tensor, positions: Tensor, seed: int, progress: Progress
    ) -> Autoencoder:
        autoencoder = build(self._make_autoencoder, seed=seed, device=normal.device)
        generator = torch.Generator(normal.device).manual_seed(seed)
        shared = self.cells_.is_shared(cells)

        def loss() -> Tensor:
            rows = torch.randint(len(normal), (self.batch_rows,), generator=generator, device=normal.device)
            latents = autoencoder.encode(normal[rows], cells[rows])
            spread = latents.detach().std(dim=0, correction=0)
            noise = torch.randn(latents.shape, generator=generator, device=latents.device)
            decoded = autoencoder.decode(latents + self.latent_noise * spread * noise)
            return reconstruction_loss(*decoded, cells[rows], positions[rows], shared[rows])

        training = Training(self.sizes_.autoencoder_steps, self.batch_rows, self.autoencoder_learning_rate)
        with progress.stage("autoencoder", total=training.steps, unit="steps") as stage:
            train(autoencoder, loss, training=training, stage=stage)
        return autoencoder

    @torch.no_grad()
    def _standardise(self, normal: Tensor, cells: Tensor, draw: Tensor) -> Tensor:
        """Encode all rows and remember the latents' mean and spread; give latents of unit variance."""
        latents = self.autoencoder_.encode(normal, cells)
        share = (draw / draw.sum())[:, None].float()
        self.mean_ = (share * latents).sum(dim=0)
        self.spread_ = (share * (latents - self.mean_) ** 2).sum(dim=0).sqrt().clamp(min=1e-6)
        return (latents - self.mean_) / self.spread_

    def _sample(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        if not self.encoder_.modelled:
            return self.encoder_.decode(np.zeros((rows, 0)))
        device = self.mean_.device
        generator = torch.Generator(device).manual_seed(spawn_seeds(seed, code + 1)[code])
        parts = [self._sample_chunk(size, code, generator) for size in chunks(rows, progress)]
        return pl.concat(parts)

    @torch.no_grad()
    def _sample_chunk(self, rows: int, code: int, generator: torch.Generator) -> pl.DataFrame:
        points = draw_points(
            self.denoiser_,
            rows,
            code=code,
            dimensions=self.sizes_.dimensions,
            solver=self.solver,
            evaluations=self.evaluations,
            generator=generator,
        )
        logits, positions = self.autoencoder_.decode(points * self.spread_ + self.mean_)
        cells = torch.stack([column.argmax(dim=1) for column in logits], dim=1)
        return self.encoder_.decode_uniform(self.cells_.place(cells, positions.double()).cpu().numpy())

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, columns = self.encoder_.to_state()
        if self.encoder_.modelled:
            arrays |= module_arrays(self.autoencoder_, "autoencoder")
            arrays |= module_arrays(self.denoiser_, "denoiser")
            arrays |= {"latent/mean": self.mean_.cpu().numpy(), "latent/spread": self.spread_.cpu().numpy()}
        return arrays, {"columns": columns, "sizes": dataclasses.asdict(self.sizes_)}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any]) -> None:
        self.encoder_ = Encoder.from_state(self.schema_, arrays, learnt["columns"])
        self.sizes_ = Sizes.from_json(learnt["sizes"])
        if not self.encoder_.modelled:
            return
        device = find_device(self.device)
        self.cells_ = cut(self.encoder_, self.sizes_.cells, device)
        with torch.device("meta"):
            self.autoencoder_ = self._make_autoencoder()
            self.denoiser_ = self._shape(len(self.classes_.values)).make()
        restore_module(self.autoencoder_, arrays, "autoencoder", device)
        restore_module(self.denoiser_, arrays, "denoiser", device)
        shape = (self.sizes_.dimensions,)
        self.mean_ = restore_array(arrays, "latent/mean", shape).to(device)
        self.spread_ = restore_array(arrays, "latent/spread", shape).to(device)


def numbers_of(support: Support) -> int:
    """Tell how many dimensions of a latent a column is worth: one, and log2 of its values more for names."""
    return 1 + math.ceil(math.log2(support.states)) if support.is_categorical and support.states > 2 else 1


def cut(encoder: Encoder, cells: int, device: torch.device) -> Cells:
    """Cut each modelled column of an encoder into cells.

    Args:
        encoder: A fitted encoder.
        cells: Cells of equal share.
        device: Where the bounds shall lie.

    Returns:
        The cells.
    """
    pairs = [cell_edges(support, cells=cells) for support in encoder.modelled]
    return Cells(
        edges=tuple(torch.from_numpy(edges).to(device) for edges, _ in pairs),
        shared=tuple(torch.from_numpy(shared).to(device) for _, shared in pairs),
    )
