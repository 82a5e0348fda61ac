"""The knee of a training: where its loss hardly falls any more, so that going on is hardly worth the time.

The mean loss of one strip of steps is compared with that of the strip before (the progress of Prechelt 1998, "Early
stopping - but when?", with means in place of minima, since each batch is drawn anew). Losses are those of training
rows: nothing is held out, for a rare class has no row to spare.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowmint.diffusion import workers

STRIPS = 20
"""Strips of a training of usual length."""

CALM = 2
"""Strips in a row that must make little progress."""

WIND_DOWN = 0.25
"""Steps that the rest of the learning rate's cycle takes after the knee, as a share of those before it."""


class Knee:
    """Watches the loss of a training, and shortens it.

    Args:
        steps: Steps of the whole training.
        tolerance: A strip makes little progress when its loss is lower by no more than this share.
        device: Where the losses are.

    Attributes:
        strip: Steps of a strip.
        found: The step at which the knee was found, or 0.
        state: What follows from the losses heard: their sum in this strip, the mean of the last one, strips of little
            progress in a row, and ``found``; float64 [4].
    """

    def __init__(self, steps: int, tolerance: float, device: torch.device) -> None:
        self.steps, self.tolerance, self.found = steps, tolerance, 0
        self.strip = max(steps // STRIPS, 1)
        self.state = torch.zeros(4, dtype=torch.float64, device=device)

    def hear(self, step: int, loss: Tensor) -> None:
        """Hear the loss of a step, from 1; all workers must call this together."""
        self.state[0] += loss.detach()
        if step % self.strip:
            return
        workers.average([self.state[:1]])
        total, before, calm, found = self.state.tolist()
        mean = total / self.strip
        little = step > self.strip and before - mean <= self.tolerance * abs(before)
        calm = calm + 1 if little else 0
        found = step if not found and calm >= CALM else found
        self.restore(torch.tensor([0.0, mean, calm, found], dtype=torch.float64))

    def restore(self, state: Tensor) -> None:
        """Be what ``state`` was."""
        self.state.copy_(state)
        self.found = int(state[3])

    def place(self, step: int) -> int:
        """Tell at which step of the whole training the learning rate is after ``step`` steps."""
        end = self.end()
        if step <= self.found or end == self.steps:
            return step
        return min(self.found + round((step - self.found) * (self.steps - self.found) / (end - self.found)), self.steps)

    def end(self) -> int:
        """Tell after how many steps the training ends, as far as is known."""
        if not self.found:
            return self.steps
        return min(self.found + max(round(WIND_DOWN * self.found), 1), self.steps)
