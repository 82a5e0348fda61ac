"""`Rules`: what must hold in every row of a table, to check, derive and repair it by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.errors import LabelError, RuleError, nearest
from flowmint.flows.frames import FrameFormat, to_polars, to_series
from flowmint.progress import SILENT
from flowmint.rules import profiles, store
from flowmint.rules.algebra import Lattice, Plan, plan_of
from flowmint.rules.check import EXAMPLES, Report, RuleReport, judge_rows
from flowmint.rules.clash import find_clash
from flowmint.rules.discover import discover
from flowmint.rules.evaluate import Columns, evaluate
from flowmint.rules.language import columns_of
from flowmint.rules.repair import Repaired, Task, make_valid, repair_table
from flowmint.rules.solve import Solver
from flowmint.rules.table import columns_for, fit_dtype, is_number, numbers_of, uses_of, with_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flowmint.flows.frames import Native
    from flowmint.progress import Progress
    from flowmint.rules.evaluate import Booleans
    from flowmint.rules.language import Expression, Rule


@dataclass(frozen=True)
class Rules:
    """Rules that hold in every real row of a table.

    Attributes:
        rules: The rules, each with a name of its own.
        name: A short name, such as ``ciciot2023``; empty for rules of one's own.
        title: What they are about.
        columns: The header of the tables that they are about, by which a profile is recognised; empty where unknown.
        optional: Columns of that header that a table may lack.
        mutable: The columns that an attacker controls; None where nobody said.
    """

    rules: tuple[Rule, ...]
    name: str = ""
    title: str = ""
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    mutable: tuple[str, ...] | None = None
    _plans: dict[tuple[str, ...], Solver] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse names that are given twice, and rules that contradict one another.

        Raises:
            RuleError: They do; the message names the fewest rules that clash.
        """
        for name, count in Counter(rule.name for rule in self.rules).items():
            if not name or count > 1:
                message = f"{count} rules have the name {name!r}; give each a name of its own"
                raise RuleError(message)
        clash = find_clash(self.rules)
        if clash:
            listed = "; ".join(f"{rule.name!r} ({rule.text})" for rule in clash)
            message = f"no row can satisfy these rules together: {listed}; remove or mend one of them"
            raise RuleError(message)

    def __len__(self) -> int:
        """Count the rules."""
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        """Give the rules in order."""
        return iter(self.rules)

    # --- where rules come from

    @classmethod
    def read(cls, path: str | Path) -> Rules:
        """Read a rules file.

        Args:
            path: A TOML file, as `write` makes it.

        Returns:
            The rules.

        Raises:
            RuleError: It cannot be read; the message tells the rule and the place in it.
        """
        return cls(**store.contents_of(store.read_toml(Path(path)), str(path)))

    def write(self, path: str | Path) -> None:
        """Write the rules as TOML; an existing file is replaced once the new one is whole.

        Args:
            path: Where to.

        Raises:
            WriteError: The disk refuses.
        """
        store.write_toml(self.to_json(), Path(path))

    @classmethod
    def profile(cls, name: str) -> Rules:
        """Give the rules of a known extractor.

        Args:
            name: One of `profile_names`.

        Returns:
            The rules.

        Raises:
            RuleError: There is no such profile.
        """
        return _profile(name)

    @classmethod
    def discover(cls, frame: Native, *, label: str | None = None, progress: Progress = SILENT) -> Rules:
        """Find the rules that training rows satisfy; see `flowmint.rules.discover.discover`.

        Args:
            frame: Training rows only [rows, columns].
            label: Name of the column of classes, which the rules do not speak of.
            progress: Told of each search.

        Returns:
            The rules, each with its evidence.

        Raises:
            TableError: It is no usable frame.
            LabelError: The label column is absent or has empty cells.
        """
        table = to_polars(frame)
        header = tuple(name for name in table.columns if name != label)
        return cls(discover(table, label=label, progress=progress), title="discovered", columns=header)

    @staticmethod
    def profile_names() -> tuple[str, ...]:
        """List the known extractors."""
        return profiles.NAMES

    @classmethod
    def recognise(cls, frame: Native) -> Rules | None:
        """Find the extractor that made a table, by its header.

        Args:
            frame: A table, or only the names of its columns; others beside the extractor's may be there.

        Returns:
            The rules of the extractor whose columns are all there, the largest if several are; None if there is none.
        """
        names = set(frame if isinstance(frame, list | tuple) else to_polars(frame).columns)
        required = {}
        for name in profiles.NAMES:
            contents = profiles.contents(name)
            required[name] = set(contents["columns"]) - set(contents["optional"])
        fitting = [name for name, needed in required.items() if needed <= names]
        return cls.profile(max(fitting, key=lambda name: len(required[name]))) if fitting else None

    def fitting(self, frame: Native) -> Rules:
        """Keep the rules all of whose columns a table has, with the kind of values that they need.

        Args:
            frame: The table.

        Returns:
            The rules that fit it, in the same order, with the table's header, no column of which is optional: what
            `derive` then adds to a table are all derived columns that this one has.
        """
        table = to_polars(frame)
        kept = []
        for rule in self.rules:
            numbers, texts = uses_of([rule])
            if all(n in table.columns and is_number(table[n].dtype) for n in numbers if n not in texts) and all(
                n in table.columns and not is_number(table[n].dtype) for n in texts
            ):
                kept.append(rule)
        return replace(self, rules=tuple(kept), columns=tuple(table.columns), optional=())

    def joined(self, other: Rules) -> Rules:
        """Put other rules after these; one whose condition is here already is left out.

        Args:
            other: More rules.

        Returns:
            All rules, under this name and header.

        Raises:
            RuleError: Two different rules have one name, or rules clash.
        """
        known = {(rule.condition, rule.classes) for rule in self.rules}
        more = tuple(rule for rule in other.rules if (rule.condition, rule.classes) not in known)
        return replace(self, rules=(*self.rules, *more))

    def to_json(self) -> dict[str, Any]:
        """Describe the rules in JSON; `from_json` reads them back."""
        described: dict[str, Any] = {"format": store.FORMAT}
        described |= {key: getattr(self, key) for key in ("name", "title") if getattr(self, key)}
        described |= {key: list(getattr(self, key)) for key in ("columns", "optional") if getattr(self, key)}
        if self.mutable is not None:
            described["mutable"] = list(self.mutable)
        return {**described, "rules": [store.rule_to_json(rule) for rule in self.rules]}

    @classmethod
    def from_json(cls, obj: object) -> Rules:
        """Rebuild rules from `to_json`'s answer.

        Raises:
            RuleError: It is no such answer.
        """
        return cls(**store.contents_of(obj, "the rules"))

    # --- what follows from what

    @property
    def derived(self) -> tuple[str, ...]:
        """The columns that follow from others, in the order in which they can be computed; `derive` computes them.

        A generator need not model them: it leaves them out and derives them afterwards.
        """
        return tuple(self.definitions)

    @property
    def plan(self) -> Plan:
        """What follows from what, and in which order columns are settled."""
        return self._solver(self._numeric).plan

    @cached_property
    def definitions(self) -> Mapping[str, Expression]:
        """What each derived column is computed from, in the order in which that can be done."""
        return self.plan.definitions

    @cached_property
    def lattices(self) -> Mapping[str, tuple[Lattice, ...]]:
        """The lattices on which columns lie in every row: ``offset + k * step`` for whole ``k``.

        A generator can model ``k``, an integer, instead of the value, and decode it exactly.
        """
        return self.plan.lattices

    @cached_property
    def _numeric(self) -> tuple[str, ...]:
        """The columns that rules compute with, in the header's order, else in that of their first mention."""
        numbers, texts = uses_of(self.rules)
        mentioned = [name for name in numbers if name not in texts]
        place = {name: index for index, name in enumerate(self.columns)}
        return tuple(sorted(mentioned, key=lambda name: place.get(name, len(place))))

    def _solver(self, columns: tuple[str, ...]) -> Solver:
        """Give what settles the rows of a table with these columns of numbers."""
        if columns not in self._plans:
            absent = set(self._numeric) - set(columns) if columns != self._numeric else set()
            rules = [rule for rule in self.rules if not absent.intersection(rule.columns)]
            self._plans[columns] = Solver(plan_of(rules, columns))
        return self._plans[columns]

    # --- tables

    def check(
        self,
        frame: Native,
        *,
        label: Any = None,  # noqa: ANN401 - a name or a column of any kind
        progress: Progress = SILENT,
    ) -> Report:
        """Tell of each row and rule whether the row breaks the rule.

        Args:
            frame: The table [rows, columns], with every column that the rules speak of.
            label: For rules about single classes: the name of the label column in the table, or the label of each
                row [rows]. Without it such rules are not judged.
            progress: Shows how far it is.

        Returns:
            The report. Rules about optional columns that the table lacks are not judged.

        Raises:
            RuleError: A column is missing or holds the wrong kind of values.
            LabelError: There is no such label column, or its length is another.
        """
        table = to_polars(frame)
        rules = self._about(table)
        classes = self._classes(table, label)
        with progress.stage("checking", total=table.height, unit="rows") as stage:
            holds = judge_rows(rules, columns_for(rules, table), classes, stage.advance)
        told = tuple(_tell(rule, holds[:, index], table.height, classes) for index, rule in enumerate(rules))
        judged = {rule.name for rule in rules if classes is not None or not rule.classes}
        return Report(holds=holds, rules=told, unjudged=tuple(r.name for r in self.rules if r.name not in judged))

    def derive(self, frame: Native) -> Native:
        """Compute the columns that follow from others.

        Args:
            frame: The table [rows, columns]; derived columns may be absent, and are then added.

        Returns:
            The same kind of frame. Where a definition gives no finite number, as at a division by zero, a column that
            was there keeps its value and one that was not is empty. Columns that were there keep dtype and place; new
            ones are decimals, after the others, or where the header of these rules has them.

        Raises:
            RuleError: A column that others follow from is missing or holds no numbers.
        """
        given = to_polars(frame)
        table = self._derive(given)
        return _format_of(frame, given, table).restore(table)

    def _derive(self, table: pl.DataFrame) -> pl.DataFrame:
        inputs = [rule for rule in self.rules if set(rule.columns) & set(self.definitions)]
        numbers: dict[str, Any] = {}
        for name, expression in self.definitions.items():
            if set(self.optional) & {name, *columns_of(expression)} - set(table.columns):
                continue
            for other in columns_of(expression):
                if other not in numbers:
                    numbers |= _one(other, name, inputs, table)
            value = evaluate(expression, Columns(numbers, {}, table.height))
            if name in table.columns:
                series = table[name]
                value = fit_dtype(value, series.dtype)
                rows = np.flatnonzero(np.isfinite(value))
                table = table.with_columns(with_numbers(series, rows, value[rows]))
                numbers |= _one(name, name, inputs, table)
            else:
                value = np.where(np.isfinite(value), value, np.nan)
                table = table.with_columns(pl.Series(name, value).fill_nan(None))
                numbers[name] = value
        return table.select(self._in_order(table.columns))

    def _in_order(self, names: Sequence[str]) -> list[str]:
        """Order columns as the header does, where it names them all."""
        if set(names) <= set(self.columns):
            return [name for name in self.columns if name in names]
        return list(names)

    def repair(
        self,
        frame: Native,
        *,
        label: Any = None,  # noqa: ANN401 - as for check
        progress: Progress = SILENT,
    ) -> Repaired:
        """Replace rows that break rules by the nearest rows that do not, as far as they are found.

        Rows that break no rule stay as they are. In others, columns are settled one after the other: derived ones are
        computed, the rest keep their values where the rules allow it, else go to the nearest value that they allow.
        A row for which this finds no valid row stays as it is, and is told.

        Args:
            frame: The table [rows, columns], with every column that the rules speak of.
            label: As for `check`.
            progress: Shows how far it is.

        Returns:
            The same kind of frame with the same dtypes, and what was changed and by how much.

        Raises:
            RuleError: A column is missing or holds the wrong kind of values.
            LabelError: There is no such label column, or its length is another.
        """
        done = repair_table(self._task(to_polars(frame), label, progress))
        return replace(done, frame=FrameFormat.of(frame).restore(done.frame))

    def make_valid(
        self,
        table: pl.DataFrame,
        *,
        label: Any = None,  # noqa: ANN401 - as for check
    ) -> tuple[pl.DataFrame, Booleans]:
        """Repair rows as `repair` does, without telling what changed: that takes as long as the repair.

        Arguments and errors are those of `repair`.

        Returns:
            The repaired table, and the rows that break no rule now [rows].
        """
        return make_valid(self._task(table, label, SILENT))

    def _task(self, table: pl.DataFrame, label: Any, progress: Progress) -> Task:  # noqa: ANN401 - as for check
        """Prepare the repair of a table."""
        rules = self._about(table)
        columns = columns_for(rules, table)
        return Task(
            table=table,
            rules=rules,
            columns=columns,
            classes=self._classes(table, label),
            solver=self._solver(tuple(name for name in table.columns if name in columns.numbers)),
            progress=progress,
        )

    def require(self, frame: Native, *, label: Any = None, most_broken: float = 0.05) -> None:  # noqa: ANN401
        """Refuse rules that too many real rows break: what they do not satisfy, minted rows need not either.

        Args:
            frame: Real rows.
            label: As for `check`.
            most_broken: Which share of the rows that a rule is about may break it, 0 to 1.

        Raises:
            RuleError: More rows break a rule.
        """
        refuse_broken(self.check(frame, label=label).broken, most_broken=most_broken)

    def _about(self, table: pl.DataFrame) -> tuple[Rule, ...]:
        """Leave out rules about columns that a table may lack and lacks."""
        absent = set(self.optional) - set(table.columns)
        return tuple(rule for rule in self.rules if not absent.intersection(rule.columns))

    def _classes(self, table: pl.DataFrame, label: Any) -> dict[str, Booleans] | None:  # noqa: ANN401 - as for check
        """Tell for each class that a rule names which rows are of it; None without a label."""
        if label is None:
            return None
        if isinstance(label, str):
            if label not in table.columns:
                message = f"there is no column {label!r} to take as label; {nearest(label, table.columns)}"
                raise LabelError(message)
            label = table[label]
        labels = to_series(label, "label")
        if len(labels) != table.height:
            message = f"there are {len(labels):,} labels for {table.height:,} rows; give one for each row"
            raise LabelError(message)
        names = labels.cast(pl.String).fill_null("")
        wanted = {name for rule in self.rules for name in rule.classes}
        return {name: (names == name).to_numpy() for name in wanted}


