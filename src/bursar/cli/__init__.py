"""Command line: parse options, make one call, print tables."""

from __future__ import annotations

import os
import sys


def process() -> None:
    """
    Run the command line as the main program of a process.

    After `bursar traffic` the process exits at once: it has nothing to clean up, and the
    interpreter's finalization would take a fifth of a short run.
    """
    try:
        main()
    except SystemExit as end:
        if sys.argv[1:2] != ["traffic"] or not isinstance(end.code, int):
            raise
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(1)
        os._exit(end.code)


def main() -> None:
    """Run the command line; print a `BursarError` as one line, without a traceback."""
    from bursar import errors

    try:
        if sys.argv[1:2] == ["traffic"]:  # bypasses Typer, which costs memory: see cli.traffic
            from bursar.cli import traffic

            traffic.main(sys.argv[2:])
            sys.exit(0)
        from bursar.cli.commands import app

        app(prog_name="bursar")
    except errors.BursarError as error:
        from bursar.cli import output

        output.show_error(error)
        sys.exit(1)
