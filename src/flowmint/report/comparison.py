"""A comparison as a report: do minted rows help, by how much, at what cost, and can it be trusted?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flowmint.evaluate.compare.plan import ALL_REAL, NONE, REFERENCES
from flowmint.evaluate.scores import FAMILIES
from flowmint.report import document as doc
from flowmint.report.document import (
    Document,
    DotRow,
    DotsPanel,
    Interval,
    LinesPanel,
    Missing,
    Point,
    Reference,
    Section,
    Series,
    Verdict,
)
from flowmint.report.leakage import leakage_blocks
from flowmint.report.rows import row_sections
from flowmint.report.words import BETTER, FAMILY_LEADS, listed, share, show_fixed, show_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.result import Comparison, Estimate, ScoreAbout, Summary, TaskAbout
    from flowmint.report.document import Block, Cell, Figure, Table, Tone
    from flowmint.report.picture import Picture

SIGNS = {
    "helps": "▲ helps",
    "makes no difference": "■ makes no difference",
    "hurts": "▼ hurts",
    "cannot be told": "□ cannot be told",
}
TONES: dict[str, Tone] = {
    "helps": "good",
    "makes no difference": "even",
    "hurts": "bad",
    "cannot be told": "unknown",
    "not available": "unknown",
}
MEASURES = {"f1": "F1", "gain": "F1 gained over no minted rows"}
METRIC_NAMES = {"f1": "F1", "recall": "recall", "false_positive_rate": "false-positive rate", "pr_auc": "PR-AUC"}


@dataclass(frozen=True)
class View:
    """One task with shortcuts kept or dropped, seen through a comparison's summaries.

    Attributes:
        comparison: The whole comparison.
        task: The task.
        shortcuts: ``kept`` or ``dropped``.
    """

    comparison: Comparison
    task: TaskAbout
    shortcuts: str

    @property
    def title(self) -> str:
        """Name the task, and whether shortcuts were dropped where that matters."""
        many = len(self.comparison.plan.shortcuts) > 1 or self.shortcuts == "dropped"
        return f"{self.task.name}, shortcuts {self.shortcuts}" if many else self.task.name

    @cached_property
    def found(self) -> dict[tuple[str, int | None], Summary]:
        """Summaries by generator and number of rows."""
        own = [s for s in self.comparison.summaries if (s.task, s.shortcuts) == (self.task.name, self.shortcuts)]
        return {(summary.generator, summary.rows): summary for summary in own}

    @property
    def generators(self) -> list[str]:
        """What stood in the comparison, in its order: ``none`` first, real rows apart."""
        names = dict.fromkeys(name for name, _ in self.found if name != ALL_REAL)
        ordered = [name for name in (NONE, *self.comparison.plan.generators) if name in names]
        return list(dict.fromkeys([*ordered, *names]))

    @property
    def counts(self) -> list[int]:
        """Numbers of real attack rows, in rising order."""
        return sorted({rows for name, rows in self.found if rows is not None and name != ALL_REAL})

    @property
    def all_real(self) -> Summary | None:
        """The summary with all real rows."""
        own = [summary for (name, _), summary in self.found.items() if name == ALL_REAL and "f1" in summary.metrics]
        return own[0] if own else None

    def head(self, generator: str) -> Summary | None:
        """Give a generator's summary over the few-shot numbers of rows."""
        return self.found.get((generator, None)) or (
            self.found.get((generator, self.counts[0])) if len(self.counts) == 1 else None
        )

    @property
    def best(self) -> str | None:
        """The generator that the report is about: the plan's own, else the one with the best mean F1."""
        ours = self.comparison.plan.ours
        if ours is not None and self.head(ours) is not None:
            return ours
        ranked = {name: head.metrics["f1"].mean for name in self.generators if (head := _with_f1(self, name))}
        ranked.pop(NONE, None)
        return max(ranked, key=lambda name: ranked[name]) if ranked else None

    @property
    def span(self) -> str:
        """Say over which numbers of rows the headline is a mean."""
        few = [count for count in self.counts if count <= self.comparison.plan.headline] or self.counts
        if not few:
            return "no real rows"
        return f"{few[0]:,} real rows" if len(few) == 1 else f"{few[0]:,} to {few[-1]:,} real rows"


def _with_f1(view: View, name: str) -> Summary | None:
    head = view.head(name)
    return head if head is not None and "f1" in head.metrics else None


