"""A report as JSON, the document that can be kept, merged by machines and shown again."""

from __future__ import annotations

import json

from bursar.accesslog import report as reports


def render(report: reports.AccessLogReport) -> bytes:
    """Write *report* in ASCII alone, so that a terminal obeys nothing of it."""
    text = json.dumps(report, indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"
