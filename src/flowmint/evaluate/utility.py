"""Utility: how well detectors trained on a table find attacks in real held-out rows.

Five detectors that differ in kind stand for the intrusion detection systems of practice. Numbers
go in as they are (missing ones as the column's median, infinities as the largest finite value seen
in training), categories as zeros and ones; all of it is learnt on the training rows alone.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from flowmint.errors import ScoreError, SettingError, nearest
from flowmint.flows.schema import Classes, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    Matrix = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.bool_]
    Codes = npt.NDArray[np.int64]


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


def lightgbm(*, rows: int, seed: int) -> Any:  # noqa: ANN401, ARG001
    """LightGBM with 100 trees; needs the extra ``flowmint[detectors]``."""
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=100, random_state=seed, n_jobs=1, deterministic=True, force_col_wise=True, verbose=-1
    )


DETECTORS: dict[str, Callable[..., Any]] = {
    "logistic regression": logistic_regression,
    "MLP": mlp,
    "random forest": random_forest,
    "XGBoost": xgboost,
    "LightGBM": lightgbm,
}
"""Each detector by its name; XGBoost and LightGBM only count where they are installed."""

FOUR = ("logistic regression", "MLP", "random forest", "XGBoost")
"""The detectors over which the few-shot benchmark and the demonstration take their means."""

_LARGEST = 1e30
"""Beyond it, single precision and squares overflow inside detectors."""

_EXTRAS = {"XGBoost": "xgboost", "LightGBM": "lightgbm"}


@dataclass(frozen=True, kw_only=True)
class DetectorScores:
    """How well one detector finds one class.

    Attributes:
        f1: F1 of the class; 0 where nothing is found.
        recall: Share of its rows that are found.
        precision: Share of what is found that is of the class; 0 where nothing is found.
        false_positive_rate: Share of other rows that are taken for it; 0 where there are no others.
        pr_auc: Area under the precision-recall curve (average precision), whatever the threshold.
    """

    f1: float
    recall: float
    precision: float
    false_positive_rate: float
    pr_auc: float


@dataclass(frozen=True, kw_only=True)
class MulticlassScores:
    """How well one detector tells classes apart.

    Attributes:
        macro_f1: Mean F1 over the classes.
        classes: How well each is found among all the others.
    """

    macro_f1: float
    classes: Mapping[str, DetectorScores]


def available_detectors(names: Iterable[str] = tuple(DETECTORS)) -> list[str]:
    """Name the detectors that can be trained here.

    Args:
        names: Which to look at; all if absent.

    Returns:
        Those whose packages are installed, in the order given.

    Raises:
        SettingError: There is no such detector.
    """
    wanted = list(names)
    for name in wanted:
        if name not in DETECTORS:
            message = f"there is no detector {name!r}; {nearest(name, DETECTORS)}"
            raise SettingError(message)
    return [name for name in wanted if name not in _EXTRAS or importlib.util.find_spec(_EXTRAS[name])]


def detector_f1(
    train: pl.DataFrame,
    is_attack: Labels,
    test: pl.DataFrame,
    test_is_attack: Labels,
    *,
    seed: int,
    detectors: Sequence[str] = FOUR,
) -> dict[str, float]:
    """Train detectors on one table and score them on another.

    Args:
        train: Training rows, real and minted [rows, columns].
        is_attack: Whether each is of the attack [rows].
        test: Real held-out rows with the same columns.
        test_is_attack: Whether each of them is of the attack.
        seed: Seed of the detectors.
        detectors: Which; those that are not installed are left out.

    Returns:
        F1 of the attack by the detector's name; 0 where a detector finds nothing.
    """
    train_matrix, test_matrix = to_matrices(train, test)
    scores = {}
    for name in available_detectors(detectors):
        detector = DETECTORS[name](rows=len(train_matrix), seed=seed)
        fit_quietly(detector, train_matrix, is_attack)
        scores[name] = float(f1_score(test_is_attack, detector.predict(test_matrix), zero_division=0.0))
    return scores


def detector_scores(
    train: pl.DataFrame,
    is_attack: Labels,
    test: pl.DataFrame,
    test_is_attack: Labels,
    *,
    seed: int,
    detectors: Sequence[str] = tuple(DETECTORS),
) -> dict[str, DetectorScores]:
    """Train detectors to find one attack and score them in every way.

    Args:
        train: Training rows, real and minted [rows, columns].
        is_attack: Whether each is of the attack [rows].
        test: Real held-out rows with the same columns.
        test_is_attack: Whether each of them is of the attack.
        seed: Seed of the detectors.
        detectors: Which; those that are not installed are left out.

    Returns:
        The scores by the detector's name.

    Raises:
        ScoreError: Training rows are of one kind alone, or no test row is of the attack.
        SettingError: There is no such detector.
    """
    codes, test_codes = is_attack.astype(np.int64), test_is_attack.astype(np.int64)
    guesses = _guess(train, codes, test, seed=seed, detectors=detectors)
    if not test_codes.any():
        message = "no test row is of the attack; give some that are"
        raise ScoreError(message)
    return {name: _score_class(test_codes, *guess, code=1) for name, guess in guesses.items()}


def multiclass_scores(
    train: pl.DataFrame,
    labels: pl.Series,
    test: pl.DataFrame,
    test_labels: pl.Series,
    *,
    seed: int,
    detectors: Sequence[str] = tuple(DETECTORS),
    classes: Sequence[str] | None = None,
) -> dict[str, MulticlassScores]:
    """Train detectors to tell all classes apart and score them class by class.

    Test rows of classes that training lacks stay: each detector takes them for something, which
    costs that class its precision.

    Args:
        train: Training rows, real and minted [rows, columns].
        labels: Class of each [rows].
        test: Real held-out rows with the same columns.
        test_labels: Class of each of them.
        seed: Seed of the detectors.
        detectors: Which; those that are not installed are left out.
        classes: Names of the classes to score, all of them among the test rows; those that training
            and test share if absent. One that training lacks scores 0.

    Returns:
        The scores by the detector's name.

    Raises:
        ScoreError: Training rows are of one class alone, or there is no class to score.
        SettingError: There is no such detector.
    """
    known, present = Classes.of(labels).names, Classes.of(test_labels).names
    scored = [name for name in present if (name in known if classes is None else name in classes)]
    names = [*known, *(name for name in present if name not in known)]
    if not scored:
        message = f"training and test rows share no class; test rows are of {', '.join(map(repr, present[:8]))}"
        raise ScoreError(message)
    numbers = {name: code for code, name in enumerate(names)}
    codes, test_codes = (np.array([numbers[str(v)] for v in s.to_list()]) for s in (labels, test_labels))
    scores = {}
    for name, guess in _guess(train, codes, test, seed=seed, detectors=detectors).items():
        each = {label: _score_class(test_codes, *guess, code=numbers[label]) for label in scored}
        scores[name] = MulticlassScores(macro_f1=float(np.mean([s.f1 for s in each.values()])), classes=each)
    return scores


def _guess(
    train: pl.DataFrame, codes: Codes, test: pl.DataFrame, *, seed: int, detectors: Sequence[str]
) -> dict[str, tuple[Codes, Matrix]]:
    """Let every detector guess the class of each test row [rows] and how likely each class is [rows, classes]."""
    if len(np.unique(codes)) < 2:
        message = "the training rows are of a single class, which teaches a detector nothing; add rows of another"
        raise ScoreError(message)
    train_matrix, test_matrix = to_matrices(train, test)
    guesses = {}
    for name in available_detectors(detectors):
        detector = DETECTORS[name](rows=len(train_matrix), seed=seed)
        fit_quietly(detector, train_matrix, codes)
        likely = detector.predict_proba(test_matrix)
        guesses[name] = likely.argmax(axis=1), likely  # codes count from 0, so that columns are codes
    return guesses


def _score_class(truth: Codes, guess: Codes, likely: Matrix, *, code: int) -> DetectorScores:
    """Score one class against all others; a class that the detector never saw is never found."""
    own, found = truth == code, guess == code
    hits, claimed, there, others = int((own & found).sum()), int(found.sum()), int(own.sum()), int((~own).sum())
    seen = code < likely.shape[1]
    return DetectorScores(
        f1=2 * hits / (there + claimed),
        recall=hits / there,
        precision=hits / claimed if claimed else 0.0,
        false_positive_rate=(claimed - hits) / others if others else 0.0,
        pr_auc=float(average_precision_score(own, likely[:, code])) if seen else there / len(own),
    )


def fit_quietly(detector: Any, matrix: Matrix, classes: Labels | Codes) -> None:  # noqa: ANN401
    """Fit a detector; reaching its iteration limit is part of the protocol and no warning."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("error", "Training interrupted by user", UserWarning)
        try:
            detector.fit(matrix, classes.astype(np.int64))
        except UserWarning as error:
            # scikit-learn's MLP swallows Ctrl-C: the run would go on with a network that is half trained
            raise KeyboardInterrupt from error


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
    return np.clip(first, -_LARGEST, _LARGEST), np.clip(second, -_LARGEST, _LARGEST)


def _categories(train: pl.Series, test: pl.Series) -> tuple[Matrix, Matrix]:
    known = np.array(train.cast(pl.String).drop_nulls().unique().sort().to_list(), dtype=object)
    first, second = (
        (c.cast(pl.String).to_numpy().astype(object)[:, None] == known[None, :]).astype(np.float64)
        for c in (train, test)
    )
    return first, second
