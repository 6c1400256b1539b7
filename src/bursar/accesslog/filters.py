"""Parse the command's filters and options."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bursar import errors
from bursar.accesslog import report

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The values of `--tables`.
TABLE_NAMES = (*report.KEYS, "signals")
_AGO = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
MEMORY_BYTES_MIN = 48 * 10**6


class InvalidOption(errors.ValidationError):
    """An option of `bursar traffic` has an invalid value; the message names both."""

    code = "invalid_option"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    Selects the requests to count: those that match every filter.

    *since* (inclusive) and *until* (exclusive) are seconds since 1970 UTC; *path* is a glob for the
    complete path without its query, in which `*` also matches `/`.
    """

    since: int | None = None
    until: int | None = None
    statuses: tuple[range, ...] = ()
    path: str | None = None
    networks: tuple[Network, ...] = ()

    def describe(self) -> list[str]:
        """Return each filter as text; equal filters have equal texts."""
        descriptions = [
            f"{label} {_time_text(at)}"
            for label, at in (("since", self.since), ("until", self.until))
            if at is not None
        ]
        if self.statuses:
            descriptions.append(f"status {' or '.join(map(_status_text, self.statuses))}")
        if self.path is not None:
            descriptions.append(f"path {self.path}")
        if self.networks:
            descriptions.append(f"address in {' or '.join(map(str, self.networks))}")
        return descriptions

    def path_pattern(self) -> re.Pattern[bytes] | None:
        """Return the pattern that a path must match from its start to its end."""
        if self.path is None:
            return None
        return re.compile(fnmatch.translate(self.path).encode("utf-8", "surrogateescape"))


def _time_text(epoch: int) -> str:
    at = datetime.fromtimestamp(epoch, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S UTC}" if at.second else f"{at:%Y-%m-%d %H:%M UTC}"


def _status_text(statuses: range) -> str:
    return str(statuses.start) if len(statuses) == 1 else f"{statuses.start // 100}xx"


def parse_filters(
    *,
    since: str = "",
    until: str = "",
    statuses: Iterable[str] = (),
    path: str = "",
    networks: Iterable[str] = (),
    now: datetime,
) -> Filters:
    """
    Parse the options of the filters; relative times such as `2h` count back from *now*.

    :raises InvalidOption: for the first invalid option, or if *until* is not after *since*.
    """
    begin = parse_time(since, option="--since", now=now) if since else None
    end = parse_time(until, option="--until", now=now) if until else None
    if begin is not None and end is not None and begin >= end:
        raise InvalidOption(f"{until!r} is not after --since {since!r}", param="--until")
    return Filters(
        since=begin,
        until=end,
        statuses=tuple(parse_status(text) for text in split_values(statuses)),
        path=path or None,
        networks=tuple(parse_network(text, option="--ip") for text in split_values(networks)),
    )


def parse_time(text: str, *, option: str, now: datetime) -> int:
    """
    Parse a date (midnight UTC), an ISO 8601 time (UTC if it has no zone), or `2h`, `7d` before *now*.

    :raises InvalidOption: if it is none of them; the message names *option*.
    """
    try:
        if ago := re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip()):
            span = timedelta(seconds=int(ago[1]) * _AGO[ago[2]])
            return int((now - span).timestamp())
        at = datetime.fromisoformat(text.strip())
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise InvalidOption(
            f"{text!r} is not a time; use 2026-11-25, 2026-11-25T14:30Z, or 2h, 7d for a time ago",
            param=option,
        ) from None


def parse_status(text: str) -> range:
    """
    Parse `404` or `4xx`.

    :raises InvalidOption: if it is neither, or not an HTTP status (100 to 599).
    """
    if match := re.fullmatch(r"([1-5])([0-9]{2}|xx|XX)", text):
        first = int(match[1]) * 100
        if match[2].lower() == "xx":
            return range(first, first + 100)
        return range(int(text), int(text) + 1)
    raise InvalidOption(f"{text!r} is not an HTTP status; use 404 or 4xx", param="--status")


def parse_network(text: str, *, option: str) -> Network:
    """
    Parse an address, or a network such as `192.0.2.0/24`.

    :raises InvalidOption: if it is neither; the message names *option*.
    """
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise InvalidOption(
            f"{text!r} is not an address or network; use 192.0.2.7 or 2001:db8::/32", param=option
        ) from None


def parse_memory(text: str) -> int:
    """
    Parse a size such as `128MB` or `1GiB`; return bytes.

    :raises InvalidOption: if it is not a size, or below `MEMORY_BYTES_MIN`.
    """
    match = re.fullmatch(r"([0-9]{1,15})\s*([A-Za-z]*)", text.strip())
    unit = _BYTES.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise InvalidOption(f"{text!r} is not a size; use 128MB or 1GiB", param="--memory")
    if int(match[1]) * unit < MEMORY_BYTES_MIN:
        raise InvalidOption(
            f"{text!r} is too small; the minimum is {MEMORY_BYTES_MIN // 10**6}MB", param="--memory"
        )
    return int(match[1]) * unit


def parse_tables(texts: Iterable[str]) -> frozenset[str]:
    """
    Parse table names; no name means all tables.

    :raises InvalidOption: if a name is unknown.
    """
    named = frozenset(split_values(texts))
    if unknown := sorted(named - set(TABLE_NAMES)):
        raise InvalidOption(
            f"{unknown[0]!r} is not a table; use {', '.join(TABLE_NAMES)}", param="--tables"
        )
    return named or frozenset(TABLE_NAMES)


def split_values(texts: Iterable[str]) -> list[str]:
    """Split the values of a repeatable option at commas."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]
