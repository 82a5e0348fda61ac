"""The command line: each verb reads, calls one public function, writes, and tells what it did."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line; the entry point of ``flowmint``."""
    signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="backslashreplace")
    from flowmint.cli.main import app

    app()


def _stop(signum: int, _frame: object) -> NoReturn:
    """Leave by an exception, so that partial output is removed on the way."""
    sys.exit(128 + signum)
