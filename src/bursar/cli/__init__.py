"""The command line: words in, one call, tables out."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an error that a person can mend is one line, not a traceback."""
    from bursar import errors

    try:
        if sys.argv[1:2] == ["traffic"]:  # past Typer, which costs memory: see cli.traffic
            from bursar.cli import traffic

            traffic.main(sys.argv[2:])
            sys.exit(0)
        from bursar.cli.commands import app

        app(prog_name="bursar")
    except errors.BursarError as error:
        from bursar.cli import tables

        tables.show_error(error)
        sys.exit(1)
