"""Data-space diffusion: the same denoiser, on the encoded columns themselves instead of latents."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch
from scipy.special import ndtr

from flowmint.diffusion.train import Training
from flowmint.encode.encoder import Encoder
from flowmint.errors import ModelError
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

    Matrix = npt.NDArray[np.float32]

MOST_SPREAD = 256
"""Categorical columns with more values than this stay one number."""


@dataclass(kw_only=True, eq=False, repr=False)
class DataDiffusion(Generator):
    """Diffusion on encoded columns: numbers as standard normals, categories as zeros and ones.

    A setting that is None follows the data by the rule in `flowmint.generators.sizes`.

    Attributes:
        width: Units of the denoiser's residual stream.
        blocks: Residual blocks of the denoiser.
        steps: Training steps.
        batch_rows: Rows drawn for each training step.
        learning_rate: Highest learning rate.
        bandwidth: Noise added to encoded columns while the denoiser trains, in units of their spread.
        class_power: A class of n rows weighs n^class_power in training.
        schedule: Noise schedule.
        solver: Solver of the sampler.
        evaluations: How often the denoiser is evaluated for each sample.
        device: Where to train and sample: ``cpu``, ``cuda`` or ``auto``.
    """

    name: ClassVar[str] = "data_diffusion"

    width: int | None = None
    blocks: int = 2
    steps: int | None = None
    batch_rows: int = 512
    learning_rate: float = 2e-3
    bandwidth: float = 0.15
    class_power: float = 0.5
    schedule: str = "rectified_flow"
    solver: str = "dpm_solver"
    evaluations: int = 15
    device: str = "cpu"

    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, progress: Progress) -> None:
        weights = class_weights(codes, self.class_power)
        self.encoder_ = Encoder.fit(table, schema)
        columns = len(self.encoder_.modelled)
        self.sizes_ = Sizes.of(rows=table.height, classes=classes, columns=columns).but(
            dimensions=max(sum(map(width, self.encoder_.modelled)), 1),
            width=self.width,
            steps=self.steps,
        )
        if not columns:
            return
        seeds = spawn_seeds(self.seed, 2)
        device = find_device(self.device)
        spread = self._spread(table, seeds[0])
        shares = (weights / weights.sum())[:, None]
        self.mean_ = (shares * spread).sum(axis=0).astype(np.float32)
        self.scale_ = np.sqrt((shares * (spread - self.mean_) ** 2).sum(axis=0)).clip(0.1).astype(np.float32)
        training = Training(self.sizes_.steps, self.batch_rows, self.learning_rate)
        with progress.stage("diffusion", total=training.steps, unit="steps") as stage:
            self.denoiser_ = fit_denoiser(
                torch.from_numpy((spread - self.mean_) / self.scale_).to(device),
                torch.from_numpy(codes).to(device),
                torch.from_numpy(weights).to(device),
                shape=self._shape(classes),
                training=training,
                bandwidth=self.bandwidth,
                seed=seeds[1],
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

    def _spread(self, table: pl.DataFrame, seed: int) -> Matrix:
        """Encode a table and turn each category into zeros and ones [rows, dimensions]."""
        normal = self.encoder_.encode(table, seed=seed)
        parts = []
        for index, support in enumerate(self.encoder_.modelled):
            if width(support) == 1:
                parts.append(normal[:, index : index + 1])
            else:
                codes = support.codes(table[support.column.name])
                parts.append(np.eye(support.states, dtype=np.float32)[codes])
        return np.concatenate(parts, axis=1)

    def _gather(self, spread: Matrix) -> pl.DataFrame:
        """Turn points [rows, dimensions] back into a table; the inverse of `_spread`."""
        uniform, start = [], 0
        for support in self.encoder_.modelled:
            part = spread[:, start : start + width(support)]
            start += width(support)
            if width(support) == 1:
                uniform.append(ndtr(part[:, 0].astype(np.float64)))
            else:
                codes = part.argmax(axis=1)
                uniform.append((support.edges[codes] + support.edges[codes + 1]) / 2)
        return self.encoder_.decode_uniform(np.column_stack(uniform))

    def _sample(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        if not self.encoder_.modelled:
            return self.encoder_.decode(np.zeros((rows, 0)))
        device = next(self.denoiser_.parameters()).device
        generator = torch.Generator(device).manual_seed(spawn_seeds(seed, code + 1)[code])
        parts = []
        for size in chunks(rows, progress):
            points = draw_points(
                self.denoiser_,
                size,
                code=code,
                dimensions=self.sizes_.dimensions,
                solver=self.solver,
                evaluations=self.evaluations,
                generator=generator,
            )
            parts.append(self._gather(points.cpu().numpy() * self.scale_ + self.mean_))
        return pl.concat(parts)

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, columns = self.encoder_.to_state()
        if self.encoder_.modelled:
            arrays |= module_arrays(self.denoiser_, "denoiser")
            arrays |= {"data/mean": self.mean_, "data/scale": self.scale_}
        return arrays, {"columns": columns, "sizes": dataclasses.asdict(self.sizes_)}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any]) -> None:
        self.encoder_ = Encoder.from_state(self.schema_, arrays, learnt["columns"])
        self.sizes_ = Sizes.from_json(learnt["sizes"])
        if self.sizes_.dimensions != max(sum(map(width, self.encoder_.modelled)), 1):
            message = "its dimensions are not those of its columns"
            raise ModelError(message)
        if not self.encoder_.modelled:
            return
        with torch.device("meta"):
            self.denoiser_ = self._shape(len(self.classes_.values)).make()
        restore_module(self.denoiser_, arrays, "denoiser", find_device(self.device))
        shape = (self.sizes_.dimensions,)
        self.mean_ = restore_array(arrays, "data/mean", shape).numpy()
        self.scale_ = restore_array(arrays, "data/scale", shape).numpy()


def width(support: Support) -> int:
    """Tell how many dimensions a column takes: one, or one for each category."""
    few = support.is_categorical and 2 < support.states <= MOST_SPREAD
    return support.states if few else 1
