"""How much to mint, chosen by cross-validation inside the training rows: per class nothing, or up to a share.

Detectors that tell all classes apart are trained on the training folds as they are, and with every class
minted up to some shares of the largest class, and scored on the fold that was held out. A class takes the
share with the largest mean gain in F1, if that gain exceeds its standard error. What was chosen for all
classes together is then confirmed on other folds: a class that loses there is left as it is, and nothing is
minted at all if the mean over classes loses. Choosing and confirming on different folds keeps the largest of
several noisy gains from being taken for a real one. Folds share training rows, so the standard error is
that of Nadeau and Bengio (2003): s · √(1/k + 1/(k − 1)) for k folds instead of s · √(1/k).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from scipy.stats import t as student

from flowmint.errors import SettingError
from flowmint.evaluate.compare.result import Estimate
from flowmint.evaluate.trial import mean_f1, suitable_detectors
from flowmint.evaluate.utility import multiclass_scores
from flowmint.flows.schema import Schema, split_label
from flowmint.flows.split import folds_of
from flowmint.generators import make_generator
from flowmint.generators.settings import is_whole
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from flowmint.generators import Generator
    from flowmint.generators.settings import Setting
    from flowmint.progress import Stage
    from flowmint.rules.ruleset import Rules

    Gains = Mapping[str, Sequence[float]]

SHARES = (0.1, 0.3, 1.0)
"""Up to which shares of the largest class rare classes are tried."""

FOLDS = 5

MOST = 2_000
"""Most rows of a class that cross-validation uses."""

CLASS = "class#"
"""The column of test rows that names their class."""

PER_FOLD = 2
"""Rows of a class that each fold must hold for its F1 to mean anything."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen for one class.

    Attributes:
        class_name: The class.
        rows: Its real rows.
        target: Rows that it shall have; ``rows`` where nothing is minted.
        gain: Gain in F1 where it was confirmed; None where nothing was tried.
        reason: Why, in words.
    """

    class_name: str
    rows: int
    target: int
    gain: Estimate | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class AutoTargets:
    """What to mint.

    Attributes:
        choices: What was chosen for each class, the largest class first.
        gain: Gain in mean F1 over the classes that could be judged, on the folds that confirm; None where nothing
            was confirmed.
        detectors: The detectors that judged.
        folds: Folds of each of the two cross-validations.
    """

    choices: tuple[Choice, ...]
    gain: Estimate | None
    detectors: tuple[str, ...]
    folds: int

    @property
    def targets(self) -> dict[str, int]:
        """The targets as `flowmint.balance_table` takes them: classes to mint alone; may be empty."""
        return {choice.class_name: choice.target for choice in self.choices if choice.target > choice.rows}

    def to_json(self) -> dict[str, Any]:
        """Describe the choices in JSON."""
        described: dict[str, Any] = msgspec.to_builtins(self)
        return described


def choose_targets(
    table: pl.DataFrame,
    *,
    label: str,
    generator: str = "latent_diffusion",
    shares: Sequence[float] = SHARES,
    folds: int = FOLDS,
    detectors: Sequence[str] | None = None,
    seed: int = 0,
    missing: str = "learn",
    rules: str | Rules = "auto",
    force_rules: bool = False,
    quality: str | None = None,
    settings: Mapping[str, Setting] | None = None,
    progress: Progress = SILENT,
) -> AutoTargets:
    """Choose per class whether and how much to mint.

    Args:
        table: Training rows, label column included; nothing else is looked at.
        label: Name of the label column.
        generator: A name in `flowmint.GENERATORS`.
        shares: Shares of the largest class to try, above 0 and at most 1.
        folds: Folds of the cross-validation that chooses and of the one that confirms.
        detectors: Detectors that judge; chosen by the size of the table if absent.
        seed: Seed of folds, generators and detectors.
        missing: The generator's missing-value policy.
        rules: What minted rows satisfy, as `flowmint.generators.make_generator` takes it.
        force_rules: Whether they are kept although more real rows break one of them than may.
        quality: How much time minting takes, as `flowmint.generators.make_generator` takes it.
        settings: Settings of the generator that shall not be the usual ones, by name.
        progress: Shows how far the work is.

    Returns:
        The choice for each class, with the reason.

    Raises:
        LabelError: The label column is absent, or there is one class.
        TableError: The table cannot be learnt from.
        SettingError: A setting is out of its range.
    """
    _check(shares, folds)
    rows, labels = split_label(table, label, at_least=2)
    Schema.infer(rows)
    make = partial(
        make_generator,
        generator,
        seed=seed,
        missing=missing,
        rules=rules,
        force_rules=force_rules,
        quality=quality,
        settings=settings,
    )
    make().check()
    names = labels.cast(pl.String)
    sizes = names.alias("class").value_counts(name="rows").sort("rows", "class", descending=[True, False])
    counts = dict(sizes.iter_rows())
    judged = tuple(name for name, count in counts.items() if count >= PER_FOLD * folds)
    largest = next(iter(counts.values()))
    tried = tuple(name for name in judged if counts[name] < largest)
    kept = _capped(names, seed)
    work = _Work(
        rows=rows[kept],
        labels=names[kept],
        judged=judged,
        make=make,
        detectors=tuple(detectors or suitable_detectors(min(largest, MOST) * len(counts))),
        folds=folds,
        seed=seed,
    )
    with progress.stage("cross-validation", total=2 * folds if tried else 0, unit="folds") as stage:
        chosen = _choose(work, tried, shares, stage) if tried else {}
        confirmed = work.gains({"chosen": chosen}, part=1, stage=stage)["chosen"] if chosen else {}
    return _decide(work, counts, tried=tried, chosen=chosen, confirmed=confirmed)


def _check(shares: Sequence[float], folds: int) -> None:
    if not shares or not all(0 < share <= 1 for share in shares):
        message = f"shares are {list(shares)!r}; give shares of the largest class, above 0 and at most 1"
        raise SettingError(message)
    if not is_whole(folds) or folds < 2:
        message = f"folds is {folds!r}; give a whole number, 2 or more"
        raise SettingError(message)


def _capped(names: pl.Series, seed: int) -> npt.NDArray[np.int64]:
    """Choose at most `MOST` rows of each class [rows kept], in order."""
    rng = np.random.default_rng(seed)
    kept = [
        rng.permutation(np.flatnonzero((names == name).to_numpy()))[:MOST] for name in names.unique().sort().to_list()
    ]
    return np.sort(np.concatenate(kept))


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is cross-validated.

    Attributes:
        rows: Feature columns.
        labels: The name of each row's class.
        judged: Classes with rows enough to be scored.
        make: Makes a generator.
        detectors: What judges.
        folds: How many folds.
        seed: Seed of everything random.
    """

    rows: pl.DataFrame
    labels: pl.Series
    judged: tuple[str, ...]
    make: Callable[[], Generator]
    detectors: tuple[str, ...]
    folds: int
    seed: int

    def gains(
        self, candidates: Mapping[str, Mapping[str, float]], *, part: int, stage: Stage
    ) -> dict[str, dict[str, list[float]]]:
        """Cross-validate what could be minted against minting nothing.

        Args:
            candidates: By name, the share of the largest class that each class is minted up to.
            part: Which folds: 0 for those that choose, 1 for those that confirm.
            stage: Is told of every fold.

        Returns:
            By candidate and class, the gain in F1 of each fold that has test rows of the class.
        """
        found: dict[str, dict[str, list[float]]] = {name: {} for name in candidates}
        numbers = folds_of(self.labels, folds=self.folds, seed=2 * self.seed + part)
        for fold in range(self.folds):
            for name, gains in self._fold(candidates, numbers == fold).items():
                for class_name, gain in gains.items():
                    found[name].setdefault(class_name, []).append(gain)
            stage.advance(1)
        return found

    def _fold(
        self, candidates: Mapping[str, Mapping[str, float]], held_out: npt.NDArray[np.bool_]
    ) -> dict[str, dict[str, float]]:
        """Fit on the other folds, and score every candidate on this one."""
        out = pl.Series(held_out)
        train, labels = self.rows.filter(~out), self.labels.filter(~out)
        test = self.rows.filter(out).with_columns(self.labels.filter(out).alias(CLASS))
        test = test.join(train, on=train.columns, how="anti", nulls_equal=True, maintain_order="left")
        known = set(test[CLASS].unique().to_list()) & set(labels.unique().to_list())
        scored = [name for name in self.judged if name in known]
        if not scored:
            return {}
        largest = int(np.asarray(labels.value_counts()["count"].max()))
        lacking = {
            name: {c: round(share * largest) - int((labels == c).sum()) for c, share in shares.items()}
            for name, shares in candidates.items()
        }
        most = {c: max(each.get(c, 0) for each in lacking.values()) for shares in candidates.values() for c in shares}
        model = self.make().fit(train, labels)
        minted = {c: model.sample_table(n, label=c, seed=self.seed) for c, n in most.items() if n > 0}

        def score(rows: Mapping[str, int]) -> dict[str, float]:
            own = {c: minted[c].head(n) for c, n in rows.items() if n > 0}
            features = pl.concat([train, *own.values()])
            classes = pl.concat(
                [labels, *(pl.Series(labels.name, [c]).new_from_index(0, len(t)) for c, t in own.items())]
            )
            scores = multiclass_scores(
                features,
                classes,
                test.drop(CLASS),
                test[CLASS],
                seed=self.seed,
                detectors=self.detectors,
                classes=scored,
            )
            return {name: mean_f1(scores, name) for name in scored}

        nothing = score({})
        return {name: {c: f1 - nothing[c] for c, f1 in score(rows).items()} for name, rows in lacking.items()}

    def estimate(self, gains: Sequence[float]) -> tuple[Estimate, float]:
        """Give the mean gain with its interval, and its standard error, for folds that share training rows."""
        array = np.asarray(gains, dtype=np.float64)
        mean, count = float(array.mean()), len(array)
        if count < 2:
            return Estimate(mean=mean, low=None, high=None, count=count), np.inf
        error = float(array.std(ddof=1) * np.sqrt(1 / count + 1 / (self.folds - 1)))
        half = error * float(student.ppf(0.975, count - 1))
        return Estimate(mean=mean, low=mean - half, high=mean + half, count=count), error