def comparison_document(comparison: Comparison, *, pictures: Sequence[Picture] = ()) -> Document:
    """Summarise a comparison.

    Args:
        comparison: What was found.
        pictures: Rows to look at.

    Returns:
        The report's dict.
    """
    views = [View(comparison, task, kept) for task in comparison.tasks for kept in comparison.plan.shortcuts]
    views = [view for view in views if view.found] or views[:1]
    return Document(
        format_version=doc.FORMAT_VERSION,
        title=comparison.title or "Do minted rows help?",
        subtitle="Generators of attack rows compared: detectors trained on few real rows and minted ones, judged on "
        "real rows held out.",
        verdict=_verdict(views),
        key_facts=_key_facts(comparison),
        sections=[
            _f1_section(views),
            _detector_section(views),
            *_family_sections(comparison, views),
            *row_sections(pictures),
            _cost_section(views),
            Section(
                name="leakage",
                title="Leakage audit",
                lead="Columns and rows that give the attack away by how it was captured, not by what it does.",
                blocks=[block for task in comparison.tasks for block in leakage_blocks(task.leakage, title=task.name)],
            ),
            _failure_section(comparison),
            _settings_section(comparison),
        ],
    )


def _key_facts(comparison: Comparison) -> list[list[str]]:
    plan = comparison.plan
    return [
        ["tasks", listed([task.name for task in comparison.tasks])],
        ["real attack rows", ", ".join(f"{rows:,}" for rows in plan.rows)],
        ["seeds", f"{len(plan.seeds)}"],
        ["generators", listed([name for name in plan.generators if name not in REFERENCES])],
        ["detectors", listed(list(plan.detectors))],
    ]


def _verdict(views: Sequence[View]) -> Verdict:
    """Say in a sentence whether minted rows help; with several tasks, on how many."""
    told = [(view, head) for view in views if (name := view.best) and (head := _with_f1(view, name))]
    if not told:
        return Verdict(tone="unknown", sentence="No generator has a result yet.", details=["See the failures below."])
    details = [_detail(view, head) for view, head in told]
    if len(told) == 1:
        return Verdict(tone=TONES[told[0][1].verdict], sentence=_sentence(*told[0]), details=details)
    counted = {word: sum(head.verdict == word for _, head in told) for word in TONES}
    most = max(TONES, key=lambda word: counted[word])
    names = listed(sorted({head.generator for _, head in told}))
    parts = [f"{_phrase(word)} in {count}" for word, count in counted.items() if count]
    sentence = f"Of {len(told)} comparisons, rows minted by {names} {', '.join(parts)}."
    tone: Tone = TONES[most] if counted[most] == len(told) else "even"
    return Verdict(tone=tone, sentence=sentence, details=details)


def _phrase(word: str) -> str:
    return {"helps": "help", "makes no difference": "make no difference", "hurts": "hurt"}.get(word, "have no verdict")


def _sentence(view: View, head: Summary) -> str:
    return f"Rows minted by {head.generator} {_phrase(head.verdict)} to detect {view.task.attack}.".replace(
        "have no verdict to detect", "have no verdict yet: more seeds are needed to say whether they help to detect"
    ).replace("hurt to detect", "make it harder to detect")


def _detail(view: View, head: Summary) -> str:
    """Put numbers behind the verdict of one view."""
    base, gain = _with_f1(view, NONE), head.gain
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
    parts += [f"level with {listed(groups['level'])}"] if groups["level"] else []
    parts += [f"behind {listed(groups['ahead'])}"] if groups["ahead"] else []
    return f" It is {'; '.join(parts)}." if parts else ""


def _f1_section(views: Sequence[View]) -> Section:
    blocks: list[Block] = []
    figure = _f1_figure(views)
    blocks += [figure] if figure else []
    blocks += [_f1_table(view) for view in views]
    return Section(
        name="f1",
        title="F1 of the attack",
        lead="Mean over detectors and seeds on real rows held out, with 95 % intervals over seeds in brackets.",
        blocks=blocks,
    )


def _estimate(estimate: Estimate | None) -> Cell:
    return None if estimate is None else doc.interval(estimate.mean, estimate.low, estimate.high)


