"""Faults: the malformed rows of CSV files that are skipped instead of stopping, counted so that they can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Faults:
    """What was skipped.

    Attributes:
        rows: Malformed rows.
        first: What is wrong with the first of them: its file, its line and the problem; empty if there is none.
    """

    rows: int = 0
    first: str = ""

    def add(self, rows: int, first: str) -> None:
        """Count malformed rows.

        Args:
            rows: How many.
            first: What is wrong with the first of them.
        """
        self.first = self.first or first
        self.rows += rows
