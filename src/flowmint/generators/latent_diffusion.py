"""Latent diffusion: an autoencoder maps rows to latents, a diffusion model learns the latents by class."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from flowmint.diffusion import workers
from flowmint.diffusion.autoencoder import Autoencoder, reconstruction_loss
from flowmint.diffusion.train import Training, WeightedRows, build, without_weights
from flowmint.errors import ModelError
from flowmint.generators.beside import beside, pays
from flowmint.generators.cells import CellRows, cut, draw_mixed, numbers_of
from flowmint.generators.data_diffusion import DataDiffusion
from flowmint.generators.denoising import PIECE, QUALITIES, DenoisingGenerator
from flowmint.generators.separability import FEW_ROWS, MANY_ROWS
from flowmint.generators.sizes import BATCH_ROWS, SMALL_BATCH_ROWS, USUAL_ROWS, Sizes
from flowmint.generators.tensors import (
    class_weights,
    find_device,
    find_precision,
    module_arrays,
    restore_module,
    spawn_seeds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    import polars as pl

    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.generators.denoising import Places
    from flowmint.generators.trainer import Trainer


BESIDE = "columns/"
"""What the names of the second denoiser's arrays begin with."""

MIXING = 0.15
"""Share of columns that are mixed in tables that have categorical columns."""