def _f1_table(view: View) -> Table:
    rows: list[list[Cell]] = []
    for name in view.generators:
        head = view.head(name)
        cells: list[Cell] = [name, *(_f1_cell(view.found.get((name, count))) for count in view.counts)]
        cells += [_f1_cell(head), _estimate(head.gain) if head and name != NONE else None]
        cells += [share(head.gap_closed) if head and head.gap_closed is not None else None]
        cells += [SIGNS.get(head.verdict, "not available") if head and name != NONE else None]
        cells += [_estimate(head.ours_ahead) if head and name != view.comparison.plan.ours else None]
        rows.append(cells)
    if view.all_real is not None:
        rows.append(["all real rows", *(None for _ in view.counts), _f1_cell(view.all_real), None, None, None, None])
    ours = view.comparison.plan.ours or "the plan’s own generator"
    counts = [f"{count:,} real rows" for count in view.counts]
    return doc.table(
        view.title,
        ["generator", *counts, f"mean, {view.span}", "gain over none", "gap closed", "verdict", f"{ours} ahead by"],
        rows,
        note="Gain and lead are paired over seeds. Gap closed: the gain by the gain of all real rows.",
    )


def _f1_cell(summary: Summary | None) -> Cell:
    if summary is None:
        return None
    if "f1" not in summary.metrics:
        return Missing(missing=f"{summary.failed} of {summary.failed} cells failed")
    return _estimate(summary.metrics["f1"])


def style_of(view: View) -> dict[str, int]:
    """Give each generator its style; the first is grey."""
    return {name: index for index, name in enumerate(view.generators)}


def _f1_figure(views: Sequence[View]) -> Figure | None:
    panels: list[LinesPanel] = []
    rows: list[list[Cell]] = []
    legend: dict[str, int] = {}
    for view in views:
        styles = style_of(view)
        for measure in MEASURES:
            series = [_series(view, name, style, measure) for name, style in styles.items()]
            series = [one for one in series if one["points"]]
            if series:
                legend |= {one["name"]: one["style"] for one in series}
                panels.append(_lines(view, series, measure))
                rows += _line_rows(view, series, measure)
    if not panels:
        return None
    return doc.figure(
        "f1-by-rows",
        "F1 by number of real attack rows",
        description="; ".join(_told_lines(panel) for panel in panels),
        note="Whiskers: 95 % intervals over seeds; gains are paired over seeds, so that what seeds share cancels out. "
        "Markers of one number of rows are moved apart to be seen.",
        legend=list(legend.items()),
        panels=panels,
        data=doc.table("F1 behind the chart", ["task", "measure", "generator", "real rows", "mean"], rows),
    )


def _line_rows(view: View, series: list[Series], measure: str) -> list[list[Cell]]:
    return [[view.title, MEASURES[measure], s["name"], p["x"], _bracket(p)] for s in series for p in s["points"]]


def _bracket(point: Point) -> Interval:
    return Interval(mean=point["y"], low=point["low"], high=point["high"])


def _told_lines(panel: LinesPanel) -> str:
    ends = [
        f"{one['name']} from {show_fixed(one['points'][0]['y'])} to {show_fixed(one['points'][-1]['y'])}"
        for one in panel["series"]
    ]
    return f"{panel['title']}: {', '.join(ends)}"


def _series(view: View, name: str, style: int, measure: str) -> Series:
    points = []
    for count in view.counts:
        summary = view.found.get((name, count))
        estimate = None if summary is None else summary.gain if measure == "gain" else summary.metrics.get("f1")
        if estimate is not None:
            points.append(
                Point(x=count, y=float(estimate.mean), low=doc.number(estimate.low), high=doc.number(estimate.high))
            )
    return Series(name=name, style=style, points=points)


def _lines(view: View, series: list[Series], measure: str) -> LinesPanel:
    real = view.all_real
    references = [] if real is None else [Reference(name="all real rows", value=real.metrics["f1"].mean)]
    if measure == "gain":
        references = [Reference(name="no gain", value=0.0)]
    return LinesPanel(
        panel="lines",
        title=view.title,
        note=f"{MEASURES[measure]}, mean over detectors",
        x_title="real attack rows",
        y_title=MEASURES[measure],
        series=series,
        references=references,
    )


def _detector_section(views: Sequence[View]) -> Section:
    blocks: list[Block] = []
    for view in views:
        heads = {name: head for name in view.generators if (head := _with_f1(view, name))}
        if view.all_real is not None:
            heads["all real rows"] = view.all_real
        measures: list[list[Cell]] = [
            [name, *(_estimate(head.metrics.get(metric)) for metric in METRIC_NAMES)] for name, head in heads.items()
        ]
        detectors = list(dict.fromkeys(name for head in heads.values() for name in head.detectors))
        each: list[list[Cell]] = [
            [name, *(_estimate(head.detectors.get(d, {}).get("f1")) for d in detectors)] for name, head in heads.items()
        ]
        blocks += [
            doc.table(
                f"{view.title}: four measures, mean over detectors", ["generator", *METRIC_NAMES.values()], measures
            ),
            doc.table(f"{view.title}: F1 of each detector", ["generator", *detectors], each),
        ]
    return Section(
        name="detectors",
        title="Detectors",
        lead=f"Other measures, and each detector; mean over {views[0].span if views else 'real rows'}.",
        blocks=blocks,
    )


