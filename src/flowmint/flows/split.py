"""Splits, made before anything is fitted, and without a row that stands on both sides.

How rows are told apart is a `SplitRule`. ``random`` puts neighbours of one capture on both sides, which
flatters every detector; ``block`` keeps runs of contiguous rows together; ``capture`` keeps files
together, and ``group:COLUMN`` whatever has one value in a column, such as a device or a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from flowmint.errors import LabelError, SettingError, TableError, nearest
from flowmint.flows.schema import split_label

if TYPE_CHECKING:
    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

Kind = Literal["random", "block", "capture", "group"]

CAPTURE = "capture#"
"""The column in which `flowmint.flows.read.read_table` tells each row's file where it is asked to."""

BLOCKS = 10
"""Into how many runs of contiguous rows the rows of a class are cut."""


@dataclass(frozen=True)
class SplitRule:
    """What stays together when rows are split.

    Attributes:
        kind: ``random``, ``block``, ``capture`` or ``group``.
        column: The column that names each row's file or group.
    """

    kind: Kind = "random"
    column: str | None = None

    @classmethod
    def parse(cls, text: str) -> SplitRule:
        """Read a rule such as ``block`` or ``group:Device``.

        Raises:
            SettingError: There is no such rule.
        """
        kind, colon, column = text.partition(":")
        if kind == "group" and column:
            return cls("group", column)
        if kind == "capture" and not colon:
            return cls("capture", CAPTURE)
        if kind in {"random", "block"} and not colon:
            return cls("block" if kind == "block" else "random")
        known = [name if name != "group" else "group:COLUMN" for name in get_args(Kind)]
        message = f"unknown split {text!r}; {nearest(kind, known)}"
        raise SettingError(message)

    @property
    def text(self) -> str:
        """The rule as `parse` reads it."""
        return f"group:{self.column}" if self.kind == "group" else self.kind


RANDOM = SplitRule()


