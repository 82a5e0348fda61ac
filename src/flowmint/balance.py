"""The balancer: real rows first, minted rows after, until every class has its target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, clone

from flowmint.errors import LabelError, SettingError, TableError, nearest
from flowmint.flows.frames import FrameFormat, Native, restore_series, to_polars, to_series
from flowmint.flows.schema import Classes, Schema, free_name, split_label
from flowmint.generators import Generator, make_generator
from flowmint.generators.settings import is_whole
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from flowmint.rules.ruleset import Rules

Target = int | Mapping[Any, int] | None


class Minter(Protocol):
    """Mints the rows of one class, part by part: here, or on a cluster."""

    def __call__(
        self, generator: Generator, rows: int, *, class_name: str, seed: int, progress: Progress
    ) -> Iterator[pl.DataFrame]:
        """Mint so many rows of a class as `Generator.sample_parts` does."""


def mint_here(
    generator: Generator, rows: int, *, class_name: str, seed: int, progress: Progress
) -> Iterator[pl.DataFrame]:
    """Mint the rows of one class in this process.

    Args:
        generator: A fitted generator.
        rows: How many.
        class_name: Their class.
        seed: Seed of the draw.
        progress: Shows how far it is.

    Yields:
        What `Generator.sample_parts` does.
    """
    yield from generator.sample_parts(rows, label=class_name, seed=seed, progress=progress)


def rows_to_mint(counts: Mapping[str, int], target: Target) -> dict[str, int]:
    """Work out how many rows each class lacks.

    Args:
        counts: Rows present, by class name.
        target: None for the size of the largest class, one number for all classes, or a number
            for some classes (the others stay as they are).

    Returns:
        Rows to mint by class name, zeros included.

    Raises:
        LabelError: A target names a class that is not there.
        SettingError: A target is no whole number or below the rows present.
    """
    if isinstance(target, Mapping):
        named = {str(name): goal for name, goal in target.items()}
        for name in named:
            if name not in counts:
                message = f"target names the class {name!r}, which the table lacks; {nearest(name, counts)}"
                raise LabelError(message)
    else:
        goal = max(counts.values()) if target is None else target
        named = dict.fromkeys(counts, goal)
    for name, goal in named.items():
        if not is_whole(goal):
            message = f"the target of class {name!r} is {goal!r}; give a whole number of rows"
            raise SettingError(message)
        if goal < counts[name]:
            message = (
                f"the target of class {name!r} is {goal}, but {counts[name]} rows are present and real rows "
                f"are never removed; give {counts[name]} or more, or name only the classes to raise"
            )
            raise SettingError(message)
    return {name: int(named.get(name, present)) - present for name, present in counts.items()}


def balance_table(
    table: pl.DataFrame,
    *,
    label: str,
    generator: str | Generator = "latent_diffusion",
    target: Target = None,
    origin: str | None = None,
    seed: int = 0,
    missing: str = "learn",
    rules: str | Rules = "auto",
    force_rules: bool = False,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Mint the rows that classes lack.

    Args:
        table: Real rows, the label column included.
        label: Name of the label column.
        generator: A name in `flowmint.GENERATORS`, ``none`` to mint nothing, a generator to fit on the
            table, or a fitted one (then nothing is trained).
        target: Rows that classes shall have, see `rows_to_mint`.
        origin: Name of a column to add that says ``real`` or ``minted``; none if absent.
        seed: Seed of fitting and sampling.
        missing: The missing-value policy of a generator given by name.
        rules: What every minted row of a generator given by name satisfies: ``auto``, ``none``, a rules file, a
            profile, or rules.
        force_rules: Whether such rules are kept although more real rows break one of them than may.
        progress: Shows how far the work is.

    Returns:
        The real rows, unchanged and in order, then the minted rows, class by class.

    Raises:
        LabelError: The label column or a class is absent, or there is a single class.
        SettingError: A target or the generator's name is not usable.
        TableError: The table cannot be learnt from, or the model learnt other columns.
        RuleError: The rules do not fit the table.
    """
    made: Generator | None = None
    if isinstance(generator, Generator):
        made = generator
    elif generator != "none":
        made = make_generator(generator, seed=seed, missing=missing, rules=rules, force_rules=force_rules)
    return balance_rows(
        table, label=label, generator=made, target=target, origin=origin, seed=seed, progress=progress
    ).table


@dataclass(frozen=True, kw_only=True)
class Balanced:
    """A balanced table, and what minted its rows.

    Attributes:
        table: The real rows, unchanged and in order, then the minted rows, class by class.
        real_rows: How many of its rows are real.
        generator: The fitted generator; None where nothing was minted.
    """

    table: pl.DataFrame
    real_rows: int
    generator: Generator | None

    @property
    def real(self) -> pl.DataFrame:
        """The real rows."""
        return self.table[: self.real_rows]

    @property
    def minted(self) -> pl.DataFrame:
        """The minted rows."""
        return self.table[self.real_rows :]


