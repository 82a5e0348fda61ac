"""What latent and data-space diffusion share: a denoiser of points, and how it is trained, used and saved."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from flowmint.diffusion.backbone import Backbone
from flowmint.diffusion.denoise import Denoiser
from flowmint.diffusion.noise import RectifiedFlow, Schedule, VarianceExploding, VariancePreserving
from flowmint.diffusion.sample import Denoise, find_solver
from flowmint.diffusion.train import Training, WeightedRows, build, train
from flowmint.encode.encoder import Encoder
from flowmint.generators.base import Generator
from flowmint.generators.sharpness import Sharpness
from flowmint.generators.sizes import Sizes
from flowmint.generators.tensors import (
    class_weights,
    find_device,
    module_arrays,
    restore_array,
    restore_module,
    spawn_seeds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.progress import Progress

SCHEDULES: dict[str, Schedule] = {
    "rectified_flow": RectifiedFlow(),
    "variance_exploding": VarianceExploding(),
    "variance_preserving": VariancePreserving(),
}
"""The noise schedules by the names that settings use."""

CHUNK = 8192
"""Rows that are sampled together."""

PIECE = 2048
"""Rows that pass through the network together: few enough for a processor's cache."""


@dataclass(kw_only=True, eq=False, repr=False)
class DenoisingGenerator(Generator):
    """Mints rows from points that a class-conditional denoiser learnt.

    A subclass turns rows into points while fitting (and then calls `_fit_denoiser`) and points into rows
    (`_decode`). A setting that is None follows the data by the rule in `flowmint.generators.sizes`.

    Attributes:
        width: Units of the denoiser's residual stream.
        blocks: Residual blocks of the denoiser.
        steps: Training steps of the denoiser.
        batch_rows: Rows drawn for each training step.
        learning_rate: Highest learning rate of the denoiser.
        bandwidth: Noise added to points while the denoiser trains, in units of their spread: it learns
            a kernel estimate of their density rather than the points themselves.
        class_power: A class of n rows weighs n^class_power while the denoiser trains.
        sharpness: How far rows keep away from the class that theirs is most mistaken for, see
            `flowmint.generators.sharpness`; 0 not at all.
        schedule: Noise schedule.
        solver: Solver of the sampler.
        evaluations: How often the denoiser is evaluated for each sample; classes that are sharpened take
            two evaluations a step.
        device: Where to train and sample: ``cpu``, ``cuda`` or ``auto``.
    """

    least_spread: ClassVar[float] = 1e-6
    """Dimensions of less spread are not scaled up to unit variance."""

    width: int | None = None
    blocks: int = 2
    steps: int | None = None
    batch_rows: int = 512
    learning_rate: float = 2e-3
    bandwidth: float = 0.15
    class_power: float = 0.5
    sharpness: float | None = None
    schedule: str = "rectified_flow"
    solver: str = "dpm_solver"
    evaluations: int = 15
    device: str = "cpu"

    def _fit_denoiser(self, raw: Tensor, codes: Codes, *, classes: int, seed: int, progress: Progress) -> None:
        """Train the denoiser on points [n, dimensions], brought to unit variance first."""
        shares = class_weights(codes, self.class_power, counts=self._true_counts(codes))
        weights = torch.from_numpy(shares).to(raw.device)
        points = self._standardise(raw, weights)
        labels = torch.from_numpy(codes).to(raw.device)
        denoiser = build(lambda: self._make_denoiser(classes), seed=seed, device=raw.device)
        generator = torch.Generator(raw.device).manual_seed(seed)
        batches = WeightedRows(weights.cumsum(0), generator)

        def loss() -> Tensor:
            rows = batches.draw(self.batch_rows)
            kernel = torch.randn((len(rows), points.shape[1]), generator=generator, device=points.device)
            return denoiser.loss(points[rows] + self.bandwidth * kernel, labels[rows], generator)

        training = Training(self.sizes_.steps, self.batch_rows, self.learning_rate)
        with progress.stage("diffusion", total=training.steps, unit="steps") as stage:
            train(denoiser, loss, training=training, stage=stage)
        self.denoiser_ = denoiser

    def _measure_sharpness(self, table: pl.DataFrame, codes: Codes, *, classes: int, seed: int) -> None:
        """Learn how well classes can be told from each other, and so how much sampling sharpens them."""
        points = self.encoder_.encode(table, seed=seed)
        named = any(support.is_categorical and support.states > 2 for support in self.encoder_.modelled)
        self.sharpness_ = Sharpness.measure(
            points,
            codes,
            classes=classes,
            seed=seed,
            named=named,
            given=self.sharpness,
            counts=self._true_counts(codes),
        )

    def _standardise(self, raw: Tensor, weights: Tensor) -> Tensor:
        """Remember the points' weighted mean and spread; give points of unit variance."""
        share = (weights / weights.sum())[:, None].float()
        self.mean_ = (share * raw).sum(dim=0)
        self.spread_ = (share * (raw - self.mean_) ** 2).sum(dim=0).sqrt().clamp(min=self.least_spread)
        return (raw - self.mean_) / self.spread_

    def _make_denoiser(self, classes: int) -> Denoiser:
        sizes = self.sizes_
        network = Backbone(dimensions=sizes.dimensions, classes=classes, width=sizes.width, blocks=self.blocks)
        return Denoiser(network, SCHEDULES[self.schedule])

    def _sample(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        if not self.encoder_.modelled:
            return self.encoder_.decode(np.zeros((rows, 0)))
        generator = torch.Generator(self.mean_.device).manual_seed(spawn_seeds(seed, code + 1)[code])
        return pl.concat([self._decode(self._draw(size, code, generator)) for size in chunks(rows, progress)])

    @torch.no_grad()
    def _draw(self, rows: int, code: int, generator: torch.Generator) -> Tensor:
        """Draw points of one class [rows, dimensions]."""
        schedule, device = self.denoiser_.schedule, generator.device
        each = (2 if self.solver == "heun" else 1) * (2 if self.sharpness_.strength[code] else 1)
        grid = schedule.grid(-(-self.evaluations // each)).to(device)
        noise = torch.randn((rows, self.sizes_.dimensions), generator=generator, device=device)
        start = noise * (schedule.sigma(grid[0]) * self.sharpness_.temperature(code))
        denoise, solve = self._denoise(code, device), find_solver(self.solver, generator)
        parts = [solve(denoise, start[first : first + PIECE], grid, schedule) for first in range(0, rows, PIECE)]
        return torch.cat(parts) * self.spread_ + self.mean_

    def _denoise(self, code: int, device: torch.device) -> Denoise:
        """Predict clean points of one class, away from the class that it is most mistaken for."""
        denoiser, strength = self.denoiser_, self.sharpness_.strength[code]
        label, away = (torch.tensor([number], device=device) for number in (code, self.sharpness_.away[code]))

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            clean: Tensor = denoiser(x_t, t, label)
            return clean + strength * (clean - denoiser(x_t, t, away)) if strength else clean

        return denoise

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, columns = self.encoder_.to_state()
        if self.encoder_.modelled:
            arrays |= module_arrays(self.denoiser_, "denoiser")
            arrays |= {"points/mean": self.mean_.cpu().numpy(), "points/spread": self.spread_.cpu().numpy()}
        learnt = {"columns": columns, "sizes": dataclasses.asdict(self.sizes_)}
        if self.encoder_.modelled:
            learnt["sharpness"] = dataclasses.asdict(self.sharpness_)
        return arrays, learnt

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any], schema: Schema) -> None:
        self.encoder_ = Encoder.from_state(schema, arrays, learnt["columns"])
        self.sizes_ = Sizes.from_json(learnt["sizes"])
        if not self.encoder_.modelled:
            return
        device = find_device(self.device)
        with torch.device("meta"):
            self.denoiser_ = self._make_denoiser(len(self.classes_.values))
        restore_module(self.denoiser_, arrays, "denoiser", device)
        self.sharpness_ = Sharpness.from_json(learnt["sharpness"], classes=len(self.classes_.values))
        shape = (self.sizes_.dimensions,)
        self.mean_ = restore_array(arrays, "points/mean", shape).to(device)
        self.spread_ = restore_array(arrays, "points/spread", shape).to(device)

    @abstractmethod
    def _decode(self, points: Tensor) -> pl.DataFrame:
        """Turn points [rows, dimensions] into rows."""


def chunks(rows: int, progress: Progress) -> Iterator[int]:
    """Yield the sizes of the chunks that make up ``rows`` rows and report each when it is done."""
    with progress.stage("sampling", total=rows, unit="rows") as stage:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            yield size
            stage.advance(size)
