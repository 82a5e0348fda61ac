from __future__ import annotations

import errno
import os

import pytest
import typer

from flowmint.cli.guard import one_line, plain
from flowmint.errors import TableError


def told(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as left, one_line():
        raise error
    return left.value.exit_code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (TableError("column 'a' is empty"), 1, "flowmint: column 'a' is empty\n"),
        (TableError("columns differ:\n- a\n+ b"), 1, "flowmint: columns differ: - a; + b\n"),
        (TableError("class 'x\x1b[31m\r'"), 1, "flowmint: class 'x\\x1b[31m; '\n"),
        (KeyboardInterrupt(), 130, "flowmint: stopped; no partial output was left\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.csv"),
            1,
            "flowmint: out.csv: No space left on device\n",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(capsys, error, code, line):
    assert told(error, capsys) == (code, line)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")],
)
def test_short_memory_is_one_line(capsys, error):
    code, line = told(error, capsys)
    assert code == 1
    assert line.startswith("flowmint: out of memory;")
    assert line.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("a bug"), BrokenPipeError()])
def test_our_own_bugs_are_not_hidden(error):
    with pytest.raises(type(error)), one_line():
        raise error


def test_text_that_is_printable_stays(capsys):
    assert plain("攻击[red] = é ✓") == "攻击[red] = é ✓"


def test_nothing_plain_moves_the_cursor():
    every = "".join(map(chr, range(0x110000)))
    assert plain(every).isprintable()
