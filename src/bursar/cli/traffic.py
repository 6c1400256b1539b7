"""
`bursar traffic`: analyze access logs, without an installation and without Django.

Options are parsed by argparse: Typer, which the other commands use, takes 12 MB, a quarter of what this
command may use.
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
#: Exit code of a report that is incomplete because an input was truncated.
INCOMPLETE_EXIT = 4
_TOP_MAX, _PROCESSES_MAX = 100_000, 256


class LogsExtraMissing(errors.Invalid):
    """Analyzing access logs needs the extra `bursar[logs]`, which is not installed."""

    code = "logs_extra_missing"
    status = None


def main(arguments: Sequence[str]) -> None:
    """
    Run `bursar traffic` with *arguments*: `read` unless the first is `merge` (write a file of that name as ./merge).

    :raises LogsExtraMissing: if a package of `bursar[logs]` is not installed; `--help` needs none.
    :raises SystemExit: 2 for an invalid option, 4 if an input was truncated, 130 if interrupted, 1 if
        standard output was closed.
    """
    # Without this NumPy's BLAS starts a thread for each core; no matrix is multiplied here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if arguments[:1] == ["merge"]:
            _merge(_merge_parser().parse_args(arguments[1:]))
        else:
            _read(
                _read_parser().parse_args(arguments[1:] if arguments[:1] == ["read"] else arguments)
            )
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
        # Otherwise Python reports the error again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _read_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bursar traffic",
        allow_abbrev=False,
        description="Report clients, paths, response times and errors from access logs of any size.",
        epilog="`bursar traffic merge FILE...` merges partial results. The exit code is 4 if an input was truncated.",
    )
    option = parser.add_argument
    option(
        "files",
        nargs="+",
        metavar="FILE",
        help="logs, plain or compressed; folders, globs; - for standard input",
    )
    _add_table_options(parser)
    option(
        "--format",
        default="",
        help="name of a log format, or a LogFormat or log_format text (default: detect)",
    )
    option(
        "--since",
        default="",
        metavar="TIME",
        help="requests from this time on: 2026-11-25T14:30Z, or 2h, 7d ago",
    )
    option("--until", default="", metavar="TIME", help="requests before this time")
    option("--status", action="append", default=[], help="only this status: 404 or 4xx; repeatable")
    option("--path", default="", metavar="PATTERN", help="only paths that match this glob")
    option(
        "--ip",
        action="append",
        default=[],
        metavar="NETWORK",
        help="only clients in this network; repeatable",
    )
    option(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="NETWORK",
        help="your proxies, whose X-Forwarded-For is used; repeatable",
    )
    option(
        "--memory",
        default="128MB",
        metavar="SIZE",
        help="memory limit for counting (default: 128MB)",
    )
    option(
        "--processes",
        type=_number(1, _PROCESSES_MAX),
        help="number of processes (default: by size and cores)",
    )
    option("--approximate", action="store_true", help="estimate the number of addresses")
    option(
        "--continue",
        dest="state",
        type=Path,
        metavar="FILE",
        help="read only new lines; totals and positions are stored in this file",
    )
    option(
        "--compare-to",
        type=Path,
        metavar="FILE",
        help="partial result of an earlier period, to report changes",
    )
    _add_output_options(parser)
    return parser


def _merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bursar traffic merge",
        allow_abbrev=False,
        description="Merge partial results exactly, as if one run had read all their logs.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="partial results")
    _add_table_options(parser)
    _add_output_options(parser)
    return parser


def _add_table_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option(
        "--tables",
        action="append",
        default=[],
        metavar="TABLES",
        help="only these tables, separated by commas (default: all, and signals)",
    )
    option("--top", type=_number(1, _TOP_MAX), default=10, help="rows per table (default: 10)")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--json", default="", metavar="FILE|-", help="write JSON")
    option("--csv", default="", metavar="FILE|-", help="write CSV")
    option("--html", type=Path, metavar="FILE", help="write an HTML page")
    option("--save-as", default="", metavar="NAME", help="save the report for the back office")
    option(
        "--partial",
        type=Path,
        metavar="FILE",
        help="write a partial result, for merge and --compare-to",
    )
    option("--quiet", action="store_true", help="no progress bar, no warnings")


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most:,}")
        return int(text)

    return number


def _read(options: argparse.Namespace) -> None:
    import functools

    from bursar import clock
    from bursar.accesslog import analysis, filters, workers
    from bursar.accesslog.inputs import paths
    from bursar.accesslog.output import progress_bar

    outputs = _Outputs(
        json=options.json, csv=options.csv, html=options.html, save_as=options.save_as
    )
    workers.tune_malloc()
    report = analysis.analyze(
        paths.expand(options.files),
        tables=filters.parse_tables(options.tables),
        top=options.top,
        log_format=options.format or None,
        filters=filters.parse_filters(
            since=options.since,
            until=options.until,
            statuses=options.status,
            path=options.path,
            networks=options.ip,
            now=clock.now(),
        ),
        trusted_proxies=tuple(
            filters.parse_network(text, option="--trusted-proxy")
            for text in filters.split_values(options.trusted_proxy)
        ),
        memory_bytes=filters.parse_memory(options.memory),
        processes=options.processes,
        approximate=options.approximate,
        partial=options.partial,
        state=options.state,
        compare_to=options.compare_to,
        progress=functools.partial(progress_bar.progress_bar, quiet=options.quiet),
    )
    outputs.write(report, to_terminal=options.partial is None, quiet=options.quiet)


def _merge(options: argparse.Namespace) -> None:
    from bursar.accesslog import analysis, filters

    outputs = _Outputs(
        json=options.json, csv=options.csv, html=options.html, save_as=options.save_as
    )
    tables = filters.parse_tables(options.tables)
    report = analysis.merge(options.files, top=options.top, tables=tables, partial=options.partial)
    outputs.write(report, to_terminal=options.partial is None, quiet=options.quiet)


class _Outputs:
    """The outputs of a report; invalid ones are refused before any log is read."""

    def __init__(self, *, json: str, csv: str, html: Path | None, save_as: str) -> None:
        from bursar.accesslog import filters
        from bursar.accesslog.output import saved_reports

        if json == csv == "-":
            raise filters.InvalidOption("standard output is already used by --json", param="--csv")
        self._json, self._csv, self._html, self._save_as = json, csv, html, save_as
        if save_as:
            from bursar import settings

            self._folder = settings.current.home / "traffic"
            saved_reports.report_path(save_as, folder=self._folder)

    def write(self, report: AccessLogReport, *, to_terminal: bool, quiet: bool) -> None:
        """Write *report* to every output, or else print it if *to_terminal*; exit with 4 if it is incomplete."""
        from bursar import atomic_files
        from bursar.accesslog.output import csv, formatting, json, saved_reports

        for target, render in ((self._json, json.render), (self._csv, csv.render)):
            if target == "-":
                sys.stdout.buffer.write(render(report))
                sys.stdout.flush()
            elif target:
                atomic_files.write(Path(target), render(report))
        if self._html:
            from bursar.accesslog.output import html  # takes 4 MB: only when used

            atomic_files.write(self._html, html.render(report))
        if self._save_as:
            saved_reports.save(report, name=self._save_as, folder=self._folder)
        if to_terminal and not (self._json or self._csv or self._html or self._save_as):
            _show(report)
        if not quiet:
            for warning in formatting.warnings(report):
                print(warning, file=sys.stderr)
        if not report.get("complete", False):
            sys.exit(INCOMPLETE_EXIT)


def _show(report: AccessLogReport) -> None:
    from bursar.accesslog.output import terminal
    from bursar.cli import output

    terminal.show(report, output.console)
