"""Every error that Flowmint raises on purpose: what was given, what is allowed, what to try."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class FlowmintError(Exception):
    """Base of all errors that a user can cause and mend."""


class ReadError(FlowmintError):
    """A file could not be read as a flow table."""


class WriteError(FlowmintError):
    """A result could not be written."""


class TableError(FlowmintError):
    """A table's columns or values are not what is needed."""


class LabelError(FlowmintError):
    """A label column or a class name is absent, unknown or unusable."""


class SettingError(FlowmintError):
    """A setting or argument is unknown or out of its range."""


class ComparisonError(FlowmintError):
    """Parts of a comparison failed; the others are in its result."""


class ModelError(FlowmintError):
    """A model folder is damaged, foreign or of another version."""


class RuleError(FlowmintError):
    """A rule, a rules file or a profile cannot be read, or does not fit a table."""


class ScoreError(FlowmintError):
    """A score cannot be computed from the rows that there are."""


class NotFittedError(FlowmintError):
    """A generator was asked for rows before it was fitted."""


def nearest(given: str, allowed: Iterable[str], *, show: int = 8) -> str:
    """Tell which allowed name is nearest to the one given, else list the allowed ones.

    Args:
        given: The name that was not found.
        allowed: The names that exist.
        show: How many names to list when none is near.

    Returns:
        A sentence such as ``did you mean 'Label'?`` to end an error message with.
    """
    names = list(allowed)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(given.lower(), list(lowered), n=1, cutoff=0.6)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    listed = ", ".join(repr(name) for name in names[:show])
    more = f" and {len(names) - show} more" if len(names) > show else ""
    return f"known: {listed}{more}"
