"""Statistics: what a difference over seeds is worth, with intervals, and a plain verdict.

Generators are compared on the same splits, so differences are paired: seed by seed, never mean
against mean. With the few seeds that there are, Student's t-interval is the honest one; a bootstrap
of five numbers is too narrow and is there for larger samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from flowmint.errors import ScoreError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Values = npt.NDArray[np.float64]

LEVEL = 0.95
MARGIN = 0.05
"""A difference of F1 beyond which nobody would say that it makes no difference."""

LEAST_GAP = 0.02
"""With a single seed: the least gap of F1 that counts as one."""

Word = Literal["helps", "makes no difference", "hurts", "cannot be told"]
Method = Literal["t", "percentile", "bca", "fieller"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and the interval around it.

    Attributes:
        mean: The estimate.
        low: Lower end; None where a single value gives no interval.
        high: Upper end; None where a single value gives no interval.
        count: How many values there are.
        level: How often such an interval holds the truth.
        method: How it was made.
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    level: float
    method: Method

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        """Write it as ``+0.031 [+0.012, +0.050]``."""
        if self.low is None or self.high is None:
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What minted rows do to a class, in words.

    Attributes:
        word: The verdict.
        difference: The mean difference and its interval; above 0 is better.
        sentence: The verdict with its reason.
    """

    word: Word
    difference: Interval
    sentence: str


