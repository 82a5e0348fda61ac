"""The options that verbs share: how they are written, and what is checked before long work."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from flowmint.errors import WriteError
from flowmint.flows.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import polars as pl

    from flowmint.flows.stream import Runner, Stream
    from flowmint.generators import Generator
    from flowmint.generators.settings import Setting
    from flowmint.progress import Progress

NAME_OF_LABEL = "Label"
"""The label column's name where the class comes from file names."""

OPTIONS = ("seed", "missing", "rules", "force_rules", "quality", "device")
"""Settings of generators that have an option of their own."""

DEFAULT_GENERATOR = "latent_diffusion"
"""What learns and mints where nobody says."""

Label = Annotated[
    str | None,
    typer.Option("--label", metavar="COLUMN", help="The column that holds the class of each row."),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHARACTER", help="What separates the cells of a CSV; a comma if absent."),
]
Categorical = Annotated[
    list[str] | None,
    typer.Option("--categorical", metavar="COLUMN", help="Take a column as categories; may be repeated."),
]
Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="COLUMN", help="Leave a column out; may be repeated."),
]
OnError = Annotated[
    Literal["stop", "skip"],
    typer.Option("--on-error", help="Stop at a malformed row of a CSV, or skip such rows and tell how many there are."),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write a report: .html, .md or .json."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a report or a result that exists.")]
OutTable = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="Where to: .parquet, .csv, .csv.gz or .csv.zst.", show_default=False),
]
GeneratorName = Annotated[
    str | None,
    typer.Option("--generator", metavar="NAME", help=f"What learns and mints; {DEFAULT_GENERATOR} if absent."),
]
Missing = Annotated[
    Literal["learn", "drop", "error"],
    typer.Option("--missing", help="Learn missing and infinite values, drop their rows from learning, or refuse them."),
]
MintedRules = Annotated[
    str,
    typer.Option(
        "--rules",
        metavar="auto|none|FILE|PROFILE",
        help="What every minted row satisfies: the extractor's rules, told by the header, and those that the rows show "
        "(auto); a rules file, as 'flowmint rules discover' makes it; or a profile, such as ciciot2023.",
    ),
]
ForceRules = Annotated[
    bool,
    typer.Option(
        "--force-rules",
        help="Keep the rules that --rules names although more than 5 % of the real rows break one of them.",
    ),
]
CheckedRules = Annotated[
    str,
    typer.Option(
        "--rules",
        metavar="auto|none|FILE|PROFILE",
        help="What valid rows satisfy: the extractor's rules, told by the header, and those that the rows of --train "
        "show (auto); a rules file; or a profile, such as ciciot2023.",
    ),
]
Quality = Annotated[
    Literal["fast", "balanced", "best"] | None,
    typer.Option(
        "--quality",
        help="How much time minting may take: fewer or more evaluations of the network for each row; the model's own "
        "if absent.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="cpu|cuda|auto",
        help="Where networks compute; auto is a GPU where there is one. If absent the processor, or for a model folder "
        "what it was fitted on.",
        show_default=False,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|local|ADDRESS",
        help="Work on a Ray cluster (extra 'ray'): the one that this machine belongs to (auto), one started here "
        "(local), or the one at an address. The folder that --out is in must be the same on all its nodes.",
        show_default=False,
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, metavar="N", help="With --ray: how many processes train together.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the generator that shall not be the usual one, such as effort=0.5 or tolerance=0.01; may be "
        "repeated.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="The same seed gives the same result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor summary.")]


Streamed = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Read the table batch by batch instead of into memory; by its size if absent (more than 512 MiB).",
        show_default=False,
    ),
]
LearnRows = Annotated[
    int | None,
    typer.Option(
        "--learn-rows",
        min=1,
        metavar="N",
        help="Rows that are drawn of a streamed table to learn from; 150000 if absent.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table to read, and the options that say how; each field is an argument or option of the command line."""

    path: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="A CSV (also .gz, .zst), a Parquet file, or a folder of captures."),
    ]
    label: Label = None
    label_from_name: Annotated[
        bool,
        typer.Option("--label-from-name", help="Take the class from each file's name, its shard number dropped."),
    ] = False
    delimiter: Delimiter = None
    categorical: Categorical = None
    drop: Drop = None
    on_error: OnError = "stop"
    faults: Faults | None = field(default=None, init=False)
    """The malformed rows that were skipped; None where they are refused."""

    def __post_init__(self) -> None:
        """Refuse options that do not go together, before anything is read."""
        self._heed_faults()
        if self.label is None and not self.label_from_name:
            message = "give --label COLUMN, or --label-from-name for captures whose names tell the class"
            raise typer.BadParameter(message)
        check_delimiter(self.delimiter)

    def _heed_faults(self) -> None:
        if self.on_error == "skip":
            object.__setattr__(self, "faults", Faults())

    @property
    def label_name(self) -> str:
        """The label column of the table that `read` gives."""
        return self.label or NAME_OF_LABEL

    def read(self, progress: Progress, *, capture: str | None = None) -> pl.DataFrame:
        """Read the table.

        Args:
            progress: Shows how far reading is.
            capture: Name of a column to add that tells each row's file; none if absent.

        Returns:
            The table, label column included.

        Raises:
            FlowmintError: It cannot be read.
        """
        from flowmint.flows.read import read_table

        return read_table(
            self.path,
            label=self.label_name if self.label is not None or self.label_from_name else None,
            label_from_name=self.label_from_name,
            categorical=self.categorical or (),
            drop=self.drop or (),
            delimiter=self.delimiter,
            capture=capture,
            faults=self.faults,
            progress=progress,
        )

    def stream(self, progress: Progress, *, beside: Path, ray: str | None = None) -> AbstractContextManager[Stream]:
        """Open the table as a stream.

        Args:
            progress: Shows how far CSV files are read.
            beside: The output; scratch files lie beside it.
            ray: The cluster whose nodes read it, side by side; it is read here if absent.

        Returns:
            What gives the stream for the length of a ``with`` block.

        Raises:
            FlowmintError: It cannot be read.
        """
        from flowmint.flows.stream import open_stream

        return open_stream(
            self.path,
            scratch=beside.parent,
            label=self.label_name if self.label is not None or self.label_from_name else None,
            label_from_name=self.label_from_name,
            categorical=self.categorical or (),
            drop=self.drop or (),
            delimiter=self.delimiter,
            faults=self.faults,
            runner=_runner(ray),
            progress=progress,
        )