def _choose(work: _Work, tried: Sequence[str], shares: Sequence[float], stage: Stage) -> dict[str, float]:
    """Give each class that gains more than its standard error the share at which it gains most."""
    candidates = {str(share): dict.fromkeys(tried, share) for share in shares}
    gains = work.gains(candidates, part=0, stage=stage)
    chosen = {}
    for name in tried:
        best = (0.0, 0.0)
        for share in shares:
            own = gains[str(share)].get(name, [])
            if own:
                found, error = work.estimate(own)
                if found.mean > max(error, best[0]):
                    best = found.mean, share
        if best[1]:
            chosen[name] = best[1]
    return chosen


def _decide(
    work: _Work,
    counts: Mapping[str, int],
    *,
    tried: Sequence[str],
    chosen: Mapping[str, float],
    confirmed: Gains,
) -> AutoTargets:
    """Keep of what was chosen what the other folds confirm."""
    largest = next(iter(counts.values()))
    whole = [gains for gains in confirmed.values() if len(gains) == work.folds]
    overall = work.estimate([float(np.mean(fold)) for fold in zip(*whole, strict=True)])[0] if whole else None
    choices = []
    for name, rows in counts.items():
        target, gain = rows, work.estimate(confirmed[name])[0] if confirmed.get(name) else None
        if rows == largest:
            reason = "the largest class: nothing is minted of it"
        elif name not in tried:
            reason = f"{rows} rows are too few to try it on ({PER_FOLD * work.folds} are needed), so nothing is minted"
        elif name not in chosen:
            reason = "no amount gained more than its standard error, so nothing is minted"
        elif overall is None or overall.mean < 0:
            reason = "what was chosen lost on other folds, the mean over classes, so nothing is minted"
        elif gain is None or gain.mean < 0:
            reason = "what was chosen lost on other folds, so nothing is minted"
        else:
            target = max(round(chosen[name] * largest), rows)
            reason = f"up to {chosen[name]:.0%} of the largest class: {_told(gain)}"
        choices.append(Choice(class_name=name, rows=rows, target=target, gain=gain, reason=reason))
    return AutoTargets(choices=tuple(choices), gain=overall, detectors=work.detectors, folds=work.folds)


def _told(gain: Estimate) -> str:
    if gain.low is not None and gain.low > 0:
        return f"helps on other folds, F1 {gain.mean:+.3f}, at least {gain.low:+.3f}"
    return f"not worse on other folds, F1 {gain.mean:+.3f}, though the interval holds zero"
