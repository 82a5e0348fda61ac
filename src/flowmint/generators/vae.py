"""The variational autoencoder: latents of each class are normal, and are drawn instead of diffused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from flowmint.diffusion import workers
from flowmint.diffusion.autoencoder import reconstruction_loss
from flowmint.diffusion.train import Training, build
from flowmint.diffusion.variational import VariationalAutoencoder
from flowmint.generators.cells import CellGenerator, CellRows, numbers_of

if TYPE_CHECKING:
    from flowmint.generators.sizes import Sizes
    from flowmint.generators.trainer import Trainer


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(CellGenerator):
    """Class-conditional variational autoencoder (Kingma & Welling 2014) with latent diffusion's encoder and cells.

    Other attributes are those of `flowmint.generators.cells.CellGenerator`.

    Attributes:
        beta: How much a latent's distance from its class's prior counts beside the reconstruction (Higgins et
            al. 2017). At 1 the loss is the evidence bound.
    """

    name: ClassVar[str] = "vae"

    beta: float = 0.2

    def _usual_steps(self, sizes: Sizes) -> int:
        return 2 * sizes.steps  # it decodes what it draws: more to learn than an autoencoder has

    def _make_network(self, classes: int) -> VariationalAutoencoder:
        sizes = self.sizes_
        return VariationalAutoencoder(
            counts=self.cells_.counts,
            classes=classes,
            latent_dim=sizes.dimensions,
            width=sizes.width,
            blocks=self.blocks,
        )

    def _train(
        self, rows: CellRows, labels: Tensor, *, classes: int, seed: int, trainer: Trainer
    ) -> VariationalAutoencoder:
        network = build(lambda: self._make_network(classes), seed=seed, device=labels.device)
        generator = torch.Generator(labels.device).manual_seed(seed)
        source = self._class_rows(labels, classes=classes, generator=generator)
        weights = tuple(float(numbers_of(support)) for support in self.encoder_.modelled)

        def loss() -> Tensor:
            label = source.draw_classes(workers.share(self.batch_rows))
            batch = rows.take(source.draw_rows(label))
            posterior = network.encode(batch.normal, batch.cells, label)
            noise = torch.randn(posterior.mean.shape, generator=generator, device=labels.device)
            decoded = network.decode(posterior.draw(noise), label)
            error = reconstruction_loss(
                *decoded, cells=batch.cells, targets=batch.positions, shared=batch.shared, weights=weights
            )
            # the error is a mean over columns, so the divergence is shared among them too
            divergence = posterior.divergence(network.prior(label)).mean() / len(weights)
            return error + self.beta * divergence

        training = Training(self.sizes_.steps, self.learning_rate)
        trainer.train("autoencoder", network, loss, training=training, generator=generator)
        return network