def balance_rows(
    table: pl.DataFrame,
    *,
    label: str,
    generator: Generator | None,
    target: Target = None,
    origin: str | None = None,
    seed: int = 0,
    minter: Minter = mint_here,
    progress: Progress = SILENT,
) -> Balanced:
    """Mint the rows that classes lack, as `balance_table` does, and give what minted them too.

    Args:
        table: Real rows, the label column included.
        label: Name of the label column.
        generator: A generator, of which a copy is fitted on the table, or a fitted one; None to mint nothing.
        target: Rows that classes shall have, see `rows_to_mint`.
        origin: Name of a column to add that says ``real`` or ``minted``; none if absent.
        seed: Seed of sampling.
        minter: What mints the rows of a class.
        progress: Shows how far the work is.

    Returns:
        The balanced table and the fitted generator.

    Raises:
        FlowmintError: As `balance_table`.
    """
    rows, labels = split_label(table, label, at_least=2)
    Schema.infer(rows)  # also where nothing is to be minted, a table that could not be learnt is refused
    if origin is not None and origin in table.columns:
        message = f"the table already has a column {origin!r}; give the origin column another name"
        raise SettingError(message)
    classes = Classes.of(labels)
    counts = dict(zip(classes.names, np.bincount(classes.codes(labels)).tolist(), strict=True))
    lacking = {name: count for name, count in rows_to_mint(counts, target).items() if count}
    parts, fitted = [table], None
    if lacking and generator is not None:
        fitted = _fitted(generator, rows, labels, progress=progress)
        check_classes(fitted, lacking)
        for name, count in lacking.items():
            value = pl.Series(label, [classes.values[classes.code(name)]]).cast(labels.dtype)
            for minted in minter(fitted, count, class_name=name, seed=seed, progress=progress):
                own = value.new_from_index(0, minted.height).alias(label)
                parts.append(minted.with_columns(own).select(table.columns))
    balanced = pl.concat(parts)
    if origin is not None:
        said = np.where(np.arange(balanced.height) < table.height, "real", "minted")
        balanced = balanced.with_columns(pl.Series(origin, said))
    return Balanced(table=balanced, real_rows=table.height, generator=fitted)


def _fitted(generator: Generator, rows: pl.DataFrame, labels: pl.Series, *, progress: Progress) -> Generator:
    if not hasattr(generator, "schema_"):
        unfitted: Generator = clone(generator)
        return unfitted.fit(rows, labels, progress=progress)
    generator.schema_.check(rows)
    return generator


def check_classes(generator: Generator, lacking: Mapping[str, int]) -> None:
    """Refuse to mint classes that a model never saw.

    Args:
        generator: A fitted generator.
        lacking: Rows to mint by class name.

    Raises:
        LabelError: One of them is unknown to it.
    """
    known = generator.classes_.names
    for name in lacking:
        if name not in known:
            message = f"the model never saw the class {name!r}; {nearest(name, known)}"
            raise LabelError(message)


class Balancer(BaseEstimator):
    """An imbalanced-learn sampler around any generator; works inside its Pipeline.

    Args:
        generator: The generator to fit; left as it is, a copy is fitted. `LatentDiffusion` if absent.
        target: Rows that classes shall have, see `rows_to_mint`.
    """

    _estimator_type = "sampler"
    _sampling_type = "over-sampling"

    def __init__(self, generator: Generator | None = None, *, target: Target = None) -> None:
        self.generator = generator
        self.target = target

    def fit_resample(self, X: Native, y: Any) -> tuple[Native, Any]:  # noqa: ANN401
        """Fit the generator and mint what classes lack.

        Args:
            X: Rows [rows, columns]: a pandas, Polars or Arrow frame, or a float array.
            y: The class of each row [rows].

        Returns:
            The balanced rows, real ones first, and their classes, both of the kind given.

        Raises:
            FlowmintError: As `balance_table`.
        """
        table, labels = to_polars(X), to_series(y, "label")
        if table.height != len(labels):
            message = f"{table.height} rows but {len(labels)} labels; give one label for each row"
            raise TableError(message)
        name = free_name(table.columns)
        generator = make_generator("latent_diffusion") if self.generator is None else self.generator
        balanced = balance_table(
            table.with_columns(labels.alias(name)),
            label=name,
            generator=clone(generator),
            target=self.target,
            seed=generator.seed,
        )
        rows = FrameFormat.of(X).restore(balanced.drop(name))
        return rows, restore_series(balanced[name], y)
