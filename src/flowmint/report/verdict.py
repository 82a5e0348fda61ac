"""The verdict of a comparison: in a sentence whether minted rows help, and the numbers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.evaluate.compare.plan import NONE
from flowmint.report.document import Verdict
from flowmint.report.view import with_f1
from flowmint.report.words import listed, share, show_fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.result import Estimate, Summary
    from flowmint.report.document import Tone
    from flowmint.report.view import View

TONES: dict[str, Tone] = {
    "helps": "good",
    "makes no difference": "even",
    "hurts": "bad",
    "cannot be told": "unknown",
    "not available": "unknown",
}
"""The tone of each verdict."""

SENTENCES = {
    "helps": "Rows minted by {generator} help to detect {attack}.",
    "makes no difference": "Rows minted by {generator} make no difference to the detection of {attack}.",
    "hurts": "Rows minted by {generator} make {attack} harder to detect.",
    "cannot be told": "Too few seeds were run to tell whether rows minted by {generator} help to detect {attack}.",
    "not available": "It was not measured whether rows minted by {generator} help to detect {attack}.",
}
"""The verdict on a single task."""

COUNTED = {
    "helps": "help in {count}",
    "makes no difference": "make no difference in {count}",
    "hurts": "hurt in {count}",
    "cannot be told": "cannot be judged in {count} for want of seeds",
    "not available": "were not measured in {count}",
}
"""The verdicts on several tasks, counted."""


def comparison_verdict(views: Sequence[View]) -> Verdict:
    """Say in a sentence whether minted rows help; with several tasks, in how many.

    Args:
        views: Every task, with shortcuts kept and dropped.

    Returns:
        The verdict; its details tell the numbers of each view.
    """
    told = [(view, head) for view in views if (name := view.best) and (head := with_f1(view, name))]
    if not told:
        return Verdict(tone="unknown", sentence="No generator has a result.", details=["See the failures."])
    details = [_detail(view, head) for view, head in told]
    if len(told) == 1:
        view, head = told[0]
        sentence = SENTENCES[head.verdict].format(generator=head.generator, attack=view.task.attack)
        return Verdict(tone=TONES[head.verdict], sentence=sentence, details=details)
    counted = {word: count for word in TONES if (count := sum(head.verdict == word for _, head in told))}
    names = listed(sorted({head.generator for _, head in told}))
    if len(counted) == 1:
        word = next(iter(counted))
        sentence = f"All {len(told)} comparisons: {SENTENCES[word].format(generator=names, attack='the attack')}"
        return Verdict(tone=TONES[word], sentence=sentence, details=details)
    parts = [COUNTED[word].format(count=count) for word, count in counted.items()]
    sentence = f"Of {len(told)} comparisons, rows minted by {names} {listed(parts)}."
    return Verdict(tone="even", sentence=sentence, details=details)


def _detail(view: View, head: Summary) -> str:
    """Put numbers behind the verdict of one view."""
    base, gain = with_f1(view, NONE), head.gain
    parts = [f"{view.title}: with {view.span} the mean F1 of the detectors"]
    if base is not None:
        parts.append(f"goes from {show_fixed(base.metrics['f1'].mean)} to {show_fixed(head.metrics['f1'].mean)}")
    else:
        parts.append(f"is {show_fixed(head.metrics['f1'].mean)}")
    if gain is not None:
        parts.append(f"({_signed(gain)})")
    sentence = " ".join(parts)
    if head.gap_closed is not None:
        sentence += f", which closes {share(head.gap_closed)} of the gap to all real rows"
    return f"{sentence}.{_ahead(view, head.generator)}"


def _signed(estimate: Estimate) -> str:
    sign = "+" if estimate.mean >= 0 else ""
    ends = (
        ""
        if estimate.low is None or estimate.high is None
        else (f", 95 % interval {show_fixed(estimate.low)} to {show_fixed(estimate.high)}")
    )
    return f"{sign}{show_fixed(estimate.mean)}{ends}"


def _ahead(view: View, ours: str) -> str:
    """Say which other generators are behind beyond the interval, level, or ahead."""
    if ours != view.comparison.plan.ours:
        return ""
    groups: dict[str, list[str]] = {"behind": [], "level": [], "ahead": []}
    for name in view.generators:
        head = view.head(name)
        if name in {ours, NONE} or head is None or head.ours_ahead is None or head.ours_ahead.low is None:
            continue
        lead = head.ours_ahead
        place = "behind" if lead.low is not None and lead.low > 0 else "ahead" if (lead.high or 0) < 0 else "level"
        groups[place].append(name)
    parts = [f"ahead of {listed(groups['behind'])}"] if groups["behind"] else []
    parts += [f"not told apart from {listed(groups['level'])}"] if groups["level"] else []
    parts += [f"behind {listed(groups['ahead'])}"] if groups["ahead"] else []
    return f" It is {'; '.join(parts)}." if parts else ""
