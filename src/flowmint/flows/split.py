"""Splits, made before anything is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from flowmint.errors import LabelError, SettingError, nearest


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


def few_shot(
    table: pl.DataFrame,
    *,
    label: str,
    attack: str,
    benign: str,
    rows: int,
    most: int,
    seed: int,
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

    Returns:
        The task.

    Raises:
        LabelError: A class is not in the table.
        SettingError: The training half has fewer attack rows than asked for.
    """
    rng = np.random.default_rng(seed)
    parts = {}
    for name in (benign, attack):
        own = table.filter(pl.col(label).cast(pl.String) == name)
        if not own.height:
            known = table[label].cast(pl.String).unique().sort().to_list()
            message = f"there is no class {name!r}; {nearest(name, known)}"
            raise LabelError(message)
        shuffled = own[rng.permutation(own.height)]
        half = own.height // 2
        parts[name] = shuffled[half:], shuffled[:half].head(most)
    attack_rows, benign_rows = parts[attack][0], parts[benign][0].head(most)
    if attack_rows.height < rows:
        message = f"{rows} training rows of {attack!r} asked for, {attack_rows.height} are there; ask for fewer"
        raise SettingError(message)
    full = pl.concat([benign_rows, attack_rows.head(most)])
    features = [name for name in table.columns if name != label]
    test = pl.concat([parts[benign][1], parts[attack][1]])
    return FewShot(
        train=pl.concat([benign_rows, attack_rows.head(rows)]),
        test=test.join(full, on=features, how="anti", nulls_equal=True, maintain_order="left"),
        full=full,
    )
