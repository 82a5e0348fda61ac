"""The verbs of ``flowmint rules``: discover, check and repair."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowmint.cli import show
from flowmint.cli.guard import GuardedGroup
from flowmint.cli.options import OutTable, Quiet, Source, check_delimiter, check_folder, check_out, reads_table
from flowmint.errors import RuleError, WriteError

if TYPE_CHECKING:
    import polars as pl

    from flowmint.rules.ruleset import Rules

app = typer.Typer(
    cls=GuardedGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tell what must hold in every row; check and repair tables by it.",
)

RulesName = Annotated[
    str,
    typer.Option(
        "--rules",
        metavar="FILE|PROFILE",
        help="A rules file (.toml), a known extractor such as ciciot2023, or auto: the extractor by the header.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for other programs.")]


@dataclass(frozen=True, kw_only=True)
class AnyTable(Source):
    """A table to read, with a label column or without one."""

    def __post_init__(self) -> None:
        """Refuse options that do not go together; a label is not needed."""
        check_delimiter(self.delimiter)
        self._heed_faults()

    @property
    def column(self) -> str | None:
        """The label column, if there is one."""
        return self.label_name if self.label is not None or self.label_from_name else None


def choose_rules(name: str, table: pl.DataFrame) -> Rules:
    """Find the rules that ``--rules`` names.

    Args:
        name: A file's path, a profile, or ``auto``.
        table: The table, by whose header ``auto`` chooses.

    Returns:
        The rules.

    Raises:
        RuleError: There are no such rules, or the header is of no known extractor.
    """
    from flowmint.rules.ruleset import Rules

    path = Path(name)
    if path.suffix.lower() == ".toml" or path.is_file():
        return Rules.read(path)
    if name != "auto":
        return Rules.profile(name)
    found = Rules.recognise(table)
    if found is None:
        known = ", ".join(Rules.profile_names())
        message = (
            f"the header is of no known extractor ({known}); give --rules FILE, "
            "which 'flowmint rules discover' makes from training rows"
        )
        raise RuleError(message)
    return found


@app.command(short_help="Find the rules that training rows satisfy.")
@reads_table
def discover(
    source: AnyTable,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The rules file to write, ending in .toml.")],
    quiet: Quiet = False,
) -> None:
    """Find the rules that the rows of a table satisfy, each with its evidence, and write them as a rules file."""
    from flowmint.cli.progress import bars
    from flowmint.rules.ruleset import Rules

    started = time.monotonic()
    if out.suffix.lower() != ".toml":
        message = f"{out} is no name for a rules file; end it in .toml"
        raise WriteError(message)
    check_folder(out)
    with bars(quiet=quiet) as progress:
        rules = Rules.discover(source.read(progress), label=source.column, progress=progress)
    rules.write(out)
    if not quiet:
        show.discovered(rules, out, seconds=time.monotonic() - started)


@app.command(short_help="Tell which rows break which rules.")
@reads_table
def check(source: AnyTable, *, rules: RulesName = "auto", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Tell the share of valid rows, and for each rule how many rows break it and which are the first."""
    from flowmint.cli.progress import bars

    with bars(quiet=quiet) as progress:
        table = source.read(progress)
        chosen = choose_rules(rules, table)
        report = chosen.check(table, label=source.column, progress=progress)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        show.checked(report, name=chosen.name or rules)


@app.command(short_help="Replace rows that break rules by the nearest valid ones.")
@reads_table
def repair(
    source: AnyTable,
    *,
    out: OutTable,
    rules: RulesName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the table with rows that break rules replaced by the nearest valid rows; tell what was changed."""
    from flowmint.cli.progress import bars
    from flowmint.flows.write import write_table

    started = time.monotonic()
    check_out(out, source=source.path)
    with bars(quiet=quiet) as progress:
        table = source.read(progress)
        repaired = choose_rules(rules, table).repair(table, label=source.column, progress=progress)
    write_table(repaired.frame, out)
    if as_json:
        typer.echo(json.dumps(repaired.to_json(), indent=2, ensure_ascii=False))
    elif not quiet:
        show.repaired(repaired)
        show.written(out, rows=repaired.rows, seconds=time.monotonic() - started)
