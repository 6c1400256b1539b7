"""A report as a JSON document."""

from __future__ import annotations

import json

from bursar.accesslog import report as reports


def render(report: reports.AccessLogReport) -> bytes:
    """Return *report* in printable ASCII only, so that it is safe to print on a terminal."""
    text = json.dumps(report, indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"
