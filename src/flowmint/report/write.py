"""Writing a report: the format by the extension, whole or not at all, never over another file by accident."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flowmint.errors import WriteError
from flowmint.flows.write import whole_file
from flowmint.report.render import RENDERERS
from flowmint.report.summarize import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.result import Comparison
    from flowmint.evaluate.compare.run import Run
    from flowmint.evaluate.leakage import Leakage
    from flowmint.evaluate.scores import Evaluation
    from flowmint.report.picture import Picture


def check_report(path: str | Path, *, force: bool = False) -> Path:
    """Check, before long work, that a report can be written.

    Args:
        path: Where to.
        force: Whether a file that exists may be replaced.

    Returns:
        The path.

    Raises:
        WriteError: The extension is unknown, a file or folder is in the way, or its folder is absent.
    """
    place = Path(path)
    if place.suffix.lower() not in RENDERERS:
        raise WriteError(f"{place} names no format of a report; end it in {', '.join(RENDERERS)}")
    if place.is_dir():
        raise WriteError(f"{place} is a folder; give a file for the report")
    if place.exists() and not force:
        raise WriteError(f"{place} exists and is kept; give another name, or allow replacing it (--force)")
    if not place.parent.is_dir():
        raise WriteError(f"there is no folder {place.parent} for the report; make it first")
    return place


def write_report(
    result: Evaluation | Comparison | Run,
    path: str | Path,
    *,
    pictures: Sequence[Picture] = (),
    leakage: Leakage | None = None,
    command: str = "",
    force: bool = False,
) -> Path:
    """Write a report of an evaluation or a comparison.

    Args:
        result: What was measured; a comparison's run brings rows to look at.
        path: Where to; ``.html``, ``.md`` and ``.json`` hold the same.
        pictures: Rows to look at: marginals, correlations and projections are drawn of each.
        leakage: The audit of an evaluation's real rows; a comparison brings its own.
        command: The command that made an evaluation; a comparison brings its own.
        force: Whether a file that exists may be replaced.

    Returns:
        Where it was written.

    Raises:
        WriteError: The extension is unknown, the file exists, or the disk refuses; nothing is left behind.
        SettingError: The result is neither of both.
    """
    place = check_report(path, force=force)
    document = summarize(result, pictures=pictures, leakage=leakage, command=command)
    content = RENDERERS[place.suffix.lower()](document)
    with whole_file(place) as partial:
        partial.write_text(content, encoding="utf-8", newline="\n")
    return place
