"""Rules of categories: which values a column of text has, and what follows from one.

``when proto is one of "udp", "arp" then tcprtt = 0`` and ``when service is "http" then protocol_type is "tcp"`` gather
the categories for each of which there is evidence of its own: had the rows of the category, class by class, the values
of the class at large, many of them would differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flowmint.rules.discover.evidence import LEAST_ROWS, MOST_BROKEN, Finding, classes_of, enough, is_particular
from flowmint.rules.language import Column, Compare, Number, OneOf, When

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flowmint.rules.discover.evidence import Kind
    from flowmint.rules.discover.training import Codes, Training
    from flowmint.rules.evaluate import Booleans, Floats
    from flowmint.rules.language import Condition

MOST_NAMES = 60
"""Most categories that a rule lists."""


def find_dependencies(training: Training) -> list[Finding]:
    """Find categories of one column that determine the category of another.

    Args:
        training: The rows.

    Returns:
        One rule for each pair of columns and category that follows.
    """
    tried = sum(len(training.columns.texts[name].names) for name in training.texts) * max(len(training.texts) - 1, 1)
    findings = []
    for one in training.texts:
        for other in training.texts:
            if one != other:
                text = training.columns.texts[other]
                for found in _determined(training, one, text.codes, text.codes >= 0, tried):
                    consequence = OneOf(Column(other), (text.names[int(found.value)],))
                    findings.append(_when("dependency", one, found, consequence))
    return findings


def find_category_values(training: Training, names: Sequence[str]) -> list[Finding]:
    """Find categories in which a column of numbers has a single value.

    Args:
        training: The rows.
        names: Columns of numbers.

    Returns:
        One rule for each column of text, column of numbers and value.
    """
    tried = sum(len(training.columns.texts[name].names) for name in training.texts) * max(len(names), 1)
    findings = []
    for text in training.texts:
        for name in names:
            values = training.at(name)
            for found in _determined(training, text, values, np.isfinite(values), tried):
                consequence = Compare("=", Column(name), Number(found.value))
                # that a category makes a feature meaningless, and so 0, is general; any other value is one machine's
                finding = _when("category", text, found, consequence)
                findings.append(replace(finding, particular=finding.particular or found.value != 0))
    return findings


def _when(kind: Kind, text: str, found: _Determined, consequence: Condition) -> Finding:
    condition = When(OneOf(Column(text), found.names), consequence)
    return Finding(kind=kind, condition=condition, expected=found.expected, particular=found.particular)


@dataclass(frozen=True)
class _Determined:
    """Categories from which one value follows, and the rows that would have another by chance."""

    value: float
    names: tuple[str, ...]
    expected: float
    particular: bool


def _determined(
    training: Training, text: str, values: Floats | Codes, known: Booleans, tried: int
) -> Iterator[_Determined]:
    """Give each value that follows from categories; what follows in many classes apart from what may be chance."""
    column = training.columns.texts[text]
    usable = np.flatnonzero(known & (column.codes >= 0))
    distinct, coded = np.unique(values[usable], return_inverse=True)
    codes, classes = column.codes[usable], training.classes[usable]
    size = np.bincount(codes, minlength=len(column.names))
    order, ends = np.argsort(codes, kind="stable"), np.cumsum(size)
    found: dict[tuple[int, bool], list[tuple[str, float]]] = {}
    for category in np.flatnonzero(size >= LEAST_ROWS):
        rows = order[ends[category] - size[category] : ends[category]]
        counts = np.bincount(coded[rows])
        value = int(counts.argmax())
        broken = len(rows) - int(counts[value])
        if broken > MOST_BROKEN * len(rows):
            continue
        by_class = _others(coded == value, classes, rows)
        if enough(broken, len(rows), float(by_class.sum()), tried=tried):
            particular = is_particular(broken, int(classes_of(by_class)), training, implication=True)
            found.setdefault((value, particular), []).append((column.names[category], float(by_class.sum())))
    for (value, particular), pairs in sorted(found.items()):
        if len(pairs) <= MOST_NAMES:
            names = tuple(name for name, _ in pairs)
            yield _Determined(float(distinct[value]), names, min(expected for _, expected in pairs), particular)


def _others(equal: Booleans, classes: Codes, rows: Codes) -> Floats:
    """Count, for each class, how many rows of a category would have another value, had they those of their class."""
    sizes = np.bincount(classes)
    other = 1 - np.bincount(classes, weights=equal) / np.maximum(sizes, 1)
    return np.bincount(classes[rows], minlength=len(sizes)) * other
