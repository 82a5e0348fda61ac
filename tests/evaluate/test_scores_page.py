"""The page of scores says what the code says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from flowmint.evaluate.evaluation import DEFINITIONS, MEASURED

PAGE = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
BETTER = {"higher": "higher", "lower": "lower", "reference": "as real rows"}


def bound(number: float) -> str:
    text = "∞" if math.isinf(number) else f"{abs(number):g}"
    return f"−{text}" if number < 0 else text


def row(definition) -> str:
    """A definition's line of the page."""
    cells = (
        f"{definition.title}<br>`{definition.name}`",
        definition.description,
        f"{bound(definition.lowest)} to {bound(definition.highest)}",
        BETTER[definition.better],
        definition.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_every_score_has_its_line(definition):
    assert row(definition) in PAGE.splitlines()


def test_every_family_has_its_heading():
    assert all(f"\n## {family.capitalize()}\n" in PAGE for family in MEASURED)


def test_no_line_is_of_a_score_that_is_gone():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "<br>`" in line]
    assert len(lines) == len(DEFINITIONS) == len({definition.name for definition in DEFINITIONS})
