"""The generative adversarial network: a generator of rows against a critic of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from flowmint.diffusion import workers
from flowmint.diffusion.adversarial import Critic, RowGenerator, choose, choose_softly, critic_loss
from flowmint.diffusion.train import Opponent, Training, build
from flowmint.generators.cells import CellGenerator, CellRows, numbers_of
from flowmint.generators.tensors import spawn_seeds

if TYPE_CHECKING:
    import polars as pl

    from flowmint.generators.sizes import Sizes
    from flowmint.generators.trainer import Trainer

MOMENTUM, MEMORY = 0.0, 0.9
"""Decays of Adam's averages in which a game is stable (Gulrajani et al. 2017, algorithm 1)."""


@dataclass(frozen=True)
class Parts:
    """Which of the modelled columns hold what.

    Attributes:
        numbers: Columns that are one number.
        names: Columns of more than two categories.
        counts: Cells of each column of names.
    """

    numbers: tuple[int, ...]
    names: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(kw_only=True, eq=False, repr=False)
class GAN(CellGenerator):
    """Class-conditional Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) on latent diffusion's encoder.

    Other attributes are those of `flowmint.generators.cells.CellGenerator`.

    Attributes:
        critic_steps: Training steps of the critic for each step of the generator.
        pack: Rows of a class that the critic judges together.
        penalty: Weight of the gradient penalty.
        temperature: Of the softmax whose gradient a choice of names passes on.
        bandwidth: Noise added to the numbers of real rows, in units of their spread: the critic sees a kernel
            estimate of their density, and cannot know a few rows by heart.
    """

    name: ClassVar[str] = "gan"

    blocks: int = 2
    learning_rate: float = 1e-3
    critic_steps: int = 5
    pack: int = 4
    penalty: float = 10.0
    temperature: float = 0.5
    bandwidth: float = 0.15

    def _usual_steps(self, sizes: Sizes) -> int:
        return sizes.steps

    def _parts(self) -> Parts:
        named = [numbers_of(support) > 1 for support in self.encoder_.modelled]
        names = tuple(column for column, name in enumerate(named) if name)
        numbers = tuple(column for column, name in enumerate(named) if not name)
        return Parts(numbers, names, tuple(self.cells_.counts[column] for column in names))

    def _make_network(self, classes: int) -> RowGenerator:
        sizes, parts = self.sizes_, self._parts()
        return RowGenerator(
            numbers=len(parts.numbers),
            counts=parts.counts,
            classes=classes,
            noise_dim=sizes.dimensions,
            width=sizes.width,
            blocks=self.blocks,
        )

    def _make_critic(self, classes: int) -> Critic:
        parts = self._parts()
        inputs = len(parts.numbers) + sum(parts.counts)
        return Critic(inputs=inputs, classes=classes, width=self.sizes_.width, blocks=1, pack=self.pack)

    def _train(self, rows: CellRows, labels: Tensor, *, classes: int, seed: int, trainer: Trainer) -> RowGenerator:
        device, seeds = labels.device, spawn_seeds(seed, 2)
        network = build(lambda: self._make_network(classes), seed=seeds[0], device=device)
        critic = build(lambda: self._make_critic(classes), seed=seeds[1], device=device)
        generator = torch.Generator(device).manual_seed(seed)
        source = self._class_rows(labels, classes=classes, generator=generator)
        packs = -(-workers.share(self.batch_rows) // self.pack)

        def judge() -> Tensor:
            label = source.draw_classes(packs)
            drawn = source.draw_rows(label.repeat_interleave(self.pack))
            real = self._show(rows.take(drawn), generator).view(packs, -1)
            with torch.no_grad():
                minted = self._imitate(network, label, generator)
            return critic_loss(critic, real=real, minted=minted, label=label, penalty=self.penalty, generator=generator)

        def loss() -> Tensor:
            label = source.draw_classes(packs)
            score: Tensor = critic(self._imitate(network, label, generator), label).mean()
            return -score

        training = Training(self.sizes_.steps, self.learning_rate, weight_decay=0.0, momentum=MOMENTUM, memory=MEMORY)
        opponent = Opponent(critic, judge, turns=self.critic_steps, learning_rate=self.learning_rate)
        trainer.train("adversaries", network, loss, training=training, generator=generator, opponent=opponent)
        return network

    def _show(self, rows: CellRows, generator: torch.Generator) -> Tensor:
        """Describe real rows as the critic sees them [rows, inputs]."""
        parts = self._parts()
        numbers = rows.normal[:, parts.numbers]
        noise = torch.randn(numbers.shape, generator=generator, device=numbers.device)
        chosen = [
            nn.functional.one_hot(rows.cells[:, column], count).float()
            for column, count in zip(parts.names, parts.counts, strict=True)
        ]
        return torch.cat([numbers + self.bandwidth * noise, *chosen], dim=1)

    def _imitate(self, network: RowGenerator, label: Tensor, generator: torch.Generator) -> Tensor:
        """Generate packs of rows of given classes [packs] as the critic sees them [packs, pack · inputs]."""
        each = label.repeat_interleave(self.pack)
        noise = torch.randn((len(each), self.sizes_.dimensions), generator=generator, device=label.device)
        numbers, logits = network(noise, each)
        chosen = [choose_softly(column, temperature=self.temperature, generator=generator) for column in logits]
        return torch.cat([numbers, *chosen], dim=1).view(len(label), -1)

    @torch.no_grad()
    def _mint(self, rows: int, label: Tensor, generator: torch.Generator) -> pl.DataFrame:
        device, parts = generator.device, self._parts()
        noise = torch.randn((rows, self.sizes_.dimensions), generator=generator, device=device)
        numbers, logits = self.network_(noise, label)
        uniform = torch.rand((rows, len(self.cells_.edges)), generator=generator, device=device, dtype=torch.float64)
        cells = torch.zeros(uniform.shape, dtype=torch.int64, device=device)
        for column, drawn in zip(parts.names, logits, strict=True):
            cells[:, column] = choose(drawn, generator).argmax(dim=1)
        # names that share a cell are drawn by their shares of it, as they were in training
        uniform = self.cells_.place(cells, uniform)
        uniform[:, parts.numbers] = torch.special.ndtr(numbers.double())
        return self.encoder_.decode_uniform(uniform.cpu().numpy())