def t_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Give the mean and Student's t-interval.

    Args:
        values: Independent values, such as differences over seeds.
        level: How often such an interval holds the truth.

    Returns:
        The interval; without ends for a single value.

    Raises:
        ScoreError: There is no value, or one is not finite.
        SettingError: ``level`` is not between 0 and 1.
    """
    numbers = _numbers(values, level)
    mean, count = float(numbers.mean()), len(numbers)
    if count < 2:
        return Interval(mean=mean, low=None, high=None, count=count, level=level, method="t")
    half = float(student.ppf((1 + level) / 2, count - 1) * numbers.std(ddof=1) / np.sqrt(count))
    return Interval(mean=mean, low=mean - half, high=mean + half, count=count, level=level, method="t")


def bootstrap_interval(
    values: Sequence[float],
    *,
    seed: int,
    level: float = LEVEL,
    method: Literal["percentile", "bca"] = "bca",
    resamples: int = 4_999,
) -> Interval:
    """Give the mean and a bootstrap interval (Efron 1987).

    Args:
        values: Independent values, better twenty or more than five.
        seed: Seed of the resampling.
        level: How often such an interval holds the truth.
        method: ``bca``, corrected for bias and skewness, or ``percentile``.
        resamples: How often to resample.

    Returns:
        The interval; without ends for a single value.

    Raises:
        ScoreError: There is no value, or one is not finite.
        SettingError: A setting is out of its range.
    """
    numbers = _numbers(values, level)
    if method not in {"percentile", "bca"} or resamples < 100:
        message = f"bootstrap {method!r} with {resamples} resamples; give percentile or bca, and 100 or more"
        raise SettingError(message)
    mean, count = float(numbers.mean()), len(numbers)
    if count < 2:
        return Interval(mean=mean, low=None, high=None, count=count, level=level, method=method)
    drawn = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    means = numbers[drawn].mean(axis=1)
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and numbers.std() > 0:
        ends = _corrected(ends, numbers, means)
    low, high = np.quantile(means, ends)
    return Interval(mean=mean, low=float(low), high=float(high), count=count, level=level, method=method)


def _corrected(ends: Values, numbers: Values, means: Values) -> Values:
    """Shift the quantiles to take for bias and acceleration (Efron 1987)."""
    mean, count = numbers.mean(), len(numbers)
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    bias = ndtri(np.clip(below, 1 / len(means), 1 - 1 / len(means)))
    influence = (numbers - mean) / (count - 1)  # how much the mean moves when a value is left out
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    shifted = bias + ndtri(ends)
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))


def paired_differences(first: Mapping[int, float], second: Mapping[int, float]) -> dict[int, float]:
    """Subtract the second from the first, seed by seed.

    Args:
        first: Values by seed.
        second: Values to compare with.

    Returns:
        Differences for the seeds of both, in the first one's order.

    Raises:
        ScoreError: They share no key.
    """
    shared = {key: value - second[key] for key, value in first.items() if key in second}
    if not shared:
        message = "the two share no seed, so there is no pair to compare; run both with the same seeds"
        raise ScoreError(message)
    return shared


def judge(
    differences: Sequence[float], *, margin: float = MARGIN, level: float = LEVEL, unit: str = "seeds"
) -> Verdict:
    """Say in a word whether a difference helps.

    An interval on one side of zero helps or hurts. One that holds zero makes no difference, unless it
    reaches beyond the margin on either side: then too few seeds were run to tell.

    Args:
        differences: Paired differences over seeds; above 0 is better.
        margin: A difference that would matter.
        level: How often such an interval holds the truth.
        unit: What the differences are over.

    Returns:
        The verdict.

    Raises:
        ScoreError: There is no difference, or one is not finite.
    """
    interval = t_interval(differences, level=level)
    word = _word(interval, margin)
    if interval.low is None or interval.high is None:
        told = f"a single one of {unit} gives no interval; run more"
    elif word == "cannot be told":
        told = f"the interval over {interval.count} {unit} holds zero and reaches beyond ±{margin:g}; run more"
    else:
        told = f"{level:.0%} interval over {interval.count} {unit}"
    return Verdict(word=word, difference=interval, sentence=f"{word}: {interval} ({told})")


def _word(interval: Interval, margin: float) -> Word:
    if interval.low is None or interval.high is None:
        return "cannot be told"
    if interval.excludes_zero:
        return "helps" if interval.low > 0 else "hurts"
    return "makes no difference" if -margin <= interval.low and interval.high <= margin else "cannot be told"


def gap_closed(
    without: Sequence[float], with_minted: Sequence[float], all_real: Sequence[float], *, level: float = LEVEL
) -> Interval:
    """Tell which share of the gap between few and all real rows is closed, by Fieller's theorem (1954).

    (F1 with minted rows − F1 without) / (F1 with all real rows − F1 without), each a mean over the
    same seeds.

    Args:
        without: F1 of the few real rows by seed.
        with_minted: F1 with minted rows by seed, in the same order.
        all_real: F1 with all real rows by seed, in the same order.
        level: How often such an interval holds the truth.

    Returns:
        The share; 1 is as good as all real rows. Without ends for a single seed.

    Raises:
        ScoreError: The gap is within its own noise, so that a share of it means nothing.
    """
    few, minted, full = (_numbers(values, level) for values in (without, with_minted, all_real))
    if not len(few) == len(minted) == len(full):
        message = f"{len(few)}, {len(minted)} and {len(full)} values; give one of each for every seed"
        raise ScoreError(message)
    gained, gaps = minted - few, full - few
    gain, gap, count = float(gained.mean()), float(gaps.mean()), len(few)
    if count < 2:
        if gap < LEAST_GAP:
            raise _no_gap(f"{gap:+.3f}")
        return Interval(mean=gain / gap, low=None, high=None, count=count, level=level, method="fieller")
    (gain_var, both), (_, gap_var) = np.cov(gained, gaps) / count
    t2 = float(student.ppf((1 + level) / 2, count - 1)) ** 2
    g = t2 * gap_var / gap**2 if gap > 0 else np.inf
    if g >= 1:
        raise _no_gap(str(t_interval(gaps.tolist(), level=level)))
    ratio = gain / gap
    inner = gain_var - 2 * ratio * both + ratio**2 * gap_var - t2 / gap**2 * (gain_var * gap_var - both**2)
    half = float(np.sqrt(t2 * max(inner, 0.0))) / gap
    centre = ratio - t2 * both / gap**2
    low, high = (centre - half) / (1 - g), (centre + half) / (1 - g)
    return Interval(mean=ratio, low=float(low), high=float(high), count=count, level=level, method="fieller")


def _no_gap(told: str) -> ScoreError:
    return ScoreError(f"all real rows are no better than few beyond the noise ({told}), so there is no gap to close")


def _numbers(values: Sequence[float], level: float) -> Values:
    numbers = np.asarray(values, dtype=np.float64)
    if not 0 < level < 1:
        message = f"level is {level!r}; give a number between 0 and 1, such as 0.95"
        raise SettingError(message)
    if not numbers.size or not np.isfinite(numbers).all():
        message = f"{numbers.size} values of which {int(np.isfinite(numbers).sum())} are finite; give finite ones"
        raise ScoreError(message)
    return numbers
