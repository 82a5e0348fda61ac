"""Summaries: an evaluation or a comparison becomes one plain dict, from which every format is made."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from flowmint.errors import SettingError
from flowmint.evaluate.compare.result import Comparison
from flowmint.evaluate.scores import Evaluation
from flowmint.report.comparison import comparison_document
from flowmint.report.evaluation import evaluation_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.leakage import Leakage
    from flowmint.report.document import Document
    from flowmint.report.picture import Picture

PACKAGES = ("flowmint", "numpy", "polars", "scikit-learn", "scipy", "torch", "xgboost-cpu", "lightgbm")
"""Packages whose version may change what is measured."""


def summarize(
    result: Evaluation | Comparison,
    *,
    pictures: Sequence[Picture] = (),
    leakage: Leakage | None = None,
    command: str = "",
) -> Document:
    """Make the dict that a report is rendered from.

    Args:
        result: What was measured.
        pictures: Rows to look at; without them the report says that there are none.
        leakage: The audit of an evaluation's real rows; a comparison brings its own.
        command: The command that made an evaluation; a comparison brings its own.

    Returns:
        Text, numbers, None, lists and dicts, nothing else.

    Raises:
        SettingError: It is neither an evaluation nor a comparison.
    """
    if isinstance(result, Comparison):
        return comparison_document(result, pictures=pictures)
    if isinstance(result, Evaluation):
        return evaluation_document(
            result, pictures=pictures, leakage=leakage, command=command, versions=installed_versions()
        )
    message = f"a report is made of an Evaluation or a Comparison, not of {type(result).__name__}"
    raise SettingError(message)


def installed_versions() -> dict[str, str]:
    """Tell the versions of Python and of the packages that matter, where they are installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
