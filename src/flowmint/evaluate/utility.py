"""Utility: how well detectors trained on a table find an attack in real held-out rows.

Four detectors that differ in kind stand for the intrusion detection systems of practice. Numbers
go in as they are (missing ones as the column's median, infinities as the largest finite value seen
in training), categories as zeros and ones; all of it is learnt on the training rows alone.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from flowmint.flows.schema import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Matrix = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.bool_]


def logistic_regression(*, rows: int, seed: int) -> Any:  # noqa: ANN401, ARG001
    """Logistic regression on standardised columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, random_state=seed))


def mlp(*, rows: int, seed: int) -> Any:  # noqa: ANN401
    """A perceptron with 64 hidden units on quantile-normal columns."""
    quantiles = QuantileTransformer(n_quantiles=min(1000, rows), output_distribution="normal", random_state=seed)
    # tol=0 would train on noise; the iteration limit is part of the protocol, not a failure
    return make_pipeline(quantiles, MLPClassifier((64,), max_iter=100, tol=1e-3, random_state=seed))


def random_forest(*, rows: int, seed: int) -> Any:  # noqa: ANN401, ARG001
    """A random forest of 100 trees."""
    return RandomForestClassifier(100, random_state=seed)


def xgboost(*, rows: int, seed: int) -> Any:  # noqa: ANN401, ARG001
    """XGBoost with 100 trees; needs the extra ``flowmint[detectors]``."""
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=100, random_state=seed, n_jobs=1, tree_method="hist")


DETECTORS: dict[str, Callable[..., Any]] = {
    "logistic regression": logistic_regression,
    "MLP": mlp,
    "random forest": random_forest,
    "XGBoost": xgboost,
}
"""Each detector by its name; XGBoost only counts where it is installed."""


def available_detectors() -> list[str]:
    """Name the detectors that can be trained here."""
    return [name for name in DETECTORS if name != "XGBoost" or importlib.util.find_spec("xgboost")]


def detector_f1(
    train: pl.DataFrame, is_attack: Labels, test: pl.DataFrame, test_is_attack: Labels, *, seed: int
) -> dict[str, float]:
    """Train every available detector on one table and score it on another.

    Args:
        train: Training rows, real and minted [rows, columns].
        is_attack: Whether each is of the attack [rows].
        test: Real held-out rows with the same columns.
        test_is_attack: Whether each of them is of the attack.
        seed: Seed of the detectors.

    Returns:
        F1 of the attack by the detector's name; 0 where a detector finds nothing.
    """
    train_matrix, test_matrix = to_matrices(train, test)
    scores = {}
    for name in available_detectors():
        detector = DETECTORS[name](rows=len(train_matrix), seed=seed)
        fit_quietly(detector, train_matrix, is_attack)
        scores[name] = float(f1_score(test_is_attack, detector.predict(test_matrix), zero_division=0.0))
    return scores


def fit_quietly(detector: Any, matrix: Matrix, is_attack: Labels) -> None:  # noqa: ANN401
    """Fit a detector; reaching its iteration limit is part of the protocol and no warning."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        detector.fit(matrix, is_attack.astype(np.int64))


def to_matrices(train: pl.DataFrame, test: pl.DataFrame) -> tuple[Matrix, Matrix]:
    """Turn two tables into float matrices by what the first one teaches.

    Args:
        train: Training rows.
        test: Test rows with the same columns; categories that training lacks become all zeros.

    Returns:
        Both matrices [rows, features], finite throughout.
    """
    train_parts, test_parts = [], []
    for name in train.columns:
        column = train[name]
        spread = _categories if kind_of(column.dtype) == "categorical" else _numbers
        pair = spread(column, test[name])
        train_parts.append(pair[0])
        test_parts.append(pair[1])
    return np.concatenate(train_parts, axis=1), np.concatenate(test_parts, axis=1)


def _numbers(train: pl.Series, test: pl.Series) -> tuple[Matrix, Matrix]:
    columns = [c.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy().copy() for c in (train, test)]
    finite = columns[0][np.isfinite(columns[0])]
    low, high, middle = (finite.min(), finite.max(), np.median(finite)) if len(finite) else (0.0, 0.0, 0.0)
    first, second = (np.nan_to_num(c, nan=middle, posinf=high, neginf=low)[:, None] for c in columns)
    return first, second


def _categories(train: pl.Series, test: pl.Series) -> tuple[Matrix, Matrix]:
    known = np.array(train.cast(pl.String).drop_nulls().unique().sort().to_list(), dtype=object)
    first, second = (
        (c.cast(pl.String).to_numpy().astype(object)[:, None] == known[None, :]).astype(np.float64)
        for c in (train, test)
    )
    return first, second
