"""Data-space diffusion: the same denoiser, on the encoded columns themselves instead of latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from flowmint.encode.spread import dimensions, spread, uniform
from flowmint.errors import ModelError
from flowmint.generators.denoising import DenoisingGenerator
from flowmint.generators.sizes import Sizes
from flowmint.generators.tensors import find_device, spawn_seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt
    import polars as pl
    from torch import Tensor

    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.generators.trainer import Trainer


@dataclass(kw_only=True, eq=False, repr=False)
class DataDiffusion(DenoisingGenerator):
    """Diffusion on encoded columns: numbers as standard normals, categories as zeros and ones.

    Attributes are those of `flowmint.generators.denoising.DenoisingGenerator`.
    """

    name: ClassVar[str] = "data_diffusion"
    least_spread: ClassVar[float] = 0.1

    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, trainer: Trainer) -> None:
        self.encoder_ = self._fit_encoder(table, schema)
        columns = len(self.encoder_.modelled)
        sizes = Sizes.of(rows=table.height, classes=classes, columns=columns, effort=self.effort)
        self.sizes_ = sizes.but(dimensions=dimensions(self.encoder_), width=self.width, steps=self.steps)
        if not columns:
            return
        seeds = spawn_seeds(self.seed, 3)
        encoded = spread(self.encoder_, table, seed=seeds[0])
        trainer.begin(encoded, codes)
        points = torch.from_numpy(encoded).to(find_device(self.device))
        self._fit_denoiser(points, codes, classes=classes, seed=seeds[1], trainer=trainer)
        self._measure_separability(table, codes, classes=classes, seed=seeds[2])

    def learn_beside(
        self, other: DenoisingGenerator, table: pl.DataFrame, codes: Codes, *, classes: int, seed: int, trainer: Trainer
    ) -> None:
        """Learn the columns that another generator has encoded, as the second half of its fit.

        Args:
            other: What encoded the table and measured the sharpness of its classes.
            table: Rows [rows, columns].
            codes: The class of each [rows].
            classes: How many classes there are.
            seed: Seed of the draws and of the network.
            trainer: Trains the denoiser, in a stage called ``columns``.
        """
        self.encoder_, self.sharpness_, self.streamed_ = other.encoder_, other.sharpness_, other.streamed_
        columns = len(self.encoder_.modelled)
        sizes = Sizes.of(rows=table.height, classes=classes, columns=columns, effort=self.effort)
        self.sizes_ = sizes.but(dimensions=dimensions(self.encoder_), width=self.width, steps=self.steps)
        points = torch.from_numpy(spread(self.encoder_, table, seed=seed)).to(find_device(self.device))
        self._fit_denoiser(points, codes, classes=classes, seed=seed, trainer=trainer, stage="columns")

    def restore_beside(
        self,
        other: DenoisingGenerator,
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        sizes: Sizes,
        classes: int,
        prefix: str,
    ) -> None:
        """Take up what was learnt beside another generator.

        Args:
            other: The other generator, restored.
            arrays: Arrays by name.
            sizes: Sizes of the denoiser.
            classes: How many classes there are.
            prefix: What the names begin with.

        Raises:
            ModelError: An array is missing or damaged, or the sizes are not those of the columns.
        """
        self.encoder_, self.sharpness_, self.sizes_ = other.encoder_, other.sharpness_, sizes
        self._check_dimensions()
        self._restore_denoiser(arrays, classes=classes, prefix=prefix)

    def _decoder(self) -> Callable[[Tensor], npt.NDArray[np.float64]]:
        return lambda points: uniform(self.encoder_, points.cpu().numpy())

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any], schema: Schema) -> None:
        super()._restore(arrays, learnt, schema)
        self._check_dimensions()

    def _check_dimensions(self) -> None:
        if self.sizes_.dimensions != dimensions(self.encoder_):
            message = "its dimensions are not those of its columns"
            raise ModelError(message)