def _runner(ray: str | None) -> Runner | None:
    """Give what reads pieces of a table on a cluster, where one is asked for."""
    if ray is None:
        return None
    from flowmint.cluster import Cluster

    return Cluster(ray)


def on_cluster(ray: str | None) -> AbstractContextManager[object]:
    """Be connected to a cluster, where one is asked for, before anything is read or learnt.

    Args:
        ray: What ``--ray`` says.

    Returns:
        The connection, for the length of a ``with`` block.

    Raises:
        SettingError: Ray or the cluster is not there.
    """
    if ray is None:
        return nullcontext()
    from flowmint.cluster import connected

    return connected(ray)


def check_stream(source: Source, *, stream: bool | None, learn_rows: int | None) -> bool:
    """Tell whether a table is to be streamed: as said, else by its size.

    Raises:
        ReadError: There is nothing to read.
        typer.BadParameter: Rows are to be drawn of a table that is not streamed.
    """
    from flowmint.flows.stream import is_large

    streamed = is_large(source.path) if stream is None else stream
    if learn_rows is not None and not streamed:
        message = "--learn-rows is for streamed tables, and all rows of others are learnt; give --stream too"
        raise typer.BadParameter(message)
    return streamed


def reads_table(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the command line's options for reading a table.

    Args:
        verb: A function whose first parameter is a `Source`, or a kind of it.

    Returns:
        The verb as Typer sees it: with the fields of `Source` in place of that parameter.
    """
    return _with_source(verb, optional=False)


def may_read_table(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the command line's options for reading a table that may be left out.

    Args:
        verb: A function whose first parameter is a `Source` or None. Another parameter that is a dataclass stands for
            options as well, one for each of its fields.

    Returns:
        The verb as Typer sees it.
    """
    return _with_source(verb, optional=True)


def _with_source(verb: Callable[..., None], *, optional: bool) -> Callable[..., None]:
    signature = inspect.signature(verb, eval_str=True)
    annotation = next(iter(signature.parameters.values())).annotation
    kind: type[Source] = Source if optional else annotation
    hints = get_type_hints(Source, include_extras=True)
    absent = {
        part.name: inspect.Parameter.empty if part.default is MISSING else part.default
        for part in fields(Source)
        if part.init
    }
    if optional:
        absent["path"] = None
        hints["path"] = Annotated[Path | None, *hints["path"].__metadata__]
    reading = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in absent.items()
    ]

    own = list(signature.parameters.values())[1:]
    folded: dict[str, Any] = {part.name: part.annotation for part in own if is_dataclass(part.annotation)}

    @wraps(verb)
    def with_source(**given: Any) -> None:  # noqa: ANN401 - each verb has its own options
        told = {name: given.pop(name) for name in absent}
        for name, group in folded.items():
            given[name] = group(**{part.name: given.pop(part.name) for part in fields(group)})
        if told["path"] is None:
            for name, value in told.items():
                if value and value != absent[name]:
                    message = f"--{name.replace('_', '-')} says how TABLE is read, but there is no TABLE; give one"
                    raise typer.BadParameter(message)
            verb(None, **given)
        else:
            source = kind(**told)
            verb(source, **given)
            if source.faults is not None:
                from flowmint.cli import show

                show.skipped(source.faults)

    unfolded = [each for part in own for each in (_options_of(folded[part.name]) if part.name in folded else [part])]
    with_source.__signature__ = signature.replace(parameters=[*reading, *unfolded])  # type: ignore[attr-defined]
    return with_source


