"""How large a network is and how long it trains when the settings leave it to the data.

The rule, with r rows, c classes and k columns that vary:

* dimensions of a latent: k, with log2(s) more for each categorical column of s > 2 values, from 8 to 64;
* cells: √r, from 32 to 64 up to 5,000 rows and to at most 128 above;
* width: 192 up to 5,000 rows, then growing with r^(1/4), to at most 512, in steps of 64;
* steps: 1,400 for the autoencoder and 700 for a denoiser up to 5,000 rows and 2 classes. The autoencoder's grow with
  r^(1/6) and c^(1/6), the denoiser's, which has far more to learn, with r^(1/2) and c^(1/2), to at most 12,000 each.
  `effort` multiplies both;
* rows of a batch: 512; for latent diffusion of tables without names (columns of more than two categories) 256, but for
  the denoisers of more than 5,000 rows: of small tables as many steps of half the rows teach hardly less
  (benchmarks/results/effort.md), and the autoencoder of a large one is what a fit waits longest for on one core;
* tolerance (see `flowmint.diffusion.knee`): 0 up to 5,000 rows, 0.01 above, which takes less time and loses next to
  nothing (benchmarks/results/fidelity_curve.md). On a GPU 0: its steps are recorded, and nobody looks at their loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from flowmint.generators.settings import check_setting

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL_ROWS = 5_000
"""Up to so many rows nothing grows."""

BATCH_ROWS, SMALL_BATCH_ROWS = 512, 256
"""Rows of a batch, and of one where tables are small."""

TOLERANCE = 0.01
"""How little progress ends a training on more than `USUAL_ROWS` rows."""

MOST_STEPS = 12_000
"""Steps of the longest training, at the usual effort."""


@dataclass(frozen=True)
class Sizes:
    """Sizes that follow the data.

    Attributes:
        dimensions: Dimensions of the points that are diffused.
        cells: Cells of equal share for each column.
        width: Units of the denoiser's residual stream and the autoencoder's hidden layers.
        autoencoder_steps: Training steps of the autoencoder.
        steps: Training steps of the denoiser.
    """

    dimensions: int
    cells: int
    width: int
    autoencoder_steps: int
    steps: int

    @classmethod
    def of(cls, *, rows: int, classes: int, columns: int, effort: float = 1.0) -> Self:
        """Apply the rule.

        Args:
            rows: Rows to learn from.
            classes: Classes among them.
            columns: Columns that vary, or the numbers that it takes to describe them.
            effort: How many times as long as usual to train.

        Returns:
            The sizes.
        """
        surplus = max(rows / USUAL_ROWS, 1.0)
        more = surplus * max(classes / 2, 1.0)
        return cls(
            dimensions=min(max(columns, 8), 64),
            cells=min(max(round(rows**0.5), 32), round(64 * surplus**0.5), 128),
            width=min(round(3 * surplus**0.25) * 64, 512),
            autoencoder_steps=_steps(effort * min(1_400 * more ** (1 / 6), MOST_STEPS)),
            steps=_steps(effort * min(700 * more**0.5, MOST_STEPS)),
        )

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> Self:
        """Rebuild sizes from a model folder.

        Raises:
            SettingError: A size is out of its range.
            TypeError: It is no table of these sizes.
        """
        sizes = cls(**obj)
        for name, value in obj.items():
            check_setting(name, value)
        return sizes

    def but(self, **given: int | None) -> Self:
        """Replace sizes by those that settings give; None leaves what the rule gave."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


def _steps(wanted: float) -> int:
    return max(round(wanted), 1)
