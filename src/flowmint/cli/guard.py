"""What a user can mend, said in one line on stderr, with the exit code that scripts rely on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from flowmint.errors import FlowmintError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILED = 1
INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory; give fewer rows or a lower --target, or use a machine with more memory"


class GuardedGroup(TyperGroup):
    """A group of verbs whose errors are told by `one_line`."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer keeps this type to itself
        """Run the verb that was asked for."""
        with one_line():
            return super().invoke(ctx)


@contextmanager
def one_line() -> Iterator[None]:
    """Turn errors that a user causes, or can mend, into one line and an exit code.

    Raises:
        typer.Exit: With 1 after an error, with 130 after Ctrl-C. Our own bugs pass as they are.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise _exit(str(error) or "stopped; no partial output was left", INTERRUPTED) from None
    except FlowmintError as error:
        raise _exit(str(error), FAILED) from error
    except MemoryError as error:
        raise _exit(OUT_OF_MEMORY, FAILED) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _exit(f"{where}{error.strerror or error}", FAILED) from error
    except RuntimeError as error:  # how torch says that memory is short
        if "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise _exit(OUT_OF_MEMORY, FAILED) from error


@contextmanager
def told_where(reached: Callable[[], str | None]) -> Iterator[None]:
    """Tell after Ctrl-C that the same command goes on.

    Args:
        reached: Gives in words from where; None if nothing is kept.

    Raises:
        KeyboardInterrupt: As it came, with these words.
    """
    try:
        yield
    except KeyboardInterrupt:
        place = reached()
        if place is None:
            raise
        message = f"stopped; repeat the same command to go on from {place}"
        raise KeyboardInterrupt(message) from None


def _exit(message: str, code: int) -> typer.Exit:
    sys.stderr.write(f"flowmint: {plain(message)}\n")
    return typer.Exit(code)


def plain(text: str) -> str:
    r"""Make text from a file safe for one line of a terminal.

    Args:
        text: Anything, such as a class name from a hostile file.

    Returns:
        The text with line breaks as ``; `` and other control characters escaped.

    Examples:
        >>> plain("two lines:\n  \x1b[31mred")
        'two lines: \\x1b[31mred'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    joined = "".join(line + (" " if line.endswith((":", ";", ",")) else "; ") for line in lines).rstrip("; ")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in joined)
