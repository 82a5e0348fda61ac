"""The variational autoencoder: rows to normal distributions of latents and back, all conditional on the class.

Rows come in and go out as they do in the plain autoencoder, whose latent is here a wide hidden layer. A latent ``z``
is drawn from the posterior ``q(z | x, c)`` while training and from the prior ``p(z | c)`` while sampling; both are
normal with diagonal covariance, and the prior of each class is learnt (Kingma & Welling 2014; Sohn et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from flowmint.diffusion.autoencoder import Autoencoder
from flowmint.diffusion.backbone import CONDITION, Block

if TYPE_CHECKING:
    from torch import Tensor

LEAST, MOST = -12.0, 6.0
"""Bounds of a logarithm of a variance: beyond them it says nothing more, and training would blow up."""


@dataclass(frozen=True)
class Normal:
    """Normal distributions with diagonal covariance.

    Attributes:
        mean: Their means [n, dimensions].
        log_variance: Logarithms of their variances [n, dimensions].
    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def of(cls, both: Tensor) -> Normal:
        """Read means and logarithms of variances from one tensor [n, 2 · dimensions]."""
        mean, log_variance = both.chunk(2, dim=-1)
        return cls(mean, log_variance.clamp(LEAST, MOST))

    def draw(self, noise: Tensor) -> Tensor:
        """Turn standard normal noise [n, dimensions] into points of the distributions [n, dimensions]."""
        return self.mean + (self.log_variance / 2).exp() * noise

    def divergence(self, other: Normal) -> Tensor:
        """Give the Kullback-Leibler divergence to other normal distributions [n], in nats."""
        spread = (self.log_variance - other.log_variance).exp()
        distance = (self.mean - other.mean) ** 2 / other.log_variance.exp()
        return (spread + distance - 1 + other.log_variance - self.log_variance).sum(dim=1) / 2


class VariationalAutoencoder(nn.Module):
    """Rows ↔ distributions of latents, conditional on the class.

    Args:
        counts: Number of cells of each column.
        classes: Number of classes.
        latent_dim: Dimensions of a latent.
        width: Units of the hidden layers.
        blocks: Residual blocks before and behind the latent.
    """

    def __init__(self, *, counts: tuple[int, ...], classes: int, latent_dim: int, width: int, blocks: int) -> None:
        super().__init__()
        self.rows = Autoencoder(counts=counts, latent_dim=width, width=width)
        self.label = nn.Embedding(classes, CONDITION)
        self.before = nn.ModuleList(Block(width) for _ in range(blocks))
        self.leave = nn.Linear(width, 2 * latent_dim)
        self.priors = nn.Embedding(classes, 2 * latent_dim)
        self.enter = nn.Linear(latent_dim, width)
        self.behind = nn.ModuleList(Block(width) for _ in range(blocks))

    def forward(self, noise: Tensor, label: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Turn noise into latents of the prior, and those into what rows may be.

        Args:
            noise: Standard normal [n, latent_dim].
            label: Classes, int64 [n or 1].

        Returns:
            What `decode` returns.
        """
        return self.decode(self.prior(label).draw(noise), label)

    def prior(self, label: Tensor) -> Normal:
        """Give where the latents of classes lie.

        Args:
            label: Classes, int64 [n or 1].

        Returns:
            The priors [n or 1, latent_dim].
        """
        return Normal.of(self.priors(label))

    def encode(self, normal: Tensor, cells: Tensor, label: Tensor) -> Normal:
        """Map rows to distributions of latents.

        Args:
            normal: Standard normal columns [n, columns].
            cells: Cells, int64 [n, columns].
            label: Classes, int64 [n or 1].

        Returns:
            The posteriors [n, latent_dim].
        """
        hidden = self._pass(self.before, self.rows.encode(normal, cells), label)
        return Normal.of(self.leave(hidden))

    def decode(self, latents: Tensor, label: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Map latents to what the row may be.

        Args:
            latents: Latents [n, latent_dim].
            label: Classes, int64 [n or 1].

        Returns:
            What `flowmint.diffusion.autoencoder.Autoencoder.decode` returns.
        """
        return self.rows.decode(self._pass(self.behind, self.enter(latents), label))

    def _pass(self, blocks: nn.ModuleList, hidden: Tensor, label: Tensor) -> Tensor:
        condition = nn.functional.silu(self.label(label))
        for block in blocks:
            hidden = block(hidden, condition)
        return hidden
