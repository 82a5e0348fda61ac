"""Detectability: whether a classifier can tell minted rows from real ones (classifier two-sample test)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flowmint.evaluate.embed import to_floats
from flowmint.evaluate.scores import Definition, need_rows
from flowmint.flows.schema import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Comparison

    Matrix = npt.NDArray[np.float64]

FOLDS = 5
FOLDS_OF_FEW = 3
FEW_ROWS = 1_000
"""Rows of each kind up to which three folds must do: small classes are many, and trees are slow."""

LEAST_ROWS = 20
"""Rows of each kind, so that every fold has several."""

MOST_ROWS = 5_000
MOST_CATEGORIES = 250
"""Categories that the trees tell apart; the rarer ones are joined. They take 255 at most."""

_LIMIT = 1e300
"""What infinity becomes: beyond any flow feature, and no infinity in a tree's threshold."""

BOOSTED = Definition(
    name="detection_boosted_trees",
    title="Two-sample AUC (boosted trees)",
    family="detectability",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="How well boosted trees tell minted from real rows: 0.5 is not at all, 1 is always.",
    source="Lopez-Paz and Oquab 2017; mean ROC-AUC over folds, histogram gradient boosting",
)
LINEAR = Definition(
    name="detection_linear",
    title="Two-sample AUC (logistic regression)",
    family="detectability",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="How well logistic regression tells minted from real rows: 0.5 is not at all, 1 is always.",
    source="Lopez-Paz and Oquab 2017; mean ROC-AUC over folds, on quantile-normal columns",
)

DEFINITIONS = (BOOSTED, LINEAR)


def boosted_trees_auc(real: pl.DataFrame, other: pl.DataFrame, *, seed: int = 0) -> float:
    """Cross-validate histogram gradient boosting that tells two tables apart.

    Categories are told to the trees as such, and missing cells stay missing.

    Args:
        real: Real rows [n, columns].
        other: Other rows with the same columns and dtypes [m, columns].
        seed: Seed of folds and trees.

    Returns:
        Mean ROC-AUC over the folds.

    Raises:
        ScoreError: There are too few rows.
    """
    matrix, categorical = _tree_matrix(pl.concat([real, other]))
    make = partial(
        HistGradientBoostingClassifier, categorical_features=categorical, early_stopping=False, random_state=seed
    )
    return _cross_validated(make, matrix, real.height, seed=seed)


def linear_auc(real: Matrix, other: Matrix, *, seed: int = 0) -> float:
    """Cross-validate logistic regression that tells two sets of rows apart.

    Args:
        real: Real rows as points [n, dimensions].
        other: Other rows as points [m, dimensions].
        seed: Seed of the folds.

    Returns:
        Mean ROC-AUC over the folds.

    Raises:
        ScoreError: There are too few rows.
    """
    return _cross_validated(_linear, np.concatenate([real, other]), len(real), seed=seed)


def _linear() -> Any:  # noqa: ANN401
    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))


def _cross_validated(make: Callable[[], Any], matrix: Matrix, first: int, *, seed: int) -> float:
    need_rows(min(first, len(matrix) - first), LEAST_ROWS)
    is_other = (np.arange(len(matrix)) >= first).astype(np.int64)
    count = FOLDS_OF_FEW if first <= FEW_ROWS else FOLDS
    folds = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    areas = []
    for train, test in folds.split(matrix, is_other):
        model = make().fit(matrix[train], is_other[train])
        areas.append(roc_auc_score(is_other[test], model.predict_proba(matrix[test])[:, 1]))
    return float(np.mean(areas))


def _tree_matrix(table: pl.DataFrame) -> tuple[Matrix, list[bool]]:
    """Columns as trees take them, and which are categories."""
    columns, categorical = [], []
    for column in table.iter_columns():
        is_text = kind_of(column.dtype) == "categorical"
        values = _category_codes(column) if is_text else np.clip(to_floats(column), -_LIMIT, _LIMIT)
        columns.append(values)
        categorical.append(is_text)
    return np.column_stack(columns), categorical


def _category_codes(column: pl.Series) -> Matrix:
    """Number categories by how frequent they are; empty cells stay missing."""
    text = column.cast(pl.String)
    counted = text.drop_nulls().value_counts(name="rows#").sort(["rows#", text.name], descending=[True, False])
    names = counted[text.name].head(MOST_CATEGORIES)
    codes = text.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Float64), default=float(len(names)))
    return codes.set(text.is_null(), None).cast(pl.Float64).fill_null(np.nan).to_numpy()


def detectability_scores(rows: Comparison) -> tuple[Score, ...]:
    """Compute every score of the family.

    Args:
        rows: The rows to compare.

    Returns:
        The scores.
    """
    rows = rows.head(MOST_ROWS)
    return (
        rows.on_tables(BOOSTED, partial(boosted_trees_auc, seed=rows.seed)),
        rows.on_points(LINEAR, partial(linear_auc, seed=rows.seed)),
    )