def refuse_broken(reports: Iterable[RuleReport], *, most_broken: float) -> None:
    """Refuse rules that too many real rows break, see `Rules.require`.

    Raises:
        RuleError: There is one.
    """
    for each in reports:
        if each.broken > most_broken * each.rows:
            message = (
                f"{each.broken:,} of {each.rows:,} real rows ({1 - each.share:.1%}) break the rule "
                f"{each.rule.name!r} ({each.rule.text}), such as row {each.examples[0]}; at most "
                f"{most_broken:.1%} may: mend or remove the rule, or let minted rows satisfy it all the same "
                "(--force-rules, force_rules=True)"
            )
            raise RuleError(message)


@cache
def _profile(name: str) -> Rules:
    return Rules(**profiles.contents(name))


def _tell(rule: Rule, holds: Booleans, rows: int, classes: Mapping[str, Booleans] | None) -> RuleReport:
    if rule.classes:
        rows = 0 if classes is None else int(np.logical_or.reduce([classes[name] for name in rule.classes]).sum())
    broken = np.flatnonzero(~holds)
    return RuleReport(rule=rule, rows=rows, broken=len(broken), examples=tuple(int(i) for i in broken[:EXAMPLES]))


def _one(name: str, derived: str, inputs: Iterable[Rule], table: pl.DataFrame) -> dict[str, Any]:
    """Give one column of numbers that a derived column follows from."""
    rule = next((rule.name for rule in inputs if derived in rule.columns and name in rule.columns), derived)
    if name not in table.columns:
        message = (
            f"the column {derived!r} follows from {name!r} by the rule {rule!r}, but the table lacks {name!r}; "
            f"{nearest(name, table.columns)}"
        )
        raise RuleError(message)
    return {name: numbers_of(table[name], rule)}


def _format_of(frame: Native, given: pl.DataFrame, table: pl.DataFrame) -> FrameFormat:
    """Describe the frame that came in, with columns added."""
    layout = FrameFormat.of(frame)
    if layout.kind not in ("pandas", "pyarrow"):
        return layout
    known = dict(zip(given.columns, layout.dtypes, strict=True))
    added = "float64" if layout.kind == "pandas" else "double"
    return replace(layout, dtypes=tuple(known.get(name, added) for name in table.columns))