def _family_sections(comparison: Comparison, views: Sequence[View]) -> list[Section]:
    """Make a section for every family of scores that was asked for."""
    known = [about.family for about in comparison.scores]
    families = [
        family for family in dict.fromkeys((*FAMILIES, *known)) if family in {*known, *comparison.plan.families}
    ]
    sections = []
    for family in families:
        abouts = [about for about in comparison.scores if about.family == family]
        blocks: list[Block] = []
        for index, view in enumerate(_main_views(views)):
            figure = _family_figure(view, abouts, name=f"{family}-{index + 1}")
            blocks += [figure] if figure else []
        if not blocks:
            blocks.append(doc.paragraph("Not available: no cell has a score of this family."))
        sections.append(
            Section(name=family, title=family.capitalize(), lead=FAMILY_LEADS.get(family, ""), blocks=blocks)
        )
    return sections


def _main_views(views: Sequence[View]) -> list[View]:
    """Take each task once: as it is, or with shortcuts dropped where it was measured only so."""
    first: dict[str, View] = {}
    for view in views:
        if view.shortcuts == "kept" or view.task.name not in first:
            first[view.task.name] = view
    return list(first.values())


def _family_figure(view: View, abouts: Sequence[ScoreAbout], *, name: str) -> Figure | None:
    panels, rows = [], []
    for about in abouts:
        panel = _score_panel(view, about)
        if panel["rows"]:
            panels.append(panel)
            rows += _score_rows(view, about)
    if not panels:
        return None
    told = "; ".join(f"{about.title}: {about.description}" for about in abouts)
    return doc.figure(
        name,
        view.title,
        description=f"Scores of minted rows by generator, mean over {view.span}, and of real rows. {told}",
        note="Dashed: the same score of real rows in the place of minted ones. "
        + " ".join(f"{about.title}: {about.description.rstrip('.')} ({about.source})." for about in abouts),
        legend=[],
        panels=panels,
        data=doc.table("Scores behind the charts", ["score", "generator", "minted", "real rows", "better"], rows),
    )


def _score_panel(view: View, about: ScoreAbout) -> DotsPanel:
    styles, entries, references = style_of(view), [], []
    for name, head in _heads(view):
        estimate = head.scores.get(about.name)
        if about.name in head.references:
            references.append(head.references[about.name].mean)
        missing = "" if estimate else _reason(view, name, about.name)
        if estimate is not None or missing:
            entries.append(_dot_row(name, styles[name], estimate, missing=missing))
    reference = Reference(name="real rows", value=sum(references) / len(references)) if references else None
    return DotsPanel(
        panel="dots",
        title=about.title,
        note=BETTER.get(about.better, about.better),
        rows=entries,
        reference=reference,
        bounds=[about.lowest, about.highest],
        log=False,
    )


def _heads(view: View) -> list[tuple[str, Summary]]:
    return [(name, head) for name in view.generators if name != NONE and (head := view.head(name))]


def _dot_row(name: str, style: int, estimate: Estimate | None, *, missing: str = "") -> DotRow:
    if estimate is None:
        return DotRow(name=name, style=style, value=None, low=None, high=None, missing=missing)
    ends = (doc.number(estimate.low), doc.number(estimate.high))
    return DotRow(name=name, style=style, value=doc.number(estimate.mean), low=ends[0], high=ends[1], missing="")


def _reason(view: View, generator: str, score: str) -> str:
    """Find out why a generator lacks a score; nothing if it was never asked for."""
    for cell in view.comparison.cells:
        if (cell.task, cell.shortcuts, cell.generator) == (view.task.name, view.shortcuts, generator):
            for value in cell.scores:
                if value.name == score and value.value is None:
                    return value.reason or "no reason was given"
    return ""


def _score_rows(view: View, about: ScoreAbout) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, head in _heads(view):
        estimate, reason = head.scores.get(about.name), _reason(view, name, about.name)
        if estimate is None and not reason:
            continue
        value: Cell = _estimate(estimate) if estimate else Missing(missing=reason)
        rows.append(
            [about.title, name, value, _estimate(head.references.get(about.name)), BETTER.get(about.better, "")]
        )
    return rows


