"""Summaries: an evaluation or a comparison becomes one plain dict, from which every format is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.errors import SettingError
from flowmint.evaluate.compare.result import Comparison
from flowmint.evaluate.compare.run import Run, machine, versions
from flowmint.evaluate.scores import Evaluation
from flowmint.report.comparison import comparison_document
from flowmint.report.evaluation import evaluation_document
from flowmint.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.cell import Shown
    from flowmint.evaluate.leakage import Leakage
    from flowmint.report.document import Document


def summarize(
    result: Evaluation | Comparison | Run,
    *,
    pictures: Sequence[Picture] = (),
    leakage: Leakage | None = None,
    command: str = "",
) -> Document:
    """Make the dict that a report is rendered from.

    Args:
        result: What was measured; a comparison's run brings rows to look at.
        pictures: Rows to look at; without any the report says so.
        leakage: The audit of an evaluation's real rows; a comparison brings its own.
        command: The command that made an evaluation; a comparison brings its own.

    Returns:
        Text, numbers, None, lists and dicts, nothing else.

    Raises:
        SettingError: It is neither an evaluation nor a comparison.
        TableError: Rows to look at do not have the same columns.
    """
    if isinstance(result, Run):
        pictures, result = (*pictures, *(picture_of(shown) for shown in result.shown)), result.comparison
    if isinstance(result, Comparison):
        return comparison_document(result, pictures=pictures)
    if isinstance(result, Evaluation):
        return evaluation_document(
            result,
            pictures=pictures,
            leakage=leakage,
            command=command,
            versions=versions(),
            machine=machine(),
        )
    message = f"a report is made of an Evaluation or a Comparison, not of {type(result).__name__}"  # type: ignore[unreachable]
    raise SettingError(message)


def picture_of(shown: Shown) -> Picture:
    """Make a picture of the rows that a comparison kept to be looked at."""
    title = f"{shown.task}: {shown.generator} with {shown.rows:,} real rows, seed {shown.seed}"
    return Picture(title=title, real=shown.real, minted=shown.minted, train=shown.train, seed=shown.seed)
