"""The denoiser: predicts the clean point from a noisy one, the time and the class.

The network sees ``c_in · x_t`` and its output ``F`` is mixed with the input:
``D(x_t, t) = c_skip · x_t + c_out · F`` with the coefficients that keep ``F``'s target at unit
variance for data of unit variance at every noise level (EDM, Karras et al. 2022, table 1,
generalised to any ``alpha`` and ``sigma``). For ``alpha² + sigma² = 1`` this is v-prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from flowmint.diffusion.backbone import Backbone
    from flowmint.diffusion.noise import Schedule


class Denoiser(nn.Module):
    """A network with a schedule and EDM's preconditioning around it.

    Args:
        network: Maps (scaled point [n, d], log noise-to-data ratio [n or 1], class [n or 1]) to
            [n, d].
        schedule: The noise schedule.
    """

    def __init__(self, network: Backbone, schedule: Schedule) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """Predict the clean points.

        Args:
            x_t: Noisy points [n, d].
            t: Times [n], or [1] for all rows at once.
            label: Classes, int64 [n], or [1] for all rows at once.

        Returns:
            Clean points [n, d].
        """
        c_skip, c_out, _ = self._coefficients(t)
        return c_skip * x_t + c_out * self._raw(x_t, t, label)

    def loss(self, x: Tensor, label: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the network's output at random noise levels.

        Args:
            x: Clean points of about unit variance [n, d].
            label: Classes, int64 [n].
            generator: Source of times and noise.

        Returns:
            A scalar.
        """
        t = self.schedule.draw(len(x), generator)
        eps = torch.randn(x.shape, generator=generator, device=x.device)
        x_t = self.schedule.alpha(t)[:, None] * x + self.schedule.sigma(t)[:, None] * eps
        c_skip, c_out, _ = self._coefficients(t)
        target = (x - c_skip * x_t) / c_out
        return nn.functional.mse_loss(self._raw(x_t, t, label), target)

    def _raw(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        ratio = torch.log(self.schedule.sigma(t) / self.schedule.alpha(t).clamp(min=1e-4))
        output: Tensor = self.network(self._coefficients(t)[2] * x_t, ratio.clamp(-8, 8), label)
        return output

    def _coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alpha, sigma = self.schedule.alpha(t)[:, None], self.schedule.sigma(t)[:, None]
        spread = torch.sqrt(alpha**2 + sigma**2)
        return alpha / spread**2, sigma / spread, 1 / spread
