"""Scores: a number with bounds, the way that is better, and the same number of real rows.

A score means little by itself: how far apart two samples of the *same* real rows are depends on how
many rows there are. So every score stands beside its reference, the same score with real rows in
the place of the minted ones. A score that cannot be computed is not available, with a reason; it is
never a zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from flowmint.errors import LabelError, ReadError, ScoreError, SettingError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Measured = float | Mapping[tuple[str, ...], float]

Family = Literal["distribution", "dependency", "diversity", "detectability", "privacy", "utility", "validity", "cost"]
FAMILIES: tuple[Family, ...] = get_args(Family)
"""The families of scores, in the order in which they are shown."""

Better = Literal["higher", "lower", "reference"]
"""Which value is better: a higher one, a lower one, or the one nearest to the reference."""


@dataclass(frozen=True)
class ColumnValue:
    """What a score is for one column or one pair of columns.

    Attributes:
        columns: One name, or two; for scores of utility the name of a detector.
        value: The score of the minted rows there.
        reference: The score of real rows there; None where it is not available.
    """

    columns: tuple[str, ...]
    value: float
    reference: float | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score.

    Attributes:
        name: Its name, the same in JSON, such as ``column_error``.
        title: Its name for readers.
        family: What it tells about.
        value: The score of the minted rows; None where it is not available.
        lowest: The lowest possible value; may be infinite.
        highest: The highest possible value; may be infinite.
        better: Which value is better.
        reference: The same score with real rows in the place of the minted ones; None where it is
            not available.
        description: What it tells, in one sentence.
        source: The paper and the equation, or the usual name.
        reason: Why the value is not available.
        per_column: The score column by column, or pair by pair, where it has such parts.
    """

    name: str
    title: str
    family: Family
    value: float | None
    lowest: float
    highest: float
    better: Better
    reference: float | None
    description: str
    source: str
    reason: str | None = None
    per_column: tuple[ColumnValue, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a value that is no number, and an absent one without a reason."""
        if self.value is None and not self.reason:
            message = f"score {self.name!r} has neither a value nor a reason"
            raise SettingError(message)
        for number in (self.value, self.reference):
            if number is not None and not math.isfinite(number):
                message = f"score {self.name!r} is {number}; a score is a finite number or not available"
                raise SettingError(message)

    @property
    def available(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    def worst_columns(self, most: int = 3) -> tuple[ColumnValue, ...]:
        """Give the columns, or pairs, that fall furthest short, the worst first."""
        return tuple(sorted(self.per_column, key=self._badness, reverse=True)[:most])

    def best_columns(self, most: int = 3) -> tuple[ColumnValue, ...]:
        """Give the columns, or pairs, that are best, the best first."""
        return tuple(sorted(self.per_column, key=self._badness)[:most])

    def _badness(self, part: ColumnValue) -> float:
        if self.better == "reference":
            return abs(part.value - (part.reference or 0.0))
        return part.value if self.better == "lower" else -part.value

    def to_json(self) -> dict[str, Any]:
        """Describe the score in JSON; an infinite bound is null."""
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "value": self.value,
            "lowest": self.lowest if math.isfinite(self.lowest) else None,
            "highest": self.highest if math.isfinite(self.highest) else None,
            "better": self.better,
            "reference": self.reference,
            "description": self.description,
            "source": self.source,
            "reason": self.reason,
            "per_column": [[list(part.columns), part.value, part.reference] for part in self.per_column],
        }

    @classmethod
    def from_json(cls, obj: object) -> Score:
        """Rebuild a score from `to_json`'s answer.

        Raises:
            ReadError: It is no such answer.
        """
        texts = ("name", "title", "description", "source")
        if not isinstance(obj, dict) or not all(isinstance(obj.get(key), str) for key in texts):
            raise _damaged("score", obj)
        if obj.get("family") not in FAMILIES or obj.get("better") not in get_args(Better):
            raise _damaged("score", obj)
        lowest, highest = _number(obj.get("lowest")), _number(obj.get("highest"))
        reason, parts = obj.get("reason"), obj.get("per_column", [])
        if not isinstance(reason, str | None) or not isinstance(parts, list):
            raise _damaged("score", obj)
        try:
            return cls(
                **{key: obj[key] for key in (*texts, "family", "better")},
                value=_number(obj.get("value")),
                reference=_number(obj.get("reference")),
                lowest=-math.inf if lowest is None else lowest,
                highest=math.inf if highest is None else highest,
                reason=reason,
                per_column=tuple(_column_value(part) for part in parts),
            )
        except SettingError as error:
            raise _damaged("score", obj) from error


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a score is, before it is computed; the fields are those of `Score`."""

    name: str
    title: str
    family: Family
    lowest: float
    highest: float
    better: Better
    description: str
    source: str

    def of(
        self,
        value: float | None,
        reference: float | None = None,
        *,
        reason: str | None = None,
        per_column: tuple[ColumnValue, ...] = (),
    ) -> Score:
        """Make the score.

        Args:
            value: The score of the minted rows.
            reference: The score of real rows in their place.
            reason: Why there is no value.
            per_column: The score column by column.

        Returns:
            The score, within its bounds whatever rounding did.
        """
        return Score(
            name=self.name,
            title=self.title,
            family=self.family,
            value=self._bounded(value),
            lowest=self.lowest,
            highest=self.highest,
            better=self.better,
            reference=self._bounded(reference),
            description=self.description,
            source=self.source,
            reason=reason,
            per_column=per_column,
        )

    def absent(self, reason: str) -> Score:
        """Say why there is no such score."""
        return self.of(None, reason=reason)

    def measure(self, minted: Callable[[], Measured], real: Callable[[], Measured] | None) -> Score:
        """Compute the score of minted rows, and of real rows in their place.

        Args:
            minted: Computes the score of the minted rows: one number, or one for each column or pair
                of columns, whose mean is the score.
            real: Computes the reference; None if there are no real rows for it.

        Returns:
            The score; not available where ``minted`` raises a `ScoreError`, which tells why.
        """
        try:
            value = minted()
            mean = _mean(value)
        except ScoreError as error:
            return self.absent(str(error))
        try:
            reference = None if real is None else real()
            own = None if reference is None else _mean(reference)
        except ScoreError:
            reference = own = None
        return self.of(mean, own, per_column=_parts(value, reference))

    def _bounded(self, value: float | None) -> float | None:
        return None if value is None else min(max(float(value), self.lowest), self.highest)


def need_rows(count: int, least: int, *, what: str = "rows") -> None:
    """Refuse a score that too few rows would make meaningless.

    Raises:
        ScoreError: There are fewer than ``least``.
    """
    if count < least:
        message = f"there are {count} {what} to compare, and at least {least} are needed"
        raise ScoreError(message)


def _mean(measured: Measured) -> float:
    if isinstance(measured, float | int):
        return float(measured)
    if not measured:
        message = "no column is of the kind that this score is about"
        raise ScoreError(message)
    return sum(measured.values()) / len(measured)


def _parts(value: Measured, reference: Measured | None) -> tuple[ColumnValue, ...]:
    if isinstance(value, float | int):
        return ()
    own: Mapping[tuple[str, ...], float] = {} if reference is None or isinstance(reference, float) else reference
    return tuple(ColumnValue(columns, part, own.get(columns)) for columns, part in value.items())


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """The scores of one class.

    Attributes:
        name: The class.
        real_rows: Its held-out real rows.
        minted_rows: Its minted rows.
        train_rows: Its real training rows; None without a training table.
        scores: The scores.
    """

    name: str
    real_rows: int
    minted_rows: int
    train_rows: int | None
    scores: tuple[Score, ...]

    def score(self, name: str) -> Score:
        """Give one score by its name.

        Raises:
            SettingError: There is no such score.
        """
        return find_score(self.scores, name)

    def to_json(self) -> dict[str, Any]:
        """Describe the class's scores in JSON."""
        return {
            "name": self.name,
            "real_rows": self.real_rows,
            "minted_rows": self.minted_rows,
            "train_rows": self.train_rows,
            "scores": [score.to_json() for score in self.scores],
        }

    @classmethod
    def from_json(cls, obj: object) -> ClassScores:
        """Rebuild a class's scores from `to_json`'s answer.

        Raises:
            ReadError: It is no such answer.
        """
        if not isinstance(obj, dict) or not isinstance(obj.get("name"), str):
            raise _damaged("class", obj)
        return cls(name=obj["name"], **_counts(obj), scores=_scores(obj))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What minted rows are worth.

    Attributes:
        scores: The scores of all rows together.
        classes: The scores of each class, where there is a label.
        label: The label column; None without one.
        columns: The feature columns that were compared.
        real_rows: Held-out real rows.
        minted_rows: Minted rows.
        train_rows: Real training rows; None without a training table.
        seed: The seed of subsamples and detectors.
        notes: What a reader must know: what was left out and why, what stands as reference.
    """

    scores: tuple[Score, ...]
    classes: tuple[ClassScores, ...] = ()
    label: str | None = None
    columns: tuple[str, ...]
    real_rows: int
    minted_rows: int
    train_rows: int | None
    seed: int
    notes: tuple[str, ...] = ()

    def score(self, name: str) -> Score:
        """Give one score by its name.

        Raises:
            SettingError: There is no such score.
        """
        return find_score(self.scores, name)

    def of_family(self, family: Family) -> tuple[Score, ...]:
        """Give the scores of one family, in order."""
        return tuple(score for score in self.scores if score.family == family)

    def of_class(self, name: str) -> ClassScores:
        """Give the scores of one class.

        Raises:
            LabelError: No such class was scored.
        """
        for scores in self.classes:
            if scores.name == name:
                return scores
        message = f"class {name!r} was not scored; {nearest(name, [c.name for c in self.classes])}"
        raise LabelError(message)

    def to_json(self) -> dict[str, Any]:
        """Describe the evaluation in JSON."""
        return {
            "label": self.label,
            "columns": list(self.columns),
            "real_rows": self.real_rows,
            "minted_rows": self.minted_rows,
            "train_rows": self.train_rows,
            "seed": self.seed,
            "notes": list(self.notes),
            "scores": [score.to_json() for score in self.scores],
            "classes": [scores.to_json() for scores in self.classes],
        }

    @classmethod
    def from_json(cls, obj: object) -> Evaluation:
        """Rebuild an evaluation from `to_json`'s answer.

        Raises:
            ReadError: It is no such answer.
        """
        if not isinstance(obj, dict) or not isinstance(obj.get("label"), str | None):
            raise _damaged("evaluation", obj)
        classes = obj.get("classes")
        if not isinstance(classes, list) or not _is_count(obj.get("seed")):
            raise _damaged("evaluation", obj)
        return cls(
            scores=_scores(obj),
            classes=tuple(ClassScores.from_json(entry) for entry in classes),
            label=obj["label"],
            columns=_texts(obj.get("columns")),
            **_counts(obj),
            seed=obj["seed"],
            notes=_texts(obj.get("notes")),
        )


def find_score(scores: Sequence[Score], name: str) -> Score:
    """Give one score by its name.

    Raises:
        SettingError: There is no such score.
    """
    for score in scores:
        if score.name == name:
            return score
    message = f"there is no score {name!r}; {nearest(name, [score.name for score in scores])}"
    raise SettingError(message)


def _scores(obj: Mapping[str, Any]) -> tuple[Score, ...]:
    scores = obj.get("scores")
    if not isinstance(scores, list):
        raise _damaged("list of scores", scores)
    return tuple(Score.from_json(score) for score in scores)


def _counts(obj: Mapping[str, Any]) -> dict[str, Any]:
    counts = {key: obj.get(key) for key in ("real_rows", "minted_rows", "train_rows")}
    for key, count in counts.items():
        if not _is_count(count) and not (count is None and key == "train_rows"):
            raise _damaged(key, count)
    return counts


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _damaged("number", value)
    return float(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _damaged("list of texts", value)
    return tuple(value)


def _column_value(part: object) -> ColumnValue:
    match part:
        case [list() as columns, int() | float() as value, reference] if columns and not isinstance(value, bool):
            return ColumnValue(_texts(columns), float(value), _number(reference))
    raise _damaged("column of a score", part)


def _damaged(what: str, given: object) -> ReadError:
    return ReadError(f"damaged {what} {str(given)[:80]!r}; give what flowmint evaluate --json wrote")
