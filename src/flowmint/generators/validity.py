"""Validity: the rules that a generator's rows satisfy, the columns that it need not model, and how rows are completed.

Every generator is treated alike: columns that follow from others by the rules leave the table before anything is
learnt, and columns that lie close to their bounds are told by them (see `flowmint.rules.relative`). Minted rows get
both back by arithmetic, then rows that break a rule go to the nearest row that breaks none (see `flowmint.rules`). The
few for which none is found are minted anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from flowmint.errors import ModelError, RuleError
from flowmint.flows.schema import Column, Schema, free_name
from flowmint.rules.language import columns_of
from flowmint.rules.relative import Relative, choose_relative, relative_to_json, restore_relative
from flowmint.rules.ruleset import Rules
from flowmint.rules.table import fit_dtype, is_number, numbers_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy.typing as npt

    from flowmint.progress import Progress
    from flowmint.rules.check import RuleReport

NONE, AUTO, GIVEN = "none", "auto", "given"

MOST_BROKEN = 0.05
"""Share of the real rows that may break a rule that minted rows shall satisfy."""


@dataclass(frozen=True)
class Validity:
    """What rules mean for the rows of a table.

    Attributes:
        rules: The rules.
        derived: Columns that are computed from others instead of learnt, in the table's order.
        relative: Columns that are learnt by where they lie between their bounds, each after those that bound it.
    """

    rules: Rules = field(default_factory=lambda: Rules(()))
    derived: tuple[str, ...] = ()
    relative: tuple[Relative, ...] = ()

    @classmethod
    def learn(
        cls, wanted: str | Rules, table: pl.DataFrame, labels: pl.Series, *, force: bool = False, progress: Progress
    ) -> Self:
        """Find the rules of training rows.

        Args:
            wanted: Rules; ``none``; ``auto`` for those of the extractor that the header tells and those that the rows
                show; else a rules file or the name of a profile.
            table: Training rows [rows, columns].
            labels: Their classes, as text [rows].
            force: Whether rules that are named or given are kept however many rows break them.
            progress: Told of the search.

        Returns:
            The rules and the columns that need not be learnt.

        Raises:
            RuleError: There are no such rules, they do not fit the table, or too many real rows break one.
        """
        if isinstance(wanted, str) and wanted == NONE:
            return cls()
        if isinstance(wanted, str) and wanted == AUTO:
            rules = find_rules(table, labels, progress=progress)
        else:
            rules = named_rules(wanted) if isinstance(wanted, str) else wanted
            rules.require(table, label=labels, most_broken=1.0 if force else MOST_BROKEN)
            rules = rules.fitting(table)  # without those of columns that a table may lack
        return cls.of(rules, table, finite=finite_columns(table))

    @classmethod
    def of(cls, rules: Rules, table: pl.DataFrame, *, finite: Collection[str]) -> Self:
        """Tell what rules mean for a table.

        Args:
            rules: The rules.
            table: Training rows [rows, columns].
            finite: The columns of numbers that are finite in all rows, of which these may be only some.

        Returns:
            The rules and the columns that need not be learnt.
        """
        derived = derivable(rules, table, finite=finite)
        return cls(rules, derived, choose_relative(rules.plan, _numbers(table.drop(derived)), finite=finite))

    def schema(self, schema: Schema) -> Schema:
        """Give the columns that are learnt.

        Args:
            schema: The whole table's columns.

        Returns:
            The columns of what `reduce` gives.
        """
        told = {each.column for each in self.relative}
        columns = (Column(c.name, "numeric", pl.Float64()) if c.name in told else c for c in schema.columns)
        return Schema(tuple(column for column in columns if column.name not in self.derived))

    def reduce(self, table: pl.DataFrame) -> pl.DataFrame:
        """Give real rows as they are learnt; `derive` is the inverse.

        Args:
            table: Rows with all columns [rows, columns].

        Returns:
            Rows without the columns that follow from others, and with those told by their bounds as decimals.
        """
        learnt = table.drop(self.derived)
        spoken = {name for each in self.relative for name in (each.column, *each.bounds.columns)}
        numbers = _numbers(learnt.select(sorted(spoken)))
        told = [pl.Series(each.column, each.tell(numbers[each.column], numbers)) for each in self.relative]
        return learnt.with_columns(told)

    def derive(self, minted: pl.DataFrame, schema: Schema) -> pl.DataFrame:
        """Give minted rows the columns that follow from others, and repair nothing.

        Args:
            minted: Rows of the columns that are learnt [rows, columns].
            schema: The whole table's columns.

        Returns:
            Rows with all columns in order.
        """
        if not len(self.rules):
            return minted
        minted = self._by_value(minted, schema)
        absent = [
            pl.zeros(minted.height, dtype=pl.Int8, eager=True).cast(column.polars_dtype).alias(column.name)
            for column in schema.columns
            if column.name in self.derived
        ]
        computed: pl.DataFrame = self.rules.derive(minted.with_columns(absent).select(schema.names))
        return computed.with_columns(minted)  # what was learnt stays: it may be missing where it could be computed

    def _by_value(self, minted: pl.DataFrame, schema: Schema) -> pl.DataFrame:
        """Give columns that are told by their bounds their values again."""
        dtypes = {column.name: column.polars_dtype for column in schema.columns}
        for each in self.relative:
            numbers = _numbers(minted.select(each.column, *each.bounds.columns))
            values = fit_dtype(each.value(numbers[each.column], numbers), dtypes[each.column])
            minted = minted.with_columns(pl.Series(each.column, values).cast(dtypes[each.column]))
        return minted

    def complete(
        self, minted: pl.DataFrame, schema: Schema, *, class_name: str
    ) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
        """Give minted rows the columns that follow, and make them valid.

        Args:
            minted: Rows of the columns that are learnt [rows, columns].
            schema: The whole table's columns.
            class_name: The rows' class.

        Returns:
            Rows with all columns in order, and which of them satisfy every rule [rows].
        """
        whole = self.derive(minted, schema)
        if not len(self.rules):
            return whole, np.ones(whole.height, dtype=bool)
        return self.rules.make_valid(whole, label=pl.repeat(class_name, whole.height, eager=True))

    def to_json(self) -> dict[str, Any]:
        """Describe the rules in JSON."""
        return {
            "rules": self.rules.to_json(),
            "derived": list(self.derived),
            "relative": relative_to_json(self.relative),
        }

    @classmethod
    def from_json(cls, obj: Any, schema: Schema) -> Self:  # noqa: ANN401 - whatever the file holds
        """Rebuild what `to_json` described.

        Raises:
            ModelError: It is no such description, or does not fit the columns.
            RuleError: The rules are damaged.
        """
        rules, derived = Rules.from_json(obj["rules"]), obj["derived"]
        spoken = {name for rule in rules for name in rule.columns}
        known = set(schema.names)
        if not spoken <= known or not isinstance(derived, list) or not set(derived) <= known & set(rules.derived):
            message = "its rules do not fit its columns"
            raise ModelError(message)
        numbers = [c.name for c in schema.columns if c.name not in derived and is_number(c.polars_dtype)]
        return cls(rules, tuple(derived), restore_relative(obj["relative"], rules.plan, numbers))


def named_rules(name: str) -> Rules:
    """Read a rules file, or give the rules of a known extractor.

    Args:
        name: A path that ends in ``.toml``, or a profile's name.

    Returns:
        The rules.

    Raises:
        RuleError: There is no such file or profile.
    """
    path = Path(name)
    return Rules.read(path) if path.suffix.lower() == ".toml" or path.is_file() else Rules.profile(name)


def find_rules(table: pl.DataFrame, labels: pl.Series, *, progress: Progress) -> Rules:
    """Join the rules of the extractor that the header tells and the rules that the rows show.

    Args:
        table: Training rows [rows, columns].
        labels: Their classes, as text [rows].
        progress: Told of the search.

    Returns:
        The rules; those of the extractor that more than `MOST_BROKEN` of the rows break are left out.
    """
    shown, profile = find_candidates(table, labels, progress=progress)
    return settle(shown, profile, () if profile is None else profile.check(table).broken)


def find_candidates(table: pl.DataFrame, labels: pl.Series, *, progress: Progress) -> tuple[Rules, Rules | None]:
    """Find the rules that rows show, and those of the extractor that the header tells.

    Args:
        table: Training rows [rows, columns].
        labels: Their classes, as text [rows].
        progress: Told of the search.

    Returns:
        The rules that the rows show, and the extractor's that fit the table; None where there is none.
    """
    label = free_name(table.columns)
    shown = Rules.discover(table.with_columns(labels.alias(label)), label=label, progress=progress)
    profile = Rules.recognise(table.columns)
    return shown, None if profile is None else profile.fitting(table)


def settle(shown: Rules, profile: Rules | None, broken: Iterable[RuleReport]) -> Rules:
    """Join the rules that rows show and those of the extractor that not too many rows break.

    Args:
        shown: The rules that the rows show.
        profile: The extractor's rules; None where there is none.
        broken: Those of the extractor's that rows break, counted over all rows.

    Returns:
        The rules that minted rows shall satisfy.
    """
    if profile is None:
        return shown
    left = {each.rule.name for each in broken if each.broken > MOST_BROKEN * each.rows}
    kept = Rules(tuple(rule for rule in profile if rule.name not in left), columns=profile.columns)
    try:
        return kept.joined(shown)
    except RuleError:  # a rule of the data at hand that contradicts one of the extractor holds by its exceptions only
        return kept


def derivable(rules: Rules, table: pl.DataFrame, *, finite: Collection[str] | None = None) -> tuple[str, ...]:
    """Name the columns that need not be learnt: they follow from others, and all of them are finite throughout.

    Constants stay: they cost a generator nothing.

    Args:
        rules: The rules.
        table: Training rows [rows, columns].
        finite: The columns that are finite in all rows, where these are only some of them.

    Returns:
        Names in the table's order; a column that is missing or infinite anywhere, or follows from one that is, is
        learnt like any other, so that such states are minted at their rate.
    """
    finite = finite_columns(table) if finite is None else finite
    usable = {name for name in finite if table[name].dtype.is_numeric()}
    follow: set[str] = set()
    for name, expression in rules.definitions.items():
        inputs = set(columns_of(expression))
        if inputs and {name, *inputs} <= usable:
            follow.add(name)
    return tuple(name for name in table.columns if name in follow)


def finite_columns(table: pl.DataFrame) -> set[str]:
    """Name the columns of numbers that are finite in every row."""
    return {series.name for series in table.iter_columns() if is_number(series.dtype) and _is_finite(series)}


def _numbers(table: pl.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """Give the columns that hold numbers [rows]."""
    return {series.name: numbers_of(series, "") for series in table.iter_columns() if is_number(series.dtype)}


def _is_finite(series: pl.Series) -> bool:
    return not series.has_nulls() and (not series.dtype.is_float() or bool(series.is_finite().all()))