@dataclass(kw_only=True, eq=False, repr=False)
class LatentDiffusion(DenoisingGenerator):
    """Latent diffusion for flow tables (after arXiv 2601.16976; details are ours, see docs/method.md).

    A setting that is None follows the data by the rule in `flowmint.generators.sizes`. Settings of the denoiser
    are those of `flowmint.generators.denoising.DenoisingGenerator`.

    Attributes:
        latent_dim: Dimensions of a latent.
        cells: Cells of equal share into which each column is cut, spikes apart.
        autoencoder_width: Units of the autoencoder's hidden layers.
        autoencoder_steps: Training steps of the autoencoder.
        autoencoder_learning_rate: Highest learning rate of the autoencoder.
        latent_noise: Noise added to latents while the autoencoder trains, in units of their spread.
        direct: Share of the rows of a class of at most `MANY_ROWS` real rows that are drawn from the columns
            themselves, by a second denoiser, and not from latents; 0 for none.
        mixing: Share of a row's columns that are replaced by other rows' while the autoencoder trains, so that it
            learns to describe any row rather than the few that there are.
    """

    name: ClassVar[str] = "latent_diffusion"

    latent_dim: int | None = None
    cells: int | None = None
    autoencoder_width: int | None = None
    autoencoder_steps: int | None = None
    autoencoder_learning_rate: float = 3e-3
    latent_noise: float = 0.05
    mixing: float | None = None
    direct: float = 0.5

    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, trainer: Trainer) -> None:
        # Encoder and autoencoder see classes as frequent as they are: resolution follows the rows there are,
        # and only the denoiser, which is told the class, sees rare classes more often.
        self.encoder_ = self._fit_encoder(table, schema)
        numbers = sum(map(numbers_of, self.encoder_.modelled))
        # columns that are computed need no room of their own, but latents without it describe the others worse
        room = numbers + len(self.validity_.derived)
        sizes = Sizes.of(rows=table.height, classes=classes, columns=room, effort=self.effort)
        self.sizes_ = sizes.but(
            dimensions=self.latent_dim,
            cells=self.cells,
            width=self.width,
            autoencoder_steps=self.autoencoder_steps,
            steps=self.steps,
        )
        if numbers:
            self._train(table, codes, classes=classes, trainer=trainer)

    def _train(self, table: pl.DataFrame, codes: Codes, *, classes: int, trainer: Trainer) -> None:
        """Train the autoencoder and the denoiser of latents, and that of the columns beside them or afterwards."""
        seeds = spawn_seeds(self.seed, 5)
        device = find_device(self.device)
        self.cells_ = cut(self.encoder_, self.sizes_.cells, device)
        encoded = self.encoder_.encode(table, seed=seeds[0])
        trainer.begin(encoded, codes)
        rows = CellRows.of(self.cells_, torch.from_numpy(encoded).to(device))
        counts = self._true_counts(codes)
        weights = None if counts is None else torch.from_numpy(class_weights(codes, 1.0, counts=counts)).to(device)
        rare = (np.bincount(codes, minlength=classes) if counts is None else counts) <= MANY_ROWS
        self.direct_, self.rare_ = None, tuple(rare.tolist())

        def measure(_: Trainer) -> None:
            self._measure_separability(table, codes, classes=classes, seed=seeds[3])

        def learn_columns(trainer: Trainer) -> None:
            if self.direct and rare.any():
                kept = thin(codes, rare, seed=seeds[4])
                size = table.height  # what is learnt beside follows the whole table's size
                direct = self._make_direct().set_params(
                    batch_rows=self._batch_rows(size), tolerance=self._least_progress(size)
                )
                direct.learn_beside(self, table[kept], codes[kept], classes=classes, seed=seeds[4], trainer=trainer)
                self.direct_ = direct

        def measure_and_learn_columns(trainer: Trainer) -> None:
            measure(trainer)
            learn_columns(trainer)

        small = table.height <= USUAL_ROWS
        thread = not self.encoder_.named and (small or bool(rare.any())) and pays(device=device)
        # an autoencoder's step is many small operations, among which two threads hinder each other: of a small table
        # the denoisers train beside each other; those of a large one have steps long enough to share all cores
        with beside(measure if small else measure_and_learn_columns, trainer, thread=thread):
            self.autoencoder_ = self._fit_autoencoder(rows, seeds[1], trainer, weights=weights)
        with beside(learn_columns, trainer, thread=thread) if small else nullcontext():
            self._fit_latents(rows, codes, classes=classes, seed=seeds[2], trainer=trainer)

    def _make_direct(self) -> DataDiffusion:
        """Make what learns the columns themselves, with the settings that are shared."""
        shared = {part.name for part in fields(DenoisingGenerator)}
        return DataDiffusion(**{name: value for name, value in self.get_params(deep=False).items() if name in shared})

    def _batch_rows(self, rows: int) -> int:
        small = rows <= USUAL_ROWS and not self.encoder_.named
        return self.batch_rows or (SMALL_BATCH_ROWS if small else BATCH_ROWS)

    def _autoencoder_batch_rows(self) -> int:
        return self.batch_rows or (BATCH_ROWS if self.encoder_.named else SMALL_BATCH_ROWS)

    def _make_autoencoder(self) -> Autoencoder:
        return Autoencoder(counts=self.cells_.counts, latent_dim=self.sizes_.dimensions, width=self._autoencoder_width)

    @property
    def _autoencoder_width(self) -> int:
        return self.autoencoder_width or self.sizes_.width

    def _fit_autoencoder(
        self, rows: CellRows, seed: int, trainer: Trainer, *, weights: Tensor | None = None
    ) -> Autoencoder:
        autoencoder = build(self._make_autoencoder, seed=seed, device=rows.normal.device)
        generator = torch.Generator(rows.normal.device).manual_seed(seed)
        mixing, batch_rows = self._mixing(), self._autoencoder_batch_rows()
        # a wrong name spoils a row more than a number that is a little off
        worth = tuple(float(numbers_of(support)) for support in self.encoder_.modelled)
        source = None if weights is None else WeightedRows(weights.cumsum(0), generator)

        def loss() -> Tensor:
            count = workers.share(batch_rows)
            chosen = draw_mixed(rows.normal.shape, count, share=mixing, generator=generator, source=source)
            batch = rows.gather(chosen)
            latents = autoencoder.encode(batch.normal, batch.cells)
            spread = latents.detach().std(dim=0, correction=0)
            noise = torch.randn(latents.shape, generator=generator, device=latents.device)
            decoded = autoencoder.decode(latents + self.latent_noise * spread * noise)
            return reconstruction_loss(
                *decoded, cells=batch.cells, targets=batch.positions, shared=batch.shared, weights=worth
            )

        training = Training(
            self.sizes_.autoencoder_steps,
            self.autoencoder_learning_rate,
            mixed=self._mixes(self._autoencoder_width),
            tolerance=self._least_progress(len(rows.normal)),
        )
        trainer.train("autoencoder", autoencoder, loss, training=training, generator=generator)
        return autoencoder

    def _fit_latents(self, rows: CellRows, codes: Codes, *, classes: int, seed: int, trainer: Trainer) -> None:
        """Train the denoiser on the latents of encoded rows."""
        with torch.no_grad():
            latents = self.autoencoder_.encode(rows.normal, rows.cells)
        self._fit_denoiser(latents, codes, classes=classes, seed=seed, trainer=trainer)

    def _mixing(self) -> float:
        """Where names stand beside numbers, rows are further from each other than an autoencoder can guess."""
        if self.mixing is not None:
            return self.mixing
        return MIXING if self.encoder_.named else 0.0

    def places(self, code: int) -> Places:
        """Prepare to draw where the rows of one class lie: a rare one's partly from its columns."""
        latent = super().places(code)
        if self.direct_ is None or not self.rare_[code]:
            return latent
        shared = self.direct_.get_params(deep=False)
        self.direct_.set_params(**{name: getattr(self, name) for name in shared})
        direct = self.direct_.places(code)

        def place(rows: int, generator: torch.Generator) -> npt.NDArray[np.float64]:
            straight = torch.rand(rows, generator=generator, device=generator.device) < self.direct
            chosen = straight.cpu().numpy()
            points = np.empty((rows, len(self.encoder_.modelled)))
            for part, mine in ((latent, ~chosen), (direct, chosen)):
                if mine.any():
                    points[mine] = part(int(mine.sum()), generator)
            return points

        return place

    def _decoder(self) -> Callable[[Tensor], npt.NDArray[np.float64]]:
        kind = find_precision(self.precision, self.mean_.device) if QUALITIES[self.quality].low else torch.float32
        autoencoder = self.autoencoder_ if kind == torch.float32 else deepcopy(self.autoencoder_).to(kind)
        return partial(self._uniform, autoencoder=autoencoder)

    @torch.no_grad()
    def _uniform(self, points: Tensor, *, autoencoder: Autoencoder) -> npt.NDArray[np.float64]:
        """Place latents [rows, dimensions] in the unit cube [rows, modelled columns]."""
        piece = PIECE if points.device.type == "cpu" else len(points)
        chosen = [autoencoder.choose(part) for part in torch.split(points, piece)]
        uniform: npt.NDArray[np.float64] = self.cells_.place(*map(torch.cat, zip(*chosen, strict=True))).cpu().numpy()
        return uniform

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, learnt = super()._state()
        if self.encoder_.modelled:
            arrays |= module_arrays(self.autoencoder_, "autoencoder")
            learnt["rare"] = [] if self.direct_ is None else list(self.rare_)
            if self.direct_ is not None:
                arrays |= self.direct_.denoiser_arrays(BESIDE)
                learnt["direct_sizes"] = asdict(self.direct_.sizes_)
        return arrays, learnt

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any], schema: Schema) -> None:
        super()._restore(arrays, learnt, schema)
        if not self.encoder_.modelled:
            return
        device = find_device(self.device)
        self.cells_ = cut(self.encoder_, self.sizes_.cells, device)
        with without_weights():
            self.autoencoder_ = self._make_autoencoder()
        restore_module(self.autoencoder_, arrays, "autoencoder", device)
        self.direct_, self.rare_, classes = None, check_rare(learnt["rare"], len(self.classes_.values)), self.classes_
        if self.rare_:
            self.direct_ = self._make_direct()
            sizes = Sizes.from_json(learnt["direct_sizes"])
            self.direct_.restore_beside(self, arrays, sizes=sizes, classes=len(classes.values), prefix=BESIDE)


