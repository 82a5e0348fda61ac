"""Adherence: which rules a generator keeps to, where they come from, and how many rows break any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowmint.generators.validity import AUTO, GIVEN
from flowmint.progress import SILENT, Progress
from flowmint.rules.ruleset import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from flowmint.generators.base import Generator

PIECE = 1 << 18
"""Rows that are checked at once, so that large tables need little memory."""


@dataclass(frozen=True, kw_only=True)
class Adherence:
    """What the rules of a fitted generator mean for the rows at hand; every number is counted.

    Attributes:
        rules: How many rules every minted row shall satisfy.
        origin: Where they come from, in words.
        columns: Columns of the table, the label apart.
        computed: How many of them follow from others and are computed instead of learnt.
        real: Real rows.
        real_broken: How many of them break any rule; they are kept as they are.
        minted: Minted rows.
        minted_broken: How many of them break any rule.
    """

    rules: int
    origin: str
    columns: int
    computed: int
    real: int
    real_broken: int
    minted: int = 0
    minted_broken: int = 0


def measure_adherence(
    generator: Generator,
    real: pl.DataFrame,
    *,
    label: str,
    minted: pl.DataFrame | None = None,
    progress: Progress = SILENT,
) -> Adherence:
    """Check rows by the rules that a generator keeps to.

    Args:
        generator: A fitted generator.
        real: Real rows, label column included [rows, columns].
        label: Name of the label column.
        minted: Minted rows with the same columns.
        progress: Shows how far it is.

    Returns:
        What was counted.

    Raises:
        RuleError: The rules do not fit the rows.
    """
    rules, tables = generator.validity_.rules, (real, real[:0] if minted is None else minted)
    with progress.stage("checking", total=sum(table.height for table in tables), unit="rows") as stage:
        broken = []
        for table in tables:
            broken.append(0)
            for piece in table.iter_slices(PIECE):
                broken[-1] += int(np.sum(~rules.check(piece, label=label).valid))
                stage.advance(piece.height)
    real_counts, minted_counts = (real.height, broken[0]), (tables[1].height, broken[1])
    return describe_adherence(generator, real=real_counts, minted=minted_counts)


def tell_adherence(generator: Generator) -> Adherence:
    """Tell what a generator counted of the streamed table that it learnt from."""
    found = generator.streamed_
    assert found is not None  # noqa: S101 - only what was streamed is asked
    return describe_adherence(generator, real=(int(found.counts.sum()), found.invalid))


def describe_adherence(generator: Generator, *, real: tuple[int, int], minted: tuple[int, int] = (0, 0)) -> Adherence:
    """Put what was counted beside the rules.

    Args:
        generator: A fitted generator.
        real: Real rows, and how many of them break any rule.
        minted: Minted rows, and how many of them do.

    Returns:
        What is told of them.
    """
    return Adherence(
        rules=len(generator.validity_.rules),
        origin=origin_of(generator),
        columns=len(generator.schema_.names),
        computed=len(generator.validity_.derived),
        real=real[0],
        real_broken=real[1],
        minted=minted[0],
        minted_broken=minted[1],
    )


def origin_of(generator: Generator) -> str:
    """Tell in words where the rules of a fitted generator come from."""
    wanted, rules = generator.rules, generator.validity_.rules
    if isinstance(wanted, str) and wanted == AUTO:
        return tell_origin(rules, generator.schema_.names)
    named = (rules.name if isinstance(wanted, Rules) or wanted == GIVEN else wanted) or "those that were given"
    return f"{len(rules):,} of {named}"


def tell_origin(rules: Rules, columns: Sequence[str]) -> str:
    """Tell how many rules there are of the extractor and how many of the rows.

    Args:
        rules: What `flowmint.generators.validity.find_rules` found; rules that the rows show have evidence, those of
            an extractor have none.
        columns: The table's header, which tells the extractor.

    Returns:
        Words such as ``102 of ciciot2023 and 41 found in the training rows``.
    """
    shown = sum(rule.evidence is not None for rule in rules)
    profile = Rules.recognise(list(columns))
    parts = []
    if profile is not None and shown < len(rules):
        parts.append(f"{len(rules) - shown:,} of {profile.name}")
    if shown:
        parts.append(f"{shown:,} found in the training rows")
    return " and ".join(parts) or "none"