def check_forced(rules: str | None, *, force_rules: bool) -> None:
    """Refuse to force rules that nobody named.

    Raises:
        typer.BadParameter: Rules are forced that are found, or that are none.
    """
    if force_rules and rules in (None, "auto", "none"):
        message = (
            "--force-rules keeps rules that are named although real rows break them; name them with --rules FILE or "
            "--rules PROFILE"
        )
        raise typer.BadParameter(message)


def _options_of(group: type[Any]) -> list[inspect.Parameter]:
    """Give each field of a dataclass as an option of the command line."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(part.name, inspect.Parameter.KEYWORD_ONLY, default=part.default, annotation=hints[part.name])
        for part in fields(group)
    ]


@dataclass(frozen=True, kw_only=True)
class Learner:
    """How a generator is to learn, as the command line says it.

    Attributes:
        name: A name in `flowmint.GENERATORS`.
        missing: Its missing-value policy.
        rules: What every minted row satisfies.
        force_rules: Whether the rules are kept although more real rows break one of them than may.
        seed: Its seed.
        quality: How much time it takes to mint; None for what is usual.
        device: Where it computes; None for what is usual.
        settings: Its other settings that shall not be the usual ones.
    """

    name: str
    missing: str
    rules: str
    force_rules: bool
    seed: int
    quality: str | None = None
    device: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse to force what is not refused."""
        check_forced(self.rules, force_rules=self.force_rules)

    def make(self) -> Generator:
        """Make the generator, not yet fitted.

        Raises:
            SettingError: There is no generator of that name.
        """
        from flowmint.generators import make_generator

        return make_generator(
            self.name,
            seed=self.seed,
            missing=self.missing,
            rules=self.rules,
            force_rules=self.force_rules,
            quality=self.quality,
            device=self.device,
            settings=self.settings,
        )


def parse_settings(given: Sequence[str] | None) -> dict[str, Setting]:
    """Read what ``--set`` was given.

    Args:
        given: ``NAME=VALUE`` pairs; a value is a number, ``true`` or ``false``, or else a text.

    Returns:
        The settings by name, as `flowmint.make_generator` takes them.

    Raises:
        typer.BadParameter: It is none, a setting is there twice, or it is one that has an option of its own.

    Examples:
        >>> parse_settings(["effort=0.5", "width=256"])
        {'effort': 0.5, 'width': 256}
    """
    settings: dict[str, Setting] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals or not name or not value:
            message = f"--set {pair!r}: give NAME=VALUE, such as effort=0.5"
            raise typer.BadParameter(message)
        if name in settings:
            message = f"--set names the setting {name!r} twice; give it once"
            raise typer.BadParameter(message)
        if name in OPTIONS:
            message = f"--set {pair!r}: {name} has an option of its own; give --{name.replace('_', '-')}"
            raise typer.BadParameter(message)
        settings[name] = _value(value)
    return settings


