"""Rows as cells: what the generators that decode through cells share."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from flowmint.diffusion.adversarial import choose
from flowmint.diffusion.autoencoder import Cells
from flowmint.diffusion.train import ClassRows, without_weights
from flowmint.encode.cells import cell_edges
from flowmint.encode.encoder import Encoder
from flowmint.generators.base import Generator
from flowmint.generators.chunks import mint_chunks
from flowmint.generators.sizes import Sizes
from flowmint.generators.tensors import find_device, module_arrays, restore_module, spawn_seeds

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import polars as pl

    from flowmint.diffusion.train import WeightedRows
    from flowmint.encode.support import Support
    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.generators.trainer import Trainer
    from flowmint.progress import Progress


@dataclass(frozen=True)
class CellRows:
    """Encoded rows, every part [rows, columns].

    Attributes:
        normal: Standard normal numbers.
        cells: The cells that they lie in, int64.
        positions: Where inside, from 0 to 1.
        shared: Whether the cell holds several values, 0 or 1.
    """

    normal: Tensor
    cells: Tensor
    positions: Tensor
    shared: Tensor

    @classmethod
    def of(cls, cells: Cells, normal: Tensor) -> CellRows:
        """Find the cells of standard normal columns [rows, columns]."""
        places, positions = cells.locate(torch.special.ndtr(normal.double()))
        return cls(normal, places, positions.float(), cells.is_shared(places))

    def take(self, rows: Tensor) -> CellRows:
        """Give the rows of these numbers [n]."""
        return CellRows(self.normal[rows], self.cells[rows], self.positions[rows], self.shared[rows])

    def gather(self, rows: Tensor) -> CellRows:
        """Give rows each of whose columns comes from the row of this number [n, columns], see `draw_mixed`."""
        parts = (self.normal, self.cells, self.positions, self.shared)
        return CellRows(*(part.gather(0, rows) for part in parts))


@dataclass(kw_only=True, eq=False, repr=False)
class CellGenerator(Generator):
    """Mints rows from what a class-conditional network answers to a latent: logits of each column's cells.

    A subclass whose network answers otherwise writes `_mint` too.

    A setting that is None follows the data by the rule in `flowmint.generators.sizes`.

    Attributes:
        latent_dim: Dimensions of a latent.
        cells: Cells of equal share into which each column is cut, spikes apart.
        width: Units of the network's hidden layers.
        blocks: Residual blocks of the network.
        steps: Training steps of the network.
        batch_rows: Rows drawn for each training step.
        learning_rate: Highest learning rate of the network.
        class_power: A class of n rows weighs n^class_power in training.
        device: Where to train and sample: ``cpu``, ``cuda`` or ``auto``.
    """

    latent_dim: int | None = None
    cells: int | None = None
    width: int | None = None
    blocks: int = 1
    steps: int | None = None
    batch_rows: int = 256
    learning_rate: float = 3e-3
    class_power: float = 0.25
    device: str = "cpu"

    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, trainer: Trainer) -> None:
        self.encoder_ = self._fit_encoder(table, schema)
        numbers = sum(map(numbers_of, self.encoder_.modelled))
        rule = Sizes.of(rows=table.height, classes=classes, columns=numbers)
        self.sizes_ = rule.but(
            dimensions=self.latent_dim,
            cells=self.cells,
            width=self.width,
            steps=self._usual_steps(rule) if self.steps is None else self.steps,
        )
        if not numbers:
            return
        seeds = spawn_seeds(self.seed, 2)
        device = find_device(self.device)
        self.cells_ = cut(self.encoder_, self.sizes_.cells, device)
        encoded = self.encoder_.encode(table, seed=seeds[0])
        trainer.begin(encoded, codes)
        rows = CellRows.of(self.cells_, torch.from_numpy(encoded).to(device))
        labels = torch.from_numpy(codes).to(device)
        self.network_ = self._train(rows, labels, classes=classes, seed=seeds[1], trainer=trainer)

    def _class_rows(self, labels: Tensor, *, classes: int, generator: torch.Generator) -> ClassRows:
        """Draw classes by their weight in training, and rows of each alike."""
        counts = self._true_counts(labels.cpu().numpy())
        true = None if counts is None else torch.from_numpy(counts).to(labels.device)
        return ClassRows.of(labels, classes=classes, power=self.class_power, generator=generator, true=true)

    def _sample(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        if not self.encoder_.modelled:
            return self.encoder_.decode(np.zeros((rows, 0)))
        device = find_device(self.device)
        label = torch.tensor([code], device=device)
        return mint_chunks(
            lambda size, generator: self._mint(size, label, generator),
            rows=rows,
            seed=(seed, code),
            device=device,
            progress=progress,
        )

    @torch.no_grad()
    def _mint(self, rows: int, label: Tensor, generator: torch.Generator) -> pl.DataFrame:
        noise = torch.randn((rows, self.sizes_.dimensions), generator=generator, device=generator.device)
        logits, positions = self.network_(noise, label)
        cells = torch.stack([choose(column, generator).argmax(dim=1) for column in logits], dim=1)
        return self.encoder_.decode_uniform(self.cells_.place(cells, positions.double()).cpu().numpy())

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, columns = self.encoder_.to_state()
        if self.encoder_.modelled:
            arrays |= module_arrays(self.network_, "network")
        return arrays, {"columns": columns, "sizes": dataclasses.asdict(self.sizes_)}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any], schema: Schema) -> None:
        self.encoder_ = Encoder.from_state(schema, arrays, learnt["columns"])
        self.sizes_ = Sizes.from_json(learnt["sizes"])
        if not self.encoder_.modelled:
            return
        device = find_device(self.device)
        self.cells_ = cut(self.encoder_, self.sizes_.cells, device)
        with without_weights():
            self.network_ = self._make_network(len(self.classes_.values))
        restore_module(self.network_, arrays, "network", device)

    @abstractmethod
    def _usual_steps(self, sizes: Sizes) -> int:
        """Tell how many steps to train when no setting says so."""

    @abstractmethod
    def _make_network(self, classes: int) -> nn.Module:
        """Make the network that answers noise [n, dimensions] and a class [1] with what `_mint` draws rows from."""

    @abstractmethod
    def _train(self, rows: CellRows, labels: Tensor, *, classes: int, seed: int, trainer: Trainer) -> nn.Module:
        """Train such a network on encoded rows and their classes [rows]."""


def draw_mixed(
    shape: torch.Size, count: int, *, share: float, generator: torch.Generator, source: WeightedRows | None = None
) -> Tensor:
    """Draw rows, some of whose columns come from other rows.

    Args:
        shape: Rows and columns to draw from.
        count: How many rows.
        share: Share of columns that come from another row each.
        generator: Source of randomness, on the device of the result.
        source: Draws rows by their weights, with the same generator; all weigh the same if absent.

    Returns:
        For each row and column the row to take it from, int64 [count, columns].
    """
    rows, columns = shape
    device = generator.device

    def draw(size: tuple[int, int]) -> Tensor:
        if source is None:
            return torch.randint(rows, size, generator=generator, device=device)
        return source.draw(size[0] * size[1]).view(size)

    own = draw((count, 1)).expand(count, columns)
    if not share:
        return own
    others = draw((count, columns))
    mixed = torch.rand((count, columns), generator=generator, device=device) < share
    return torch.where(mixed, others, own)


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
