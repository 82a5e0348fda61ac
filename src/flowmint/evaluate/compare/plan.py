"""What is compared: tasks, and the plan by which each of them is measured."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads annotations at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from flowmint.errors import LabelError, SettingError, nearest
from flowmint.evaluate.compare.result import PlanAbout, Shortcuts
from flowmint.evaluate.evaluation import MEASURED
from flowmint.evaluate.utility import available_detectors
from flowmint.flows.schema import split_label
from flowmint.flows.split import SplitRule
from flowmint.generators import GENERATORS, make_generator
from flowmint.generators.settings import Setting, is_whole

if TYPE_CHECKING:
    from flowmint.generators import Generator

NONE, ALL_REAL = "none", "all_real_rows"
REFERENCES = (NONE, ALL_REAL)
"""What generators are held against: real rows as they are, and all the attack rows that the split has."""

OURS = "latent_diffusion"
"""The generator whose lead over every other is told, where it takes part."""

INTRINSIC = tuple(family for family in MEASURED if family != "utility")
"""Families of scores of minted rows; utility and cost are measured by the comparison itself."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One attack to be told from benign rows.

    Attributes:
        name: How the task is called in results.
        table: Rows of at least these two classes, label column included, in the order of their capture.
        label: Name of the label column.
        attack: The attack class.
        benign: The benign class; the largest other class if absent.
    """

    name: str
    table: pl.DataFrame = field(repr=False)
    label: str
    attack: str
    benign: str | None = None

    def narrowed(self) -> Task:
        """Keep the rows of the two classes alone, and tell which the benign one is.

        Raises:
            LabelError: A class is absent, or both are one.
        """
        labels = split_label(self.table, self.label)[1].cast(pl.String)
        counts = dict(labels.value_counts(sort=True).iter_rows())
        others = sorted((name for name in counts if name != self.attack), key=lambda name: (-counts[name], name))
        if self.benign is None and not others:
            message = f"task {self.name!r}: {self.attack!r} is the only class; add benign rows"
            raise LabelError(message)
        benign = others[0] if self.benign is None else self.benign
        for name in (self.attack, benign):
            if name not in counts:
                message = f"task {self.name!r}: there is no class {name!r}; {nearest(name, counts)}"
                raise LabelError(message)
        if benign == self.attack:
            message = f"task {self.name!r}: {benign!r} is both attack and benign; give two classes"
            raise LabelError(message)
        table = self.table.filter(labels.is_in([self.attack, benign]))
        return Task(name=self.name, table=table, label=self.label, attack=self.attack, benign=benign)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How every task is measured.

    Attributes:
        rows: Numbers of real attack rows to train on.
        seeds: Seeds; each makes another split, and other generators and detectors.
        generators: Names in `flowmint.GENERATORS`, and any of `REFERENCES`.
        settings: Settings of a generator that are not its defaults, by its name.
        detectors: Detectors to train; all that are installed if absent.
        split: What stays together, see `flowmint.flows.split.SplitRule`.
        shortcuts: Whether columns that give the class away are kept, dropped, or both in turn.
        most: Most benign rows to train on, most rows of each class to test on, and what the attack is
            balanced to.
        families: Families of intrinsic scores to compute; none for utility and cost alone.
        ours: The generator whose lead is told; `OURS` if absent and it takes part.
        headline: Up to how many real rows the overall means go.
        rules: What every generator's rows satisfy, as `flowmint.generators.make_generator` takes it.
        force_rules: Whether they are kept although more real rows break one of them than may.
    """

    rows: tuple[int, ...] = (25,)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    generators: tuple[str, ...] = (NONE, "smote_standardised", "data_diffusion", OURS, ALL_REAL)
    settings: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    detectors: tuple[str, ...] | None = None
    split: str = "random"
    shortcuts: tuple[Shortcuts, ...] = ("kept",)
    most: int = 2500
    families: tuple[str, ...] = INTRINSIC
    ours: str | None = None
    headline: int = 100
    rules: str = "auto"
    force_rules: bool = False

    @property
    def by(self) -> SplitRule:
        """The split's rule."""
        return SplitRule.parse(self.split)

    def check(self) -> None:
        """Check every setting before long work.

        Raises:
            SettingError: One is unknown or out of its range.
        """
        for name in ("rows", "seeds", "generators", "shortcuts"):
            _check_distinct(name, getattr(self, name))
        for name, least, values in (("rows", 1, self.rows), ("seeds", 0, self.seeds), ("most", 2, (self.most,))):
            for value in values:
                if not is_whole(value) or value < least:
                    message = f"{name} has {value!r}; give a whole number, {least} or more"
                    raise SettingError(message)
        _check_known("generator", self.generators, (*REFERENCES, *GENERATORS))
        _check_known("shortcuts", self.shortcuts, ("kept", "dropped"))
        _check_known("family of scores", self.families, INTRINSIC)
        _check_known("detector", self.detectors or (), available_detectors())
        if self.ours is not None and self.ours not in self.generators:
            message = f"ours is {self.ours!r}, which takes no part; {nearest(self.ours, self.generators)}"
            raise SettingError(message)
        SplitRule.parse(self.split)
        for name in self.settings:
            _check_known("generator with settings", (name,), tuple(GENERATORS))
            self.generator(name, seed=0).check()

    def generator(self, name: str, *, seed: int) -> Generator:
        """Make a generator with the plan's settings.

        Raises:
            SettingError: It has no such setting.
        """
        given = self.settings.get(name)
        return make_generator(name, seed=seed, rules=self.rules, force_rules=self.force_rules, settings=given)

    def about(self) -> PlanAbout:
        """Describe the plan for a result."""
        described = msgspec.to_builtins(self)
        described["detectors"] = list(self.detectors or available_detectors())
        described["ours"] = self.ours or (OURS if OURS in self.generators else None)
        return msgspec.convert(described, PlanAbout)


def _check_distinct(name: str, values: tuple[object, ...]) -> None:
    if not values:
        message = f"{name} is empty; give at least one"
        raise SettingError(message)
    for value in values:
        if values.count(value) > 1:
            message = f"{name} has {value!r} twice; give each once"
            raise SettingError(message)


def _check_known(what: str, given: tuple[str, ...], known: tuple[str, ...] | list[str]) -> None:
    for name in given:
        if name not in known:
            message = f"unknown {what} {name!r}; {nearest(name, known, show=14)}"
            raise SettingError(message)
