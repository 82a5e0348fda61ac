"""What single columns hold: constants, bounds and sets of categories. All are particular to the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.categories import MOST_NAMES
from flowmint.rules.discover.evidence import LEAST_ROWS, Finding
from flowmint.rules.language import And, Column, Compare, Number, OneOf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowmint.rules.discover.training import Training
    from flowmint.rules.evaluate import Floats


def find_constants(training: Training) -> Iterator[Finding]:
    """Give the columns that have one value in all rows."""
    for name, values in training.columns.numbers.items():
        finite = values[np.isfinite(values)]
        if name not in training.names and len(finite) >= LEAST_ROWS:
            yield _particular("constant", Compare("=", Column(name), Number(float(finite[0]))))
    for name, text in training.columns.texts.items():
        present = text.codes[text.codes >= 0]
        if name not in training.texts and len(present) >= LEAST_ROWS:
            yield _particular("constant", OneOf(Column(name), (text.names[int(present[0])],)))


def find_bounds(training: Training) -> Iterator[Finding]:
    """Give the lowest and highest value of each column of numbers, and the categories of each column of text."""
    for name in training.names:
        finite = _finite(training.at(name))
        if len(finite) >= LEAST_ROWS:
            low = Compare(">=", Column(name), Number(float(finite.min())))
            high = Compare("<=", Column(name), Number(float(finite.max())))
            yield _particular("bound", And((low, high)))
    for name in training.texts:
        text = training.columns.texts[name]
        if len(text.names) <= MOST_NAMES and int((text.codes >= 0).sum()) >= LEAST_ROWS:
            yield _particular("bound", OneOf(Column(name), text.names))


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _particular(kind: str, condition: object) -> Finding:
    return Finding(kind=kind, condition=condition, particular=True)  # type: ignore[arg-type]
