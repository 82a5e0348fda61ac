"""What latent and data-space diffusion share: a denoiser of points, and how it is trained, used and saved."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from flowmint.diffusion import workers
from flowmint.diffusion.backbone import Backbone
from flowmint.diffusion.denoise import Denoiser
from flowmint.diffusion.fitted import fit_solver, fitted_grid, points_to_follow
from flowmint.diffusion.noise import RectifiedFlow, Schedule, VarianceExploding, VariancePreserving
from flowmint.diffusion.sample import Denoise, Solver, find_solver
from flowmint.diffusion.train import Training, WeightedRows, build, without_weights
from flowmint.encode.encoder import Encoder
from flowmint.encode.spread import dimensions, spread
from flowmint.generators.base import Generator
from flowmint.generators.chunks import Mint, mint_chunks, one_thread
from flowmint.generators.separability import Separability, rare_classes
from flowmint.generators.sharpness import Sharpness
from flowmint.generators.sizes import BATCH_ROWS, TOLERANCE, USUAL_ROWS, Sizes
from flowmint.generators.strictness import CANDIDATES, Strictness
from flowmint.generators.tensors import (
    class_weights,
    find_device,
    find_precision,
    module_arrays,
    restore_array,
    restore_module,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    import polars as pl

    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.generators.trainer import Trainer
    from flowmint.progress import Progress

    Places = Callable[[int, torch.Generator], npt.NDArray[np.float64]]

SCHEDULES: dict[str, Schedule] = {
    "rectified_flow": RectifiedFlow(),
    "variance_exploding": VarianceExploding(),
    "variance_preserving": VariancePreserving(),
}
"""The noise schedules by the names that settings use."""


class Quality(NamedTuple):
    """How samples are drawn.

    Attributes:
        solver: By which solver.
        evaluations: With how many evaluations of the denoiser for each.
        low: Whether latents are decoded in the precision of the denoiser too, see ``precision``.
    """

    solver: str
    evaluations: int
    low: bool


QUALITIES = {
    "fast": Quality("fitted", 2, low=True),
    "balanced": Quality("adams", 8, low=False),
    "best": Quality("adams", 16, low=False),
}
"""Qualities by name; what they cost and lose: docs/performance.md."""

MIXED_WIDTH = 256
"""From so many units of a layer on, training multiplies bfloat16 where sampling does."""

PIECE = 2048
"""Rows that pass through the network together on a processor: few enough for its cache."""


@dataclass(frozen=True)
class Path:
    """The way from noise to the points of one class.

    Attributes:
        denoise: The denoiser for this class.
        schedule: Its noise schedule.
        grid: Times [steps + 1].
        scale: Standard deviation of the noise at the first of them.
        solver: What goes along them, or its name where it needs a source of noise.
    """

    denoise: Denoise
    schedule: Schedule
    grid: Tensor
    scale: Tensor
    solver: Solver | str


@dataclass(kw_only=True, eq=False, repr=False)
class DenoisingGenerator(Generator):
    """Mints rows from points that a class-conditional denoiser learnt.

    A subclass turns rows into points while fitting (and then calls `_fit_denoiser`) and points into rows
    (`_decode`). A setting that is None follows the data by the rule in `flowmint.generators.sizes`.

    Attributes:
        width: Units of the denoiser's residual stream.
        blocks: Residual blocks of the denoiser.
        steps: Training steps of the denoiser.
        effort: How many times as long as usual to train what no other setting tells the steps of.
        tolerance: Networks stop learning early where a twentieth of the steps lowers the loss by no more than this
            share, see `flowmint.diffusion.knee`; 0 takes all steps.
        batch_rows: Rows drawn for each training step.
        learning_rate: Highest learning rate of the denoiser.
        bandwidth: Noise added to points while the denoiser trains, in units of their spread: it learns
            a kernel estimate of their density rather than the points themselves.
        class_power: A class of n rows weighs n^class_power while the denoiser trains.
        sharpness: How far rows keep away from the class that theirs is most mistaken for, see
            `flowmint.generators.sharpness`; 0 not at all.
        strictness: How strictly rows are chosen by how much they look like their class, see
            `flowmint.generators.strictness`; 0 takes them as they come.
        schedule: Noise schedule.
        solver: Solver of the sampler; None for what ``quality`` says.
        quality: How much time sampling takes: ``fast``, ``balanced`` or ``best``, see `QUALITIES`.
        evaluations: How often the denoiser is evaluated for each sample; None for what ``quality`` says. Classes that
            are sharpened take two evaluations a step, but by the fitted solver.
        precision: Numbers that networks compute with: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the
            processor multiplies it. Training keeps its weights in float32, and computes with bfloat16 only where layers
            have at least `MIXED_WIDTH` units: casting costs what small ones gain.
        device: Where to train and sample: ``cpu``, ``cuda`` or ``auto``.
    """

    least_spread: ClassVar[float] = 1e-6
    """Dimensions of less spread are not scaled up to unit variance."""

    width: int | None = None
    blocks: int = 2
    steps: int | None = None
    effort: float = 1.0
    tolerance: float | None = None
    batch_rows: int | None = None
    learning_rate: float = 2e-3
    bandwidth: float = 0.15
    class_power: float = 0.5
    sharpness: float | None = None
    strictness: float | None = None
    schedule: str = "rectified_flow"
    solver: str | None = None
    quality: str = "balanced"
    evaluations: int | None = None
    precision: str = "auto"
    device: str = "cpu"

    def _fit_denoiser(
        self, raw: Tensor, codes: Codes, *, classes: int, seed: int, trainer: Trainer, stage: str = "diffusion"
    ) -> None:
        """Train the denoiser on points [n, dimensions], brought to unit variance first."""
        shares = class_weights(codes, self.class_power, counts=self._true_counts(codes))
        weights = torch.from_numpy(shares).to(raw.device)
        points = self._standardise(raw, weights)
        labels = torch.from_numpy(codes).to(raw.device)
        denoiser = build(lambda: self._make_denoiser(classes), seed=seed, device=raw.device)
        generator = torch.Generator(raw.device).manual_seed(seed)
        batches, batch_rows = WeightedRows(weights.cumsum(0), generator), self._batch_rows(len(raw))

        def loss() -> Tensor:
            rows = batches.draw(workers.share(batch_rows))
            kernel = torch.randn((len(rows), points.shape[1]), generator=generator, device=points.device)
            return denoiser.loss(points[rows] + self.bandwidth * kernel, labels[rows], generator)

        training = Training(
            self.sizes_.steps,
            self.learning_rate,
            mixed=self._mixes(self.sizes_.width),
            tolerance=self._least_progress(len(raw)),
        )
        trainer.train(stage, denoiser, loss, training=training, generator=generator)
        self.denoiser_ = denoiser

    def _batch_rows(self, rows: int) -> int:
        """Tell how many rows to draw for each step, of so many."""
        return self.batch_rows or BATCH_ROWS

    def _least_progress(self, rows: int) -> float:
        """Tell at how little progress to stop learning from so many rows."""
        if self.tolerance is not None:
            return self.tolerance
        return TOLERANCE if rows > USUAL_ROWS and find_device(self.device).type == "cpu" else 0.0

    def _mixes(self, width: int) -> bool:
        """Tell whether a network of so many units trains in mixed precision."""
        return width >= MIXED_WIDTH and find_precision(self.precision, find_device(self.device)) == torch.bfloat16

    def _measure_separability(self, table: pl.DataFrame, codes: Codes, *, classes: int, seed: int) -> None:
        """Learn how well classes can be told from each other, and so how sampling corrects the rare ones."""
        self.sharpness_, self.strictness_ = Sharpness.none(classes), Strictness.none(classes)
        true = self._true_counts(codes)
        counts = np.bincount(codes, minlength=classes) if true is None else true
        named = self.encoder_.named
        wanted = self.sharpness != 0 or (named if self.strictness is None else self.strictness > 0)
        if not wanted or not (self.sharpness or rare_classes(counts).any()):
            return
        found = Separability.measure(
            spread(self.encoder_, table, seed=None if named else seed), codes, classes=classes, seed=seed
        )
        self.sharpness_ = Sharpness.rule(found, counts, named=named, given=self.sharpness)
        self.strictness_ = Strictness.rule(found, counts, named=named, given=self.strictness)

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
        return mint_chunks(self.minter(code), rows=rows, seed=(seed, code), device=self.mean_.device, progress=progress)

    def minter(self, code: int) -> Mint:
        """Prepare to mint rows of one class, chosen among more where the class is strict."""
        mint, strict = self.candidates(code), self.strictness_
        if not strict.power[code]:
            return mint

        def choose(rows: int, generator: torch.Generator) -> pl.DataFrame:
            table = mint(CANDIDATES * rows, generator)
            seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
            points = spread(self.encoder_, table, seed=None)
            return table[strict.choose(points, code, rows, rng=np.random.default_rng(seed))]

        return choose

    def candidates(self, code: int) -> Mint:
        """Prepare to mint rows of one class as they come, in the precision that sampling computes in."""
        place = self.places(code)
        return lambda rows, generator: self.encoder_.decode_uniform(place(rows, generator))

    def places(self, code: int) -> Places:
        """Prepare to draw where the rows of one class lie in the unit cube."""
        path, decode = self._path(code), self._decoder()
        return lambda rows, generator: decode(self._draw(path, rows, generator))

    def _path(self, code: int) -> Path:
        """Prepare the way from noise to the points of one class."""
        device, quality = self.mean_.device, QUALITIES[self.quality]
        kind = find_precision(self.precision, device)
        denoiser = self.denoiser_ if kind == torch.float32 else deepcopy(self.denoiser_).to(kind)
        name, evaluations = self.solver or quality.solver, self.evaluations or quality.evaluations
        plain = self._denoise(denoiser, code)
        sharpened = self._sharpen(denoiser, code) if self.sharpness_.strength[code] else None
        if name == "fitted":
            return self._fitted_path(plain, sharpened, code, evaluations)
        each = (2 if name == "heun" else 1) * (2 if sharpened else 1)
        schedule = denoiser.schedule
        grid = schedule.grid(-(-evaluations // each)).to(device)
        scale = schedule.sigma(grid[0]) * self.sharpness_.temperature(code)
        return Path(sharpened or plain, schedule, grid, scale, name)

    @torch.no_grad()
    def _fitted_path(self, plain: Denoise, sharpened: Denoise | None, code: int, evaluations: int) -> Path:
        """Fit a solver to one class, whose maps follow from the seed of the model."""
        schedule, dimensions, device = self.denoiser_.schedule, self.sizes_.dimensions, self.mean_.device
        grid = fitted_grid(schedule, evaluations).to(device)
        scale = schedule.sigma(grid[0]) * self.sharpness_.temperature(code)
        shape = (points_to_follow(dimensions, evaluations), dimensions)
        noise = torch.randn(shape, generator=torch.Generator(device).manual_seed(self.seed), device=device)
        with one_thread():
            solver = fit_solver(plain, noise * scale, grid, schedule, exact=sharpened)
        return Path(plain, schedule, grid, scale, solver)

    @torch.no_grad()
    def _draw(self, path: Path, rows: int, generator: torch.Generator) -> Tensor:
        """Draw points of one class [rows, dimensions]."""
        device = generator.device
        start = torch.randn((rows, self.sizes_.dimensions), generator=generator, device=device) * path.scale
        solve = find_solver(path.solver, generator) if isinstance(path.solver, str) else path.solver
        piece = PIECE if device.type == "cpu" else rows
        parts = [
            solve(path.denoise, start[first : first + piece], path.grid, path.schedule)
            for first in range(0, rows, piece)
        ]
        return torch.cat(parts) * self.spread_ + self.mean_

    def _denoise(self, denoiser: Denoiser, code: int) -> Denoise:
        """Predict clean points of one class."""
        label = torch.tensor([code], device=self.mean_.device)
        return lambda x_t, t: denoiser(x_t, t, label)

    def _sharpen(self, denoiser: Denoiser, code: int) -> Denoise:
        """Predict clean points of one class, away from the class that it is most mistaken for."""
        strength, away = self.sharpness_.strength[code], self.sharpness_.away[code]
        own, other = self._denoise(denoiser, code), self._denoise(denoiser, away)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            clean = own(x_t, t)
            return clean + strength * (clean - other(x_t, t))

        return denoise

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, columns = self.encoder_.to_state()
        if self.encoder_.modelled:
            arrays |= self.denoiser_arrays()
        learnt: dict[str, Any] = {"columns": columns, "sizes": dataclasses.asdict(self.sizes_)}
        if self.encoder_.modelled:
            learnt["sharpness"] = dataclasses.asdict(self.sharpness_)
            forest, learnt["strictness"] = self.strictness_.to_state()
            arrays |= forest
        return arrays, learnt

    def denoiser_arrays(self, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
        """Give the denoiser and the scale of its points as arrays by name."""
        scale = {"mean": self.mean_.cpu().numpy(), "spread": self.spread_.cpu().numpy()}
        named = {f"{prefix}points/{name}": array for name, array in scale.items()}
        return module_arrays(self.denoiser_, f"{prefix}denoiser") | named

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any], schema: Schema) -> None:
        self.encoder_ = Encoder.from_state(schema, arrays, learnt["columns"])
        self.sizes_ = Sizes.from_json(learnt["sizes"])
        if not self.encoder_.modelled:
            return
        classes = len(self.classes_.values)
        self._restore_denoiser(arrays, classes=classes)
        self.sharpness_ = Sharpness.from_json(learnt["sharpness"], classes=classes)
        self.strictness_ = Strictness.from_state(
            arrays, learnt["strictness"], classes=classes, columns=dimensions(self.encoder_)
        )

    def _restore_denoiser(self, arrays: Mapping[str, npt.NDArray[Any]], *, classes: int, prefix: str = "") -> None:
        """Take up what `denoiser_arrays` gave."""
        device = find_device(self.device)
        with without_weights():
            self.denoiser_ = self._make_denoiser(classes)
        restore_module(self.denoiser_, arrays, f"{prefix}denoiser", device)
        shape = (self.sizes_.dimensions,)
        self.mean_ = restore_array(arrays, f"{prefix}points/mean", shape).to(device)
        self.spread_ = restore_array(arrays, f"{prefix}points/spread", shape).to(device)

    @abstractmethod
    def _decoder(self) -> Callable[[Tensor], npt.NDArray[np.float64]]:
        """Prepare to place points [rows, dimensions] in the unit cube [rows, modelled columns]."""
