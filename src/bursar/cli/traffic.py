"""
`bursar traffic`: access logs read and shown; it needs no installation and no Django.

Its options are read by argparse, as Typer, which the other commands use, takes 12 MB to read one: a
quarter of all that this command may take.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bursar import errors

if TYPE_CHECKING:
    from bursar.accesslog.report import AccessLogReport

#: The packages of the extra `bursar[logs]`, by the name that is imported.
EXTRA = {"backports": "backports.zstd", "isal": "isal", "numpy": "numpy"}
#: The report is whole / an input was cut, and the report says so.
INCOMPLETE_EXIT = 4
_TOP_MAX, _PROCESSES_MAX = 100_000, 256


class LogsExtraMissing(errors.Invalid):
    """Reading access logs needs the extra `bursar[logs]`, which is not installed."""

    code = "logs_extra_missing"
    status = None


def main(words: Sequence[str]) -> None:
    """
    Run `bursar traffic` with *words*: `read` unless they begin with `merge` (a file of that name is ./merge).

    :raises LogsExtraMissing: if a package of `bursar[logs]` is not installed; `--help` needs none.
    :raises SystemExit: 2 if an option means nothing, 4 if an input was cut, 130 if interrupted, 1 if
        nobody reads what is written.
    """
    # Nothing here multiplies matrices; NumPy's library for that would begin a thread for each core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if words[:1] == ["merge"]:
            _merge(_merge_parser().parse_args(words[1:]))
        else:
            _read(_read_parser().parse_args(words[1:] if words[:1] == ["read"] else words))
    except ImportError as error:
        package = EXTRA.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise LogsExtraMissing(
            f"the access-log reader needs {package}, which is not installed: pip install 'bursar[logs]'"
        ) from error
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Else Python would complain of it once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _read_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bursar traffic",
        allow_abbrev=False,
        description="Tell who called what, how often, how slowly and what failed, of access logs of any size.",
        epilog="`bursar traffic merge FILE...` joins partial results. The exit code is 4 if an input was cut.",
    )
    option = parser.add_argument
    option(
        "files",
        nargs="+",
        metavar="FILE",
        help="logs, plain or compressed; folders, globs, - for stdin",
    )
    _add_questions(parser)
    option("--format", default="", help="a format's name or a LogFormat; else detected")
    option("--since", default="", metavar="MOMENT", help="from this moment, or 2h or 7d ago")
    option("--until", default="", metavar="MOMENT", help="before this moment")
    option("--status", action="append", default=[], help="404 or 4xx; repeatable")
    option("--path", default="", metavar="PATTERN", help="paths as this glob")
    option("--ip", action="append", default=[], metavar="NETWORK", help="clients of it; repeatable")
    option(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="NETWORK",
        help="whose X-Forwarded-For is believed; repeatable",
    )
    option(
        "--memory", default="128MB", metavar="SIZE", help="what counting may take (default: 128MB)"
    )
    option("--processes", type=_number(1, _PROCESSES_MAX), help="processes; else as many as pay")
    option("--approximate", action="store_true", help="estimate addresses")
    option(
        "--continue",
        dest="state",
        type=Path,
        metavar="FILE",
        help="read only what is new since; kept in this file",
    )
    option(
        "--against",
        type=Path,
        metavar="FILE",
        help="a partial result of the period before, for changes",
    )
    _add_outputs(parser)
    return parser


def _merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bursar traffic merge",
        allow_abbrev=False,
        description="Join partial results exactly, as if one run had read all their logs.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="partial results")
    _add_questions(parser)
    _add_outputs(parser)
    return parser


def _add_questions(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "--only",
        action="append",
        default=[],
        metavar="TABLES",
        help="tables wanted, by comma; else all, with signals",
    )
    option("--top", type=_number(1, _TOP_MAX), default=10, help="rows of each table (default: 10)")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--json", default="", metavar="FILE|-", help="write JSON")
    option("--csv", default="", metavar="FILE|-", help="write CSV")
    option("--html", type=Path, metavar="FILE", help="write one page of HTML")
    option("--keep", default="", metavar="NAME", help="keep it for the back office")
    option("--partial", type=Path, metavar="FILE", help="write a partial result, to be merged")
    option("--quiet", action="store_true", help="no progress, no remarks")


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most:,}")
        return int(text)

    return number


def _read(told: argparse.Namespace) -> None:
    import functools

    from bursar import clock
    from bursar.accesslog import analysis, filters, workers
    from bursar.accesslog.inputs import paths
    from bursar.accesslog.output import progress_bar

    outputs = _Outputs(json=told.json, csv=told.csv, html=told.html, keep=told.keep)
    workers.tune_malloc()
    report = analysis.analyze(
        paths.expand(told.files),
        only=filters.only(told.only),
        top=told.top,
        log_format=told.format or None,
        filters=filters.filters(
            since=told.since,
            until=told.until,
            statuses=told.status,
            path=told.path,
            networks=told.ip,
            now=clock.now(),
        ),
        trusted_proxies=tuple(
            filters.network(text, option="--trusted-proxy")
            for text in filters.parts(told.trusted_proxy)
        ),
        memory_bytes=filters.memory(told.memory),
        processes=told.processes,
        approximate=told.approximate,
        partial=told.partial,
        state=told.state,
        against=told.against,
        progress=functools.partial(progress_bar.bar, quiet=told.quiet),
    )
    outputs.give(report, shown=told.partial is None, quiet=told.quiet)


def _merge(told: argparse.Namespace) -> None:
    from bursar.accesslog import analysis, filters

    outputs = _Outputs(json=told.json, csv=told.csv, html=told.html, keep=told.keep)
    only = filters.only(told.only)
    report = analysis.merge(told.files, top=told.top, only=only, partial=told.partial)
    outputs.give(report, shown=told.partial is None, quiet=told.quiet)


class _Outputs:
    """Where a report goes; what cannot be is refused before anything is read."""

    def __init__(self, *, json: str, csv: str, html: Path | None, keep: str) -> None:
        from bursar.accesslog import filters
        from bursar.accesslog.output import saved_reports

        if json == csv == "-":
            raise filters.InvalidOption("'-' is taken by --json", param="--csv")
        self._json, self._csv, self._html, self._keep = json, csv, html, keep
        if keep:
            from bursar import settings

            self._folder = settings.current.home / "traffic"
            saved_reports.path_of(keep, folder=self._folder)

    def give(self, report: AccessLogReport, *, shown: bool, quiet: bool) -> None:
        """Write *report* wherever it was asked for, else show it if *shown*; exit 4 if it was cut."""
        from bursar import atomic_files
        from bursar.accesslog.output import csv, formatting, json, saved_reports

        for target, render in ((self._json, json.render), (self._csv, csv.render)):
            if target == "-":
                sys.stdout.buffer.write(render(report))
                sys.stdout.flush()
            elif target:
                atomic_files.write(Path(target), render(report))
        if self._html:
            from bursar.accesslog.output import html  # 4 MB, for those who ask

            atomic_files.write(self._html, html.render(report))
        if self._keep:
            saved_reports.save(report, name=self._keep, folder=self._folder)
        if shown and not (self._json or self._csv or self._html or self._keep):
            _show(report)
        if not quiet:
            for mark in formatting.marks(report):
                print(mark, file=sys.stderr)
        if not report.get("complete", False):
            sys.exit(INCOMPLETE_EXIT)


def _show(report: AccessLogReport) -> None:
    from bursar.accesslog.output import terminal
    from bursar.cli import output

    terminal.show(report, output.console)