@dataclass(frozen=True)
class FewShot:
    """One few-shot task: little attack, much benign, and a test that nothing else may see.

    Attributes:
        train: Training rows, the label column included.
        test: Test rows.
        full: The training rows with all the attack rows that the split allows, for the best case.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    full: pl.DataFrame


@dataclass(frozen=True)
class HeldOut:
    """Rows to learn from and rows to judge by.

    Attributes:
        train: Training rows, the label column included, in the table's order.
        test: Test rows whose features stand nowhere in training, in the table's order.
    """

    train: pl.DataFrame
    test: pl.DataFrame


def few_shot(
    table: pl.DataFrame,
    *,
    label: str,
    attack: str,
    benign: str,
    rows: int,
    most: int,
    seed: int,
    by: SplitRule = RANDOM,
) -> FewShot:
    """Split benign and one attack in halves and leave few attack rows to train on.

    Half of each class, at most ``most`` rows of it, is for testing and the other half for training; of
    the training half, at most ``most`` benign and ``rows`` attack rows are used. Test rows that also
    stand among the training rows are left out.

    Args:
        table: Rows of any classes.
        label: Name of the label column.
        attack: The attack class.
        benign: The benign class.
        rows: Attack rows to train on.
        most: Most benign rows to train on, and most rows of each class to test on.
        seed: Seed of the split.
        by: What stays together; a column that it names is left out of the result.

    Returns:
        The task.

    Raises:
        LabelError: A class is not in the table.
        SettingError: The training half has fewer attack rows than asked for.
        TableError: A class cannot be split by the rule.
    """
    rng = np.random.default_rng(seed)
    parts = {}
    own = {name: _of_class(table, label, name) for name in (benign, attack)}
    sides = _grouped(own, by, rng) if by.column is not None else {}
    for name, rows_of_class in own.items():
        features = rows_of_class.drop(by.column) if by.column is not None else rows_of_class
        if by.kind == "random":
            shuffled = features[rng.permutation(features.height)]
            half = features.height // 2
            parts[name] = shuffled[half:], shuffled[:half].head(most)
        else:
            tests = sides[name] if by.column is not None else _blocks(features.height, 0.5, rng)
            held, kept = (rng.permutation(np.flatnonzero(side)) for side in (tests, ~tests))
            parts[name] = features[kept], features[held].head(most)
    attack_rows, benign_rows = parts[attack][0], parts[benign][0].head(most)
    if attack_rows.height < rows:
        message = f"{rows} training rows of {attack!r} asked for, {attack_rows.height} are there; ask for fewer"
        raise SettingError(message)
    full = pl.concat([benign_rows, attack_rows.head(most)])
    return FewShot(
        train=pl.concat([benign_rows, attack_rows.head(rows)]),
        test=_without(pl.concat([parts[benign][1], parts[attack][1]]), full, label),
        full=full,
    )


def hold_out(table: pl.DataFrame, *, label: str, share: float = 0.3, seed: int = 0, by: SplitRule = RANDOM) -> HeldOut:
    """Hold a share of every class out.

    Args:
        table: Rows with the label column.
        label: Name of the label column.
        share: Share of each class to hold out; a class of one row stays in training.
        seed: Seed of the split.
        by: What stays together; a column that it names is left out of the result.

    Returns:
        Training and test rows.

    Raises:
        LabelError: The label column is absent or a label empty.
        SettingError: ``share`` is not between 0 and 1.
        TableError: A class cannot be split by the rule, or no test rows remain.
    """
    if not 0 < share < 1:
        message = f"the share to hold out is {share!r}; give a number between 0 and 1, such as 0.3"
        raise SettingError(message)
    labels = split_label(table, label)[1].cast(pl.String)
    rng = np.random.default_rng(seed)
    names = labels.unique().sort().to_list()
    own = {name: table.filter(labels == name) for name in names}
    sides = _grouped(own, by, rng, share=share) if by.column is not None else {}
    tests = np.zeros(table.height, dtype=bool)
    for name in names:
        places = np.flatnonzero((labels == name).to_numpy())
        if by.column is not None:
            tests[places] = sides[name]
        elif by.kind == "block":
            tests[places] = _blocks(len(places), share, rng)
        else:
            tests[rng.permutation(places)[: round(share * len(places))]] = True
    features = table.drop(by.column) if by.column is not None else table
    train, test = features.filter(pl.Series(~tests)), features.filter(pl.Series(tests))
    kept = _without(test, train, label)
    if not kept.height:
        message = (
            f"none of the {test.height} rows held out remain once those that also stand in training are left out; "
            "give more rows, or fewer duplicates"
        )
        raise TableError(message)
    return HeldOut(train=train, test=kept)


def folds_of(labels: pl.Series, *, folds: int, seed: int) -> Positions:
    """Number rows by the fold that tests them, each class spread over the folds as evenly as can be.

    Args:
        labels: Class of each row [rows].
        folds: How many folds.
        seed: Seed of the assignment.

    Returns:
        The fold of each row [rows].
    """
    rng = np.random.default_rng(seed)
    numbers = np.zeros(len(labels), dtype=np.int64)
    text = labels.cast(pl.String)
    for name in text.unique().sort().to_list():
        places = rng.permutation(np.flatnonzero((text == name).to_numpy()))
        numbers[places] = (np.arange(len(places)) + rng.integers(folds)) % folds
    return numbers


def _of_class(table: pl.DataFrame, label: str, name: str) -> pl.DataFrame:
    own = table.filter(pl.col(label).cast(pl.String) == name)
    if not own.height:
        known = table[label].cast(pl.String).unique().sort().to_list()
        message = f"there is no class {name!r}; {nearest(name, known)}"
        raise LabelError(message)
    return own


def _blocks(rows: int, share: float, rng: np.random.Generator) -> Mask:
    """Choose runs of contiguous rows to test on [rows]."""
    count = min(BLOCKS, rows)
    most = min(max(round(share * count), 1), count - 1) if count > 1 else 0
    chosen = rng.permutation(count)[:most]
    block = np.arange(rows) * count // max(rows, 1)
    return np.isin(block, chosen)


def _grouped(
    own: dict[str, pl.DataFrame], by: SplitRule, rng: np.random.Generator, *, share: float = 0.5
) -> dict[str, Mask]:
    """Choose whole groups to test on, so that each class has about its share there.

    Args:
        own: Each class's rows.
        by: The rule, which names the column.
        rng: What shuffles groups.
        share: Share of each class's rows to test on.

    Returns:
        For each class which of its rows are for testing [rows].

    Raises:
        TableError: The column is absent, or a class stands in one group alone.
    """
    column = by.column or ""
    what = "capture" if by.kind == "capture" else f"value of {column!r}"
    counts: dict[object, dict[str, float]] = {}
    for name, rows in own.items():
        if column not in rows.columns:
            hint = "give a folder of captures" if by.kind == "capture" else nearest(column, rows.columns)
            message = f"there is no column {column!r} to split by; {hint}"
            raise TableError(message)
        for group, count in rows[column].value_counts().sort(column, nulls_last=True).iter_rows():
            counts.setdefault(group, {})[name] = count / rows.height
    tested: dict[str, float] = dict.fromkeys(own, 0.0)
    chosen: list[object] = []
    groups = list(counts)
    for place in rng.permutation(len(groups)):
        shares = counts[groups[place]]
        with_it = sum(abs(tested[name] + part - share) for name, part in shares.items())
        if with_it < sum(abs(tested[name] - share) for name in shares) or not any(tested[name] for name in shares):
            chosen.append(groups[place])
            for name, part in shares.items():
                tested[name] += part
    for name, part in tested.items():
        if not 0 < part < 1 - 1e-12:
            there = sum(name in shares for shares in counts.values())
            message = (
                f"class {name!r} stands in {there} {what}{'' if there == 1 else 's'}, and each must be wholly in "
                "training or in test; split by block, or add rows from another"
            )
            raise TableError(message)
    return {name: rows[column].is_in(chosen, nulls_equal=True).to_numpy() for name, rows in own.items()}


def _without(test: pl.DataFrame, train: pl.DataFrame, label: str) -> pl.DataFrame:
    """Leave test rows out whose features also stand in training."""
    features = [name for name in test.columns if name != label]
    return test.join(train, on=features, how="anti", nulls_equal=True, maintain_order="left")