def thin(codes: Codes, rare: npt.NDArray[np.bool_], *, seed: int) -> Codes:
    """Choose rows for a network that mints rare classes alone: all of theirs, and of the others enough to tell them by.

    Args:
        codes: The class of each row [rows].
        rare: Whether a class is rare [classes].
        seed: Seed of the choice.

    Returns:
        Row numbers in rising order: all up to `USUAL_ROWS`, or about so many.
    """
    if len(codes) <= USUAL_ROWS:
        return np.arange(len(codes))
    room = USUAL_ROWS - int(rare[codes].sum())
    most = max(room // max(int((~rare).sum()), 1), FEW_ROWS)
    rng = np.random.default_rng(seed)
    kept = [np.flatnonzero(rare[codes])]
    kept += [rng.permutation(np.flatnonzero(codes == code))[:most] for code in np.flatnonzero(~rare)]
    return np.sort(np.concatenate(kept))


def check_rare(marks: object, classes: int) -> tuple[bool, ...]:
    """Check which classes a model folder calls rare.

    Args:
        marks: What the folder holds: a truth value for each class, or an empty list for none.
        classes: How many classes there are.

    Returns:
        The truth values.

    Raises:
        ModelError: It is anything else.
    """
    sound = isinstance(marks, list) and len(marks) in {0, classes} and all(isinstance(mark, bool) for mark in marks)
    if not isinstance(marks, list) or not sound:
        message = "its rare classes are not among its classes"
        raise ModelError(message)
    return tuple(marks)