def _cost_section(views: Sequence[View]) -> Section:
    blocks: list[Block] = []
    for index, view in enumerate(_main_views(views)):
        heads = [(name, head) for name, head in _heads(view) if head.fit_seconds is not None or head.rows_per_second]
        if heads:
            blocks.append(_cost_figure(view, heads, name=f"cost-{index + 1}"))
    if not blocks:
        blocks.append(doc.paragraph("Not available: no cell recorded what it cost."))
    return Section(
        name="time", title="Time and memory", lead="Median over seeds on the machine named below.", blocks=blocks
    )


def _cost_figure(view: View, heads: Sequence[tuple[str, Summary]], *, name: str) -> Figure:
    per_thousand = {n: 1000 / h.rows_per_second for n, h in heads if h.rows_per_second}
    fit = {n: h.fit_seconds for n, h in heads if h.fit_seconds is not None}
    memory = {n: h.peak_mib for n, h in heads if h.peak_mib is not None}
    measures = (("seconds to mint 1,000 rows", per_thousand), ("seconds to fit", fit), ("peak memory, MiB", memory))
    styles = style_of(view)
    panels = [
        DotsPanel(
            panel="dots",
            title=title,
            note="lower is better; logarithmic axis",
            rows=[
                DotRow(name=n, style=styles[n], value=doc.number(v), low=None, high=None, missing="")
                for n, v in values.items()
            ],
            reference=None,
            bounds=[0.0, None],
            log=True,
        )
        for title, values in measures
        if values
    ]
    rows: list[list[Cell]] = [
        [n, doc.number(per_thousand.get(n)), doc.number(fit.get(n)), doc.number(memory.get(n))] for n, _ in heads
    ]
    told = ", ".join(f"{n} {show_number(float(v))} s" for n, v in per_thousand.items())
    return doc.figure(
        name,
        view.title,
        description=f"Time to mint 1,000 rows: {told}; time to fit and peak memory of each generator.",
        note=f"Mean over {view.span}.",
        panels=panels,
        data=doc.table("Cost behind the charts", ["generator", *(title for title, _ in measures)], rows),
    )


def _failure_section(comparison: Comparison) -> Section:
    failed = comparison.failures
    rows: list[list[Cell]] = [
        [c.task, c.generator, "all" if c.rows is None else c.rows, c.seed, c.shortcuts, c.error or ""] for c in failed
    ]
    columns = ["task", "generator", "real rows", "seed", "shortcuts", "error"]
    block: Block = (
        doc.table(f"{len(failed)} of {len(comparison.cells)} cells failed", columns, rows)
        if failed
        else doc.paragraph(f"None of {len(comparison.cells):,} cells failed.")
    )
    return Section(
        name="failures", title="Failures", lead="Cells without a result; the others went on.", blocks=[block]
    )


def _settings_section(comparison: Comparison) -> Section:
    plan = comparison.plan
    named = {
        "real attack rows": ", ".join(f"{rows:,}" for rows in plan.rows),
        "seeds": ", ".join(map(str, plan.seeds)),
        "generators": ", ".join(plan.generators),
        "detectors": ", ".join(plan.detectors),
        "split": plan.split,
        "shortcuts": " and ".join(plan.shortcuts),
        "rows of a table at most": f"{plan.most:,}",
        "families of scores": ", ".join(plan.families) or "none",
        "headline": f"mean over up to {plan.headline:,} real rows",
    }
    settings = {name: ", ".join(f"{k} = {v}" for k, v in own.items()) for name, own in plan.settings.items() if own}
    blocks: list[Block] = [doc.facts("Plan", named)]
    blocks += [doc.facts("Settings of generators", settings)] if settings else []
    blocks += [_task_table(comparison.tasks), doc.facts("Versions", comparison.versions)]
    blocks += [doc.facts("Machine", {"machine": comparison.machine or "not recorded"})]
    if comparison.command:
        blocks.append({"block": "code", "text": comparison.command})
    return Section(name="settings", title="How it was made", lead="Enough to run it again.", blocks=blocks)


def _task_table(tasks: Sequence[TaskAbout]) -> Table:
    rows: list[list[Cell]] = [
        [t.name, t.attack, t.benign, t.attack_rows, t.benign_rows, len(t.columns), listed(list(t.shortcuts), most=99)]
        for t in tasks
    ]
    columns = ["task", "attack", "benign class", "attack rows", "benign rows", "feature columns", "shortcuts"]
    return doc.table("Tasks", columns, rows)
