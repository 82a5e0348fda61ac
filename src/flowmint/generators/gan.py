"""The generative adversarial network: a generator of rows against a critic of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from flowmint.diffusion.adversarial import Critic, RowGenerator, View, choose_softly, critic_loss
from flowmint.diffusion.train import ClassRows, Opponent, Training, build, train
from flowmint.generators.cells import CellGenerator, CellRows
from flowmint.generators.tensors import spawn_seeds

if TYPE_CHECKING:
    from flowmint.generators.sizes import Sizes
    from flowmint.progress import Progress

MOMENTUM, MEMORY = 0.0, 0.9
"""Decays of Adam's averages in which a game is stable (Gulrajani et al. 2017, algorithm 1)."""


@dataclass(kw_only=True, eq=False, repr=False)
class GAN(CellGenerator):
    """Class-conditional Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) on latent diffusion's cells.

    Other attributes are those of `flowmint.generators.cells.CellGenerator`.

    Attributes:
        critic_steps: Training steps of the critic for each step of the generator.
        pack: Rows of a class that the critic judges together.
        penalty: Weight of the gradient penalty.
        temperature: Of the softmax whose gradient a choice of cells passes on.
    """

    name: ClassVar[str] = "gan"

    blocks: int = 2
    learning_rate: float = 1e-3
    critic_steps: int = 2
    pack: int = 4
    penalty: float = 10.0
    temperature: float = 0.5

    def _usual_steps(self, sizes: Sizes) -> int:
        return sizes.steps

    def _make_network(self, classes: int) -> RowGenerator:
        sizes = self.sizes_
        return RowGenerator(
            counts=self.cells_.counts,
            classes=classes,
            noise_dim=sizes.dimensions,
            width=sizes.width,
            blocks=self.blocks,
        )

    def _make_critic(self, view: View, classes: int) -> Critic:
        return Critic(inputs=view.width, classes=classes, width=self.sizes_.width, pack=self.pack)

    def _train(self, rows: CellRows, labels: Tensor, *, classes: int, seed: int, progress: Progress) -> RowGenerator:
        device, view, seeds = labels.device, View.of(self.cells_), spawn_seeds(seed, 2)
        network = build(lambda: self._make_network(classes), seed=seeds[0], device=device)
        critic = build(lambda: self._make_critic(view, classes), seed=seeds[1], device=device)
        generator = torch.Generator(device).manual_seed(seed)
        source = ClassRows.of(labels, classes=classes, power=self.class_power, generator=generator)
        packs = -(-self.batch_rows // self.pack)

        def mint(label: Tensor) -> Tensor:
            each = label.repeat_interleave(self.pack)
            noise = torch.randn((len(each), self.sizes_.dimensions), generator=generator, device=device)
            logits, positions = network(noise, each)
            chosen = [choose_softly(c, temperature=self.temperature, generator=generator) for c in logits]
            return view.see(torch.cat(chosen, dim=1), positions).view(packs, -1)

        def judge() -> Tensor:
            label = source.draw_classes(packs)
            batch = rows.take(source.draw_rows(label.repeat_interleave(self.pack)))
            real = view.see_cells(batch.cells, batch.positions).view(packs, -1)
            with torch.no_grad():
                minted = mint(label)
            return critic_loss(critic, real=real, minted=minted, label=label, penalty=self.penalty, generator=generator)

        def loss() -> Tensor:
            label = source.draw_classes(packs)
            score: Tensor = critic(mint(label), label).mean()
            return -score

        training = Training(
            self.sizes_.steps, self.batch_rows, self.learning_rate, weight_decay=0.0, momentum=MOMENTUM, memory=MEMORY
        )
        opponent = Opponent(critic, judge, turns=self.critic_steps, learning_rate=self.learning_rate)
        with progress.stage("adversaries", total=training.steps, unit="steps") as stage:
            train(network, loss, training=training, stage=stage, opponent=opponent)
        return network
