"""The oversamplers of imbalanced-learn behind the generators' contract: copies and interpolations.

They keep the training rows, and a saved model folder therefore holds them. A class of one row is
copied, since there is nothing to interpolate with; where Borderline-SMOTE or ADASYN find no row
near the border, plain SMOTE mints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from flowmint.encode.encoder import Encoder
from flowmint.encode.flat import Flat
from flowmint.errors import ModelError
from flowmint.generators.base import Generator

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import polars as pl

    from flowmint.flows.schema import Schema
    from flowmint.generators.base import Codes
    from flowmint.generators.trainer import Trainer
    from flowmint.progress import Progress

    Matrix = npt.NDArray[np.float64]

Method = Literal["random", "smote", "smotenc", "borderline_smote", "adasyn"]


@dataclass(kw_only=True, eq=False, repr=False)
class Oversampler(Generator):
    """Random oversampling, SMOTE, SMOTENC, Borderline-SMOTE or ADASYN.

    Attributes:
        method: Which of them.
        standardised: Whether columns are brought to unit variance before neighbours are sought.
        neighbours: How many nearest rows of a class are interpolated with; fewer in a class of
            fewer rows.
    """

    name: ClassVar[str] = "oversampler"

    method: Method = "smote"
    standardised: bool = False
    neighbours: int = 5

    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, trainer: Trainer) -> None:
        self.encoder_ = self._fit_encoder(table, schema)
        self._remember(self.encoder_.states(table), codes)

    def _remember(self, states: npt.NDArray[np.int64], codes: Codes) -> None:
        self.states_, self.codes_ = states, codes
        self.flat_ = Flat.of(self.encoder_, spread=self.method != "smotenc")
        self.rows_ = self.flat_.flatten(states)
        moves = self.standardised and self.method != "random"
        self.scale_ = self.rows_.std(axis=0) if moves else np.ones(self.rows_.shape[1])
        self.scale_[self.scale_ == 0] = 1.0
        if self.method == "smotenc":
            self.scale_[self.flat_.categorical] = 1.0

    def _sample(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        with progress.stage("sampling", total=rows, unit="rows") as stage:
            table = self.flat_.unflatten(self._mint(rows, code, seed) * self.scale_)
            stage.advance(rows)
        return table

    def _mint(self, rows: int, code: int, seed: int) -> Matrix:
        """Mint scaled flat rows [rows, flat columns]."""
        matrix = self.rows_ / self.scale_
        own = matrix[self.codes_ == code]
        rng = np.random.default_rng(seed)
        if len(own) == 1 or self.method == "random":
            copies: Matrix = own[rng.integers(len(own), size=rows)]
            return copies
        minted = self._resample(self.method, matrix, code, rows, rng)
        if len(minted) < rows:
            minted = np.concatenate([minted, self._resample("smote", matrix, code, rows - len(minted), rng)])
        shuffled: Matrix = minted[rng.permutation(len(minted))[:rows]]
        return shuffled

    def _resample(self, method: Method, matrix: Matrix, code: int, rows: int, rng: np.random.Generator) -> Matrix:
        """Let imbalanced-learn mint about ``rows`` rows of a class; none where the method finds no place."""
        codes = self.codes_
        if len(np.unique(codes)) == 1:  # imbalanced-learn wants a second class
            matrix, codes = np.vstack([matrix, matrix[:1]]), np.append(codes, codes.max() + 1)
        present = int((codes == code).sum())
        asked = rows + rows // 10 + 10 if method == "adasyn" else rows
        sampler = self._sampler(method, {code: present + asked}, present, int(rng.integers(2**31)))
        try:
            resampled, _ = sampler.fit_resample(matrix, codes)
        except (ValueError, RuntimeError):
            if method in {"borderline_smote", "adasyn"}:
                return matrix[:0]
            raise
        minted: Matrix = resampled[len(matrix) :]
        return minted

    def _sampler(self, method: Method, strategy: dict[int, int], present: int, seed: int) -> Any:  # noqa: ANN401
        from imblearn import over_sampling

        near = min(self.neighbours, present - 1)
        common = {"sampling_strategy": strategy, "random_state": seed}
        categorical = self.flat_.categorical
        if method == "adasyn":
            return over_sampling.ADASYN(n_neighbors=near, **common)
        if method == "borderline_smote":
            return over_sampling.BorderlineSMOTE(k_neighbors=near, **common)
        if method == "random":
            return over_sampling.RandomOverSampler(**common)
        if self.method == "smotenc" and 0 < len(categorical) < self.rows_.shape[1]:
            return over_sampling.SMOTENC(categorical_features=categorical, k_neighbors=near, **common)
        return over_sampling.SMOTE(k_neighbors=near, **common)

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, columns = self.encoder_.to_state()
        return {**arrays, "rows/states": self.states_, "rows/codes": self.codes_}, {"columns": columns}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]], learnt: Mapping[str, Any], schema: Schema) -> None:
        self.encoder_ = Encoder.from_state(schema, arrays, learnt["columns"])
        states, codes = arrays["rows/states"], arrays["rows/codes"]
        limits = [support.states for support in self.encoder_.supports]
        whole = states.dtype == codes.dtype == np.int64 and states.shape == (len(codes), len(limits))
        if not whole or not _within(states, np.array(limits)) or not _within(codes, len(self.classes_.values)):
            message = "its rows are damaged"
            raise ModelError(message)
        self._remember(states, codes)


def _within(numbers: npt.NDArray[np.int64], limit: Any) -> bool:  # noqa: ANN401
    return len(numbers) > 0 and bool((numbers >= 0).all()) and bool((numbers < limit).all())
