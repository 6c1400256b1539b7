"""Reports kept under a name, for the back office: one JSON document each in a folder of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from bursar import atomic_files, errors
from bursar.accesslog import report as reports
from bursar.accesslog.output import json as as_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: What one kept report may take; the largest with `--top 1000` has a fifth of it.
REPORT_BYTES_MAX = 16_000_000


class BadName(errors.ValidationError):
    """A kept report's name is 1 to 64 letters of ASCII, digits, dashes and underscores."""

    code = "invalid_report_name"


class ReportNotFound(errors.NotFound):
    """No whole report is kept under that name."""

    code = "report_not_found"


def save(report: reports.AccessLogReport, *, name: str, folder: Path) -> Path:
    """
    Keep *report* under *name* in *folder*, in the place of an earlier one, and return its file.

    :raises BadName: for *name*; :raises atomic_files.OutputFailed: if it cannot be written.
    """
    path = path_of(name, folder=folder)
    atomic_files.make_folder(folder)
    atomic_files.write(path, as_json.render(report))
    return path


def names(folder: Path) -> list[str]:
    """Name the reports kept in *folder*, by the alphabet."""
    return sorted(path.stem for path in folder.glob("*.json") if _NAME.fullmatch(path.stem))


def load(name: str, *, folder: Path) -> reports.AccessLogReport:
    """
    Give the report kept under *name*.

    :raises BadName: for *name*; :raises NoReport: if there is none that can be read.
    """
    path = path_of(name, folder=folder)
    try:
        with path.open("rb") as file:
            content = file.read(REPORT_BYTES_MAX + 1)
        found = json.loads(content) if len(content) <= REPORT_BYTES_MAX else None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ReportNotFound(f"no report is kept as {name}")
    return cast(reports.AccessLogReport, found)


def path_of(name: str, *, folder: Path) -> Path:
    """:raises BadName: if *name* could be anything but a file's in *folder*."""
    if not _NAME.fullmatch(name):
        raise BadName(
            f"{name!r} is no name for a report; write letters, digits, - and _", param="--keep"
        )
    return folder / f"{name}.json"
