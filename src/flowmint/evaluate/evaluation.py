"""Evaluation: every score of minted rows, beside the same score of real rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import polars as pl

from flowmint.errors import LabelError, SettingError, TableError, nearest
from flowmint.evaluate import dependency, detectability, diversity, fidelity, gain, privacy, validity
from flowmint.evaluate.dependency import dependency_scores
from flowmint.evaluate.detectability import detectability_scores
from flowmint.evaluate.diversity import diversity_scores
from flowmint.evaluate.fidelity import distribution_scores
from flowmint.evaluate.gain import Gains, absent_gains, count_tables, measure_gains
from flowmint.evaluate.privacy import privacy_scores
from flowmint.evaluate.scores import ClassScores, Evaluation, Family
from flowmint.evaluate.tables import Rows, align_tables, class_names, match_rows, varying_columns
from flowmint.evaluate.validity import Standard, choose_standard, validity_scores
from flowmint.flows.frames import Native, to_polars
from flowmint.flows.schema import split_label
from flowmint.generators.settings import check_setting
from flowmint.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flowmint.evaluate.scores import Definition, Score
    from flowmint.progress import Progress, Stage
    from flowmint.rules.ruleset import Rules

MEASURED: tuple[Family, ...] = (
    "distribution",
    "dependency",
    "diversity",
    "detectability",
    "privacy",
    "utility",
    "validity",
)
"""The families that `evaluate_tables` computes."""

DEFINITIONS: tuple[Definition, ...] = (
    *fidelity.DEFINITIONS,
    *dependency.DEFINITIONS,
    *diversity.DEFINITIONS,
    *detectability.DEFINITIONS,
    *privacy.DEFINITIONS,
    *gain.DEFINITIONS,
    *validity.DEFINITIONS,
)
"""Every score that `evaluate_tables` computes, in its order."""

UNREPAIRED = "rows before repair"

MOST_ROWS = 10_000
"""Rows of each table that are compared; some scores look at fewer of them."""

MOST_ROWS_OF_CLASS = 1_000
"""The same for each class by itself."""


def evaluate_tables(
    real: Native,
    minted: Native,
    *,
    train: Native | None = None,
    all_real: Native | None = None,
    label: str | None = None,
    rules: str | Rules | None = None,
    unrepaired: Native | None = None,
    families: Iterable[Family] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Evaluation:
    """Measure what minted rows are worth.

    With a label, rows of all classes are compared in equal numbers per class and table, the label
    counting as one more category, and then each class by itself. Classes that are not among both the
    held-out and the minted rows are left out of all but the detectors' work; the notes tell.

    Args:
        real: Real held-out rows, from which nothing was learnt: a pandas, Polars or Arrow frame.
        minted: Minted rows with the same columns.
        train: The real rows that were learnt from. Without them there are no scores of privacy and
            utility, and the other half of the held-out rows is the reference.
        all_real: All real rows that could have been learnt from, for the gap closed.
        label: Name of the label column; None if the rows are of one kind.
        rules: What valid rows satisfy: rules, a rules file, the name of a profile, or ``auto`` for those of the
            extractor that the header tells and those that the training rows show; without them there are no scores
            of validity.
        unrepaired: Minted rows from before repair, as ``sample(repair=False)`` gives them.
        families: Families of scores to compute; all of `MEASURED` if absent.
        seed: Seed of what is drawn and of detectors.
        progress: Shows how far the work is.

    Returns:
        The scores. One that cannot be computed is not available, with the reason.

    Raises:
        TableError: A table is empty, its columns differ from those of the real rows, or none varies.
        LabelError: The label is absent or empty somewhere, or minted and held-out rows share no class.
        SettingError: A family or the seed is none that is known.
        RuleError: The rules do not fit the tables.
    """
    check_setting("seed", seed)
    wanted = check_families(families)
    given = {
        "real held-out rows": real,
        "minted rows": minted,
        "training rows": train,
        "all real rows": all_real,
        UNREPAIRED: unrepaired,
    }
    tables = align_tables({name: to_polars(table) for name, table in given.items() if table is not None})
    parts = {name: _rows(table, label, name) for name, table in tables.items()}
    standard = Standard()
    if "validity" in wanted:
        held_out, learnt = parts["real held-out rows"], parts.get("training rows")
        standard = choose_standard(rules, real=held_out, train=learnt, progress=progress)
    work = _Work.of(parts, label=label, seed=seed, families=wanted, standard=standard)
    with progress.stage("scores", total=work.steps, unit="scores") as stage:
        gains = work.gains(stage)
        scores, by_train = work.compare(work.classes, stage, most=MOST_ROWS)
        classes = tuple(work.one_class(name, scores, gains, stage) for name in work.classes)
    return Evaluation(
        scores=(*scores, *gains.scores),
        classes=classes,
        label=label,
        columns=tuple(work.columns),
        real_rows=work.real.table.height,
        minted_rows=work.minted.table.height,
        train_rows=None if work.train is None else work.train.table.height,
        seed=seed,
        notes=(*work.notes, _reference_note(by_train=by_train), *gains.notes),
    )


def check_families(families: Iterable[str] | None) -> tuple[Family, ...]:
    """Check which families of scores to compute.

    Args:
        families: Their names; all of `MEASURED` if absent.

    Returns:
        The families in the order of `MEASURED`.

    Raises:
        SettingError: There is no such family, or `evaluate_tables` does not compute it.
    """
    if families is None:
        return MEASURED
    wanted = list(families)
    for family in wanted:
        if family not in MEASURED:
            known = (
                nearest(str(family), MEASURED) if family not in get_args(Family) else f"known: {', '.join(MEASURED)}"
            )
            message = f"there are no scores of the family {family!r} to compute here; {known}"
            raise SettingError(message)
    return tuple(family for family in MEASURED if family in wanted)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """Everything that scores are computed from.

    Attributes:
        real: Real held-out rows.
        minted: Minted rows.
        train: Real training rows.
        all_real: All real rows that could have been trained on.
        columns: The feature columns that vary.
        classes: The classes that held-out and minted rows share; empty without a label.
        families: The families to compute.
        seed: Seed of what is drawn.
        standard: What valid rows satisfy.
        whole: Held-out rows, minted rows and those from before repair with the columns that do not vary too.
        notes: What a reader must know.
    """

    real: Rows
    minted: Rows
    train: Rows | None
    all_real: Rows | None
    columns: list[str]
    classes: tuple[str, ...]
    families: tuple[Family, ...]
    seed: int
    standard: Standard
    whole: dict[str, Rows]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        parts: dict[str, Rows],
        *,
        label: str | None,
        seed: int,
        families: tuple[Family, ...],
        standard: Standard,
    ) -> _Work:
        columns, constant = varying_columns([rows.table for name, rows in parts.items() if name != UNREPAIRED])
        if not columns:
            message = "every feature column holds one and the same value throughout; there is nothing to compare"
            raise TableError(message)
        notes = []
        if constant:
            notes.append(f"left out, one value throughout: {_listed(constant)}")
        rows = {name: Rows(table=part.table.select(columns), classes=part.classes) for name, part in parts.items()}
        real, minted = rows["real held-out rows"], rows["minted rows"]
        shared: tuple[str, ...] = ()
        if label is not None:
            shared, more = _shared_classes(real, minted)
            notes += more
        return cls(
            real=real,
            minted=minted,
            train=rows.get("training rows"),
            all_real=rows.get("all real rows"),
            columns=columns,
            classes=shared,
            families=families,
            seed=seed,
            standard=standard,
            whole=parts,
            notes=(*notes, *standard.note),
        )

    def gains(self, stage: Stage) -> Gains:
        """Let detectors tell what minted rows are worth."""
        if "utility" not in self.families:
            return Gains(scores=(), classes={})
        if not self.classes:
            return absent_gains("there is no label that a detector could learn; give its column")
        if self.train is None:
            return absent_gains("there are no training rows to compare with; give them")
        return measure_gains(
            real=self.real, minted=self.minted, train=self.train, all_real=self.all_real, seed=self.seed, stage=stage
        )

    @property
    def steps(self) -> int:
        """How many steps all the work has."""
        intrinsic = len([family for family in self.families if family != "utility"])
        groups = 1 + (len(self.classes) if len(self.classes) > 1 else 0)
        return intrinsic * groups + (count_tables(self.all_real) if "utility" in self.families else 0)

    def one_class(self, name: str, together: tuple[Score, ...], gains: Gains, stage: Stage) -> ClassScores:
        """Compute the scores of one class; those of a single one are those of all rows together."""
        scores = together
        if len(self.classes) > 1:
            scores, _ = self.compare([name], stage, most=MOST_ROWS_OF_CLASS)
        scores = tuple(replace(s, per_column=()) if s.family == "dependency" else s for s in scores)  # pairs are many
        return ClassScores(
            name=name,
            real_rows=self.real.counts()[name],
            minted_rows=self.minted.counts()[name],
            train_rows=None if self.train is None else self.train.counts().get(name, 0),
            scores=(*scores, *gains.classes.get(name, ())),
        )

    def compare(self, classes: Sequence[str], stage: Stage, *, most: int) -> tuple[tuple[Score, ...], bool | None]:
        """Compute the scores of some classes together; tell whether training rows are their reference."""
        real, minted, train = (_of(rows, classes) for rows in (self.real, self.minted, self.train))
        if real is None or minted is None:
            raise AssertionError
        rows, by_train = match_rows(real, minted, train, most=most, seed=self.seed)
        compute: dict[Family, Callable[[], tuple[Score, ...]]] = {
            "distribution": lambda: distribution_scores(rows.select(self.columns)),
            "dependency": lambda: dependency_scores(rows),
            "diversity": lambda: diversity_scores(rows, train=train, real=real, minted=minted),
            "detectability": lambda: detectability_scores(rows),
            "validity": lambda: self.validity(classes),
            "privacy": lambda: privacy_scores(
                rows.embedding, real=real, minted=minted, train=train, seed=self.seed, most=most
            ),
        }
        scores: list[Score] = []
        for family in self.families:
            if family in compute:
                scores += compute[family]()
                stage.advance(1)
        return tuple(scores), by_train if rows.fresh is not None else None

    def validity(self, classes: Sequence[str]) -> tuple[Score, ...]:
        """Count the valid rows of some classes; all rows without a label."""
        real, minted, unrepaired = (
            rows.of_classes(classes) if rows is not None and classes else rows
            for rows in (self.whole.get(name) for name in ("real held-out rows", "minted rows", UNREPAIRED))
        )
        if real is None or minted is None:
            raise AssertionError
        if unrepaired is not None and not unrepaired.table.height:
            unrepaired = None
        return validity_scores(self.standard, real=real, minted=minted, unrepaired=unrepaired)


def _of(rows: Rows | None, classes: Sequence[str]) -> Rows | None:
    """Keep the rows of some classes; where these are several, the class is one more category."""
    if rows is None or not classes:
        return rows
    own = rows.of_classes(classes)
    if not own.table.height:
        return None
    if len(classes) == 1:
        return own
    return replace(own, table=own.table.with_columns(own.classes.alias(_free(own.table.columns))))


def _free(columns: Sequence[str]) -> str:
    name = "class"
    while name in columns:
        name += "_"
    return name


def _rows(table: pl.DataFrame, label: str | None, name: str) -> Rows:
    if label is None:
        return Rows(table=table, classes=pl.Series([""]).new_from_index(0, table.height))
    try:
        features, labels = split_label(table, label)
    except LabelError as error:
        message = f"{name}: {error}"
        raise LabelError(message) from error
    return Rows(table=features, classes=class_names(labels))


def _shared_classes(real: Rows, minted: Rows) -> tuple[tuple[str, ...], list[str]]:
    own, made = real.counts(), minted.counts()
    shared = tuple(name for name in own if name in made)
    if not shared:
        message = (
            f"minted and real held-out rows share no class: minted are {_listed(list(made))}, "
            f"held out are {_listed(list(own))}"
        )
        raise LabelError(message)
    notes = []
    unknown = [name for name in made if name not in own]
    if unknown:
        notes.append(f"minted classes without held-out rows, not compared: {_listed(unknown)}")
    others = [name for name in own if name not in made]
    if others:
        notes.append(f"held-out classes of which nothing was minted, not compared: {_listed(others)}")
    return shared, notes


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _reference_note(*, by_train: bool | None) -> str:
    if by_train is None:
        return "there are too few real rows for references"
    if by_train:
        return "references compare real held-out rows with real training rows"
    return (
        "references compare one half of the real held-out rows with the other half, "
        "because there are no or too few training rows"
    )
