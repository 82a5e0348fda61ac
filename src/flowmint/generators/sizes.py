"""How large a network is and how long it trains when the settings leave it to the data.

The rule, with r rows, c classes and k columns that vary:

* latent size: 4/5 of the columns, from 4 to 64;
* cells: √r, from 32 to 128;
* width: 192 up to 5,000 rows, then growing with r^(1/4), to at most 512, in steps of 64;
* steps of either training: 1,500 up to 5,000 rows and 2 classes, growing with r^(1/4) and with
  c^(1/4), to at most 12,000.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes that follow the data.

    Attributes:
        latent_dim: Dimensions of a latent.
        cells: Cells of equal share for each column.
        width: Units of the denoiser's residual stream and the autoencoder's hidden layers.
        steps: Training steps.
    """

    latent_dim: int
    cells: int
    width: int
    steps: int

    @classmethod
    def of(cls, *, rows: int, classes: int, columns: int) -> Sizes:
        """Apply the rule.

        Args:
            rows: Rows to learn from.
            classes: Classes among them.
            columns: Columns that vary.

        Returns:
            The sizes.
        """
        growth = max(rows / 5_000, 1.0) ** 0.25
        variety = max(classes / 2, 1.0) ** 0.25
        return cls(
            latent_dim=min(max(round(columns * 4 / 5), 4), 64),
            cells=min(max(round(rows**0.5), 32), 128),
            width=min(round(192 * growth / 64) * 64, 512),
            steps=min(round(1_500 * growth * variety), 12_000),
        )