def _value(text: str) -> Setting:
    """Read the value of a setting as what it looks like."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_targets(given: Sequence[str] | None) -> int | dict[str, int] | None:
    """Read what ``--target`` was given.

    Args:
        given: One number for every class, or ``CLASS=NUMBER`` pairs; a class name may hold ``=``.

    Returns:
        The target as `flowmint.balance_table` takes it.

    Raises:
        typer.BadParameter: It is neither, or both.

    Examples:
        >>> parse_targets(["10000"])
        10000
        >>> parse_targets(["ARP_Spoofing=5000", "a=b=7"])
        {'ARP_Spoofing': 5000, 'a=b': 7}
    """
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return _number(given[0], given[0])
    targets: dict[str, int] = {}
    for pair in given:
        name, equals, number = pair.rpartition("=")
        if not equals or not name:
            message = f"--target {pair!r}: give one number for every class, or CLASS=NUMBER for each of some classes"
            raise typer.BadParameter(message)
        if name in targets:
            message = f"--target names the class {name!r} twice"
            raise typer.BadParameter(message)
        targets[name] = _number(number, pair)
    return targets


def parse_list(given: str, option: str) -> tuple[str, ...]:
    """Read names separated by commas.

    Raises:
        typer.BadParameter: There is none.
    """
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    if not names:
        message = f"{option} {given!r} names nothing; give names separated by commas"
        raise typer.BadParameter(message)
    return names


def parse_numbers(given: str, option: str) -> tuple[int, ...]:
    """Read whole numbers separated by commas.

    Raises:
        typer.BadParameter: There is none, or one is no whole number.
    """
    try:
        return tuple(int(number) for number in parse_list(given, option))
    except ValueError:
        message = f"{option} {given!r}: give whole numbers separated by commas, such as 10,25,50"
        raise typer.BadParameter(message) from None


def _number(text: str, given: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f"--target {given!r}: {text!r} is no whole number; give one, such as 10000 or ARP_Spoofing=5000"
        raise typer.BadParameter(message) from None


def check_delimiter(given: str | None) -> None:
    """Refuse a delimiter of more than one byte.

    Raises:
        typer.BadParameter: It is one.
    """
    if given is not None and len(given.encode()) != 1:
        message = f"--delimiter is {given!r}; give one character, such as ';'"
        raise typer.BadParameter(message)


def check_result(path: Path | None, *, force: bool) -> None:
    """Make sure that a result can be written, before anything is computed for it.

    Args:
        path: Where it shall go, if it is wanted.
        force: Whether a file that exists may be replaced.

    Raises:
        WriteError: It cannot be written there.
    """
    if path is None:
        return
    if path.is_dir() or (path.exists() and not force):
        message = f"{path} exists and is kept; give another name, or allow replacing it (--force)"
        raise WriteError(message)
    check_folder(path)


def check_report(path: Path | None, *, force: bool) -> None:
    """Make sure that a report can be written, as `check_result` does for a result; its name tells the format.

    Raises:
        WriteError: It cannot be written there.
    """
    if path is None:
        return
    from flowmint import report

    report.check_report(path, force=force)
    check_folder(path)


def check_out(path: Path, *, source: Path | None = None) -> None:
    """Make sure that a table can be written, before anything is computed for it.

    Args:
        path: Where it shall go.
        source: What is read, which must not be overwritten.

    Raises:
        WriteError: It cannot be written there.
    """
    from flowmint.flows.write import check_extension

    check_extension(path)
    if path.is_dir():
        message = f"{path} is a folder; give the name of a file"
        raise WriteError(message)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        message = f"{path} is the table that is read; give --out another name"
        raise WriteError(message)
    check_folder(path)


def check_folder(path: Path) -> None:
    """Make sure that the folder that a result goes to takes new files.

    Args:
        path: The result.

    Raises:
        WriteError: The folder is absent, or no file can be made there.
    """
    folder = path.parent
    if not folder.is_dir():
        message = f"there is no folder {folder} for {path.name}; make it first"
        raise WriteError(message)
    try:
        file, name = tempfile.mkstemp(dir=folder, prefix=".flowmint-")
        os.close(file)
        Path(name).unlink()
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror or error}; choose another place"
        raise WriteError(message) from error
