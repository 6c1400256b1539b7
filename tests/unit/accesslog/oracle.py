"""Expected reports, computed line by line in plain Python, independent of the code under test."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime

LINE = re.compile(
    rb'(?P<client>[^ ]*) [^ ]* [^ ]* \[(?P<time>[^\]]*)\] "(?P<request>(?:[^"\\]|\\.|\\$)*?)(?<!\\)"'
    rb" (?P<status>[^ ]*) (?P<bytes>[^ ]*)"
    rb' "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"',
    re.DOTALL,
)
_TIME = re.compile(rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}")


def address(text: bytes) -> str | None:
    """Return the canonical text of an address."""
    try:
        one = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        return None
    if isinstance(one, ipaddress.IPv6Address):
        if "%" in str(one):
            return None
        if one.ipv4_mapped is not None:
            return str(one.ipv4_mapped)
    return one.compressed


def lines(log: bytes) -> list[bytes]:
    """Split *log* at LF or CRLF."""
    parts = log.split(b"\n")
    if not parts[-1]:
        parts.pop()
    return [part.removesuffix(b"\r") for part in parts]


def clients(log: bytes) -> Counter[str]:
    """Count lines by their first field, if it is an address followed by a space."""
    counted: Counter[str] = Counter()
    for line in lines(log):
        first, blank, _ = line.partition(b" ")
        if blank and (one := address(first)) is not None:
            counted[one] += 1
    return counted


class Expected:
    """The expected tables of a combined log."""

    def __init__(self, log: bytes) -> None:
        self.read = self.counted = 0
        self.tables: dict[str, dict[str | int, list[int]]] = defaultdict(dict)
        for line in lines(log):
            self.read += 1
            if (match := LINE.fullmatch(line)) is not None:
                self.counted += 1
                self._count(match)

    def _count(self, match: re.Match[bytes]) -> None:
        status = int(match["status"]) if re.fullmatch(rb"\d{3}", match["status"]) else -1
        size = int(match["bytes"]) if re.fullmatch(rb"\d{1,16}", match["bytes"]) else 0
        method, path = request(match["request"])
        measures = [1, size, int(status // 100 == 4), int(status // 100 == 5)]
        keys: dict[str, str | int | None] = {
            "methods": as_text(method),
            "paths": as_text(path),
            "agents": as_text(match["agent"]),
            "referrers": as_text(match["referrer"]),
            "statuses": status if status >= 0 else None,
            "hours": hour(match["time"]),
        }
        for table, key in keys.items():
            if key is not None:
                row = self.tables[table].setdefault(key, [0, 0, 0, 0])
                row[:] = [a + b for a, b in zip(row, measures, strict=True)]


def request(text: bytes) -> tuple[bytes, bytes]:
    """Return method and path."""
    method, blank, rest = text.partition(b" ")
    path = rest.partition(b" ")[0]
    if not blank or len(method) > 20 or not re.match(rb"[A-Z]", method):
        method, path = b"", text
    path = path.partition(b"?")[0]
    if re.match(rb"https?://", path, re.IGNORECASE) and len(path) > 7:
        at = path.find(b"/", 8)
        path = path[at:] if at >= 0 else b""
    return method, path


def as_text(text: bytes) -> str:
    """Return *text* as reports contain it."""
    return text[:1024].decode("utf-8", "backslashreplace")


def hour(text: bytes) -> str | None:
    """Return the hour of a time, UTC."""
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.strptime(text.decode("ascii"), "%d/%b/%Y:%H:%M:%S %z")
    except ValueError:
        return None
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z")
