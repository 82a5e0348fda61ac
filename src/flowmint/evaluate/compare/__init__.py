"""Comparison: generators on few real attack rows, cell by cell, and what follows from the cells."""

from __future__ import annotations

from flowmint.evaluate.compare.cell import Shown
from flowmint.evaluate.compare.plan import ALL_REAL, INTRINSIC, NONE, OURS, REFERENCES, Plan, Task
from flowmint.evaluate.compare.result import METRICS, Cell, Comparison, Estimate, ScoreAbout, ScoreValue, Summary
from flowmint.evaluate.compare.run import Run, compare, failed

__all__ = [
    "ALL_REAL",
    "INTRINSIC",
    "METRICS",
    "NONE",
    "OURS",
    "REFERENCES",
    "Cell",
    "Comparison",
    "Estimate",
    "Plan",
    "Run",
    "ScoreAbout",
    "ScoreValue",
    "Shown",
    "Summary",
    "Task",
    "compare",
    "failed",
]
