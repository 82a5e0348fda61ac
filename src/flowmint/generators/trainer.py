"""The trainer: how every generator trains its networks, shown by a progress and kept in a checkpoint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import flowmint
from flowmint.diffusion import workers
from flowmint.diffusion.train import train
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    from torch import Tensor, nn

    from flowmint.diffusion.train import Opponent, Training
    from flowmint.generators.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains the networks of one fit, stage by stage.

    Attributes:
        progress: Shows the stages.
        checkpoint: Keeps them; None keeps nothing.
        about: What decides the result beside the rows: JSON.
    """

    progress: Progress = SILENT
    checkpoint: Checkpoint | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def begin(self, rows: npt.NDArray[Any], codes: npt.NDArray[np.int64]) -> None:
        """Say what is learnt from, before the first stage.

        Args:
            rows: Encoded rows [rows, columns].
            codes: Their classes [rows].

        Raises:
            ModelError: The checkpoint is of another fit, or damaged.
        """
        if self.checkpoint is not None and workers.number() == 0:
            versions = {"flowmint": flowmint.__version__, "torch": torch.__version__, "workers": workers.count()}
            self.checkpoint.begin({**self.about, **versions, "data": digest(rows, codes)})

    def train(
        self,
        stage: str,
        module: nn.Module,
        loss: Callable[[], Tensor],
        *,
        training: Training,
        generator: torch.Generator,
        opponent: Opponent | None = None,
    ) -> None:
        """Train a module in place, from where the checkpoint of the stage has it.

        Args:
            stage: The stage's name, of lower-case letters, each once in a fit.
            module: What to train; ends in evaluation mode.
            loss: Draws a batch and returns its mean loss.
            training: Length and speed.
            generator: All that the losses draw from.
            opponent: What trains in turn with the module.

        Raises:
            ModelError: What is kept of the stage is damaged.
            WriteError: The checkpoint cannot be written.
        """
        keep = None if self.checkpoint is None or workers.number() else self.checkpoint.stage(stage)
        if generator.device.type == "cuda" and opponent is None:  # a game between two is less forgiving
            # a graph gives no loss to watch
            training = replace(training, mixed=True, captured=not training.tolerance)
        try:
            with self.progress.stage(stage, total=training.steps, unit="steps") as shown:
                train(module, loss, training=training, stage=shown, opponent=opponent, generator=generator, keep=keep)
        finally:  # also where the training is interrupted
            if keep is not None:
                keep.write()


def digest(*arrays: npt.NDArray[Any]) -> str:
    """Digest arrays: types, shapes and content."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(json.dumps([str(array.dtype), array.shape]).encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()
