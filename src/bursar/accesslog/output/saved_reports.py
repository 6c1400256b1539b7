"""Reports saved under a name for the back office, one JSON file each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from bursar import atomic_files, errors
from bursar.accesslog import report as reports
from bursar.accesslog.output import json as as_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: Maximum size of a saved report; the largest with `--top 1000` has a fifth of it.
REPORT_BYTES_MAX = 16_000_000


class InvalidReportName(errors.ValidationError):
    """The name of a saved report must be 1 to 64 ASCII letters, digits, dashes and underscores."""

    code = "invalid_report_name"


class ReportNotFound(errors.NotFound):
    """No readable report is saved under this name."""

    code = "report_not_found"


def save(report: reports.AccessLogReport, *, name: str, folder: Path) -> Path:
    """
    Save *report* as *name* in *folder*, replacing an earlier one; return the path.

    :raises InvalidReportName: if *name* is not allowed.
    :raises OutputNotWritable: if the file cannot be written.
    """
    path = report_path(name, folder=folder)
    atomic_files.create_folder(folder)
    atomic_files.write(path, as_json.render(report))
    return path


def list_names(folder: Path) -> list[str]:
    """Return the names of the reports saved in *folder*, sorted."""
    return sorted(path.stem for path in folder.glob("*.json") if _NAME.fullmatch(path.stem))


def load(name: str, *, folder: Path) -> reports.AccessLogReport:
    """
    Return the report saved as *name*.

    :raises InvalidReportName: if *name* is not allowed.
    :raises ReportNotFound: if there is no such file, or it is too large or not JSON.
    """
    path = report_path(name, folder=folder)
    try:
        with path.open("rb") as file:
            content = file.read(REPORT_BYTES_MAX + 1)
        report = json.loads(content) if len(content) <= REPORT_BYTES_MAX else None
    except (OSError, ValueError):
        report = None
    if not isinstance(report, dict):
        raise ReportNotFound(f"no report is saved as {name}")
    return cast(reports.AccessLogReport, report)


def report_path(name: str, *, folder: Path) -> Path:
    """
    Return the path of the report *name* in *folder*.

    :raises InvalidReportName: if *name* is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidReportName(
            f"{name!r} is not a valid report name; use up to 64 letters, digits, - and _",
            param="--save-as",
        )
    return folder / f"{name}.json"
