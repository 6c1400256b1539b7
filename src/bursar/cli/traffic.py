"""`bursar traffic`: access logs read and shown; it needs no installation and no Django."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
import typer.core

if TYPE_CHECKING:
    from bursar.accesslog.report import Report

#: The report is whole / an input was cut, and the report says so.
INCOMPLETE_EXIT = 4


class _ReadsByDefault(typer.core.TyperGroup):
    """`bursar traffic FILE` is `bursar traffic read FILE`; a file named merge is ./merge."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] not in (["merge"], ["read"]):
            args = ["read", *args]
        return super().parse_args(ctx, args)


traffic = typer.Typer(cls=_ReadsByDefault, rich_markup_mode=None)

Texts = Optional[list[str]]  # noqa: UP045  (Typer reads this at run time)
File = Optional[Path]  # noqa: UP045
Only = Annotated[Texts, typer.Option(help="Tables wanted, by comma; else all, with signals.")]
Top = Annotated[int, typer.Option(min=1, max=100_000, help="Rows of each table.")]
Json = Annotated[str, typer.Option("--json", metavar="FILE|-", help="Write JSON.")]
Csv = Annotated[str, typer.Option("--csv", metavar="FILE|-", help="Write CSV.")]
Html = Annotated[File, typer.Option("--html", help="Write one page of HTML.")]
Keep = Annotated[str, typer.Option(metavar="NAME", help="Keep it for the back office.")]
Partial = Annotated[File, typer.Option(help="Write a partial result, to be merged.")]

Logs = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="Logs, plain or compressed; folders, globs, - for stdin."),
]
Format = Annotated[
    str, typer.Option("--format", help="A format's name or a LogFormat; else detected.")
]
Proxies = Annotated[
    Texts, typer.Option(metavar="NETWORK", help="Whose X-Forwarded-For is believed.")
]
Processes = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, max=256, help="Processes; else as many as pay."),
]
State = Annotated[
    File, typer.Option("--continue", help="Read only what is new since; kept in this file.")
]
Against = Annotated[File, typer.Option(help="A partial result of the period before, for changes.")]


@traffic.command()
def read(  # noqa: PLR0913  (a command has as many options as it has)
    files: Logs,
    only: Only = None,
    top: Top = 10,
    log_format: Format = "",
    since: Annotated[str, typer.Option(help="From this moment, or 2h or 7d ago.")] = "",
    until: Annotated[str, typer.Option(help="Before this moment.")] = "",
    status: Annotated[Texts, typer.Option(help="404 or 4xx; repeatable.")] = None,
    path: Annotated[str, typer.Option(metavar="PATTERN", help="Paths as this glob.")] = "",
    ip: Annotated[Texts, typer.Option(metavar="NETWORK", help="Clients of it.")] = None,
    trusted_proxy: Proxies = None,
    memory: Annotated[str, typer.Option(help="What counting may take.")] = "128MB",
    processes: Processes = None,
    approximate: Annotated[bool, typer.Option("--approximate", help="Estimate addresses.")] = False,
    json: Json = "",
    csv: Csv = "",
    html: Html = None,
    keep: Keep = "",
    partial: Partial = None,
    state: State = None,
    against: Against = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no remarks.")] = False,
) -> None:
    """
    Tell who called what, how often, how slowly and what failed, of access logs of any size.

    `bursar traffic merge FILE...` joins partial results. The exit code is 4 if an input was cut.
    """
    import functools

    from bursar import clock
    from bursar.accesslog import questions, traffic, working
    from bursar.accesslog.reading import inputs
    from bursar.accesslog.showing import progress

    outputs = _Outputs(json=json, csv=csv, html=html, keep=keep)
    working.hold_memory()
    report = traffic.read(
        inputs.expand(files),
        only=questions.only(only or ()),
        top=top,
        log_format=log_format or None,
        filters=questions.filters(
            since=since, until=until, statuses=status or (), path=path, networks=ip or (),
            now=clock.now(),
        ),
        trusted_proxies=tuple(
            questions.network(text, option="--trusted-proxy")
            for text in questions.parts(trusted_proxy or ())
        ),
        memory_bytes=questions.memory(memory),
        processes=processes,
        approximate=approximate,
        partial=partial,
        state=state,
        against=against,
        progress=functools.partial(progress.bar, quiet=quiet),
    )  # fmt: skip
    outputs.give(report, shown=partial is None, quiet=quiet)


@traffic.command()
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Partial results.")],
    only: Only = None,
    top: Top = 10,
    json: Json = "",
    csv: Csv = "",
    html: Html = None,
    keep: Keep = "",
    partial: Partial = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No remarks.")] = False,
) -> None:
    """Join partial results exactly, as if one run had read all their logs."""
    from bursar.accesslog import questions, traffic

    outputs = _Outputs(json=json, csv=csv, html=html, keep=keep)
    report = traffic.merge(files, top=top, only=questions.only(only or ()), partial=partial)
    outputs.give(report, shown=partial is None, quiet=quiet)


class _Outputs:
    """Where a report goes; what cannot be is refused before anything is read."""

    def __init__(self, *, json: str, csv: str, html: Path | None, keep: str) -> None:
        from bursar.accesslog import questions
        from bursar.accesslog.showing import kept

        if json == csv == "-":
            raise questions.BadQuestion("'-' is taken by --json", param="--csv")
        self._json, self._csv, self._html, self._keep = json, csv, html, keep
        if keep:
            from bursar import settings

            self._folder = settings.current.home / "traffic"
            kept.path_of(keep, folder=self._folder)

    def give(self, report: Report, *, shown: bool, quiet: bool) -> None:
        """Write *report* wherever it was asked for, else show it if *shown*; exit 4 if it was cut."""
        from bursar.accesslog.showing import csv, files, html, json, kept, words

        for target, render in ((self._json, json.render), (self._csv, csv.render)):
            if target == "-":
                sys.stdout.buffer.write(render(report))
                sys.stdout.flush()
            elif target:
                files.write(Path(target), render(report))
        if self._html:
            files.write(self._html, html.render(report))
        if self._keep:
            kept.keep(report, name=self._keep, folder=self._folder)
        if shown and not (self._json or self._csv or self._html or self._keep):
            _show(report)
        if not quiet:
            for mark in words.marks(report):
                typer.echo(mark, err=True)
        if not report.get("complete", False):
            raise typer.Exit(INCOMPLETE_EXIT)


def _show(report: Report) -> None:
    from bursar.accesslog.showing import table
    from bursar.cli import tables

    table.show(report, tables.console)
