"""What a reader of a log wants to know, and of which requests: the words of the command, understood."""

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

#: What `--only` may name.
NAMES = (*report.KEYS, "signals")
_AGO = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
MEMORY_BYTES_MIN = 48 * 10**6


class InvalidOption(errors.ValidationError):
    """An option of `bursar traffic` has a value that means nothing; the message names both."""

    code = "invalid_option"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    Which requests are counted: those that meet every filter given.

    *since* (included) and *until* (not) are seconds since 1970 UTC; *path* is a glob over the whole
    path, without its query, in which `*` also matches `/`.
    """

    since: int | None = None
    until: int | None = None
    statuses: tuple[range, ...] = ()
    path: str | None = None
    networks: tuple[Network, ...] = ()

    def describe(self) -> list[str]:
        """Say each filter in words."""
        said = [
            f"{word} {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
            for word, at in (("since", self.since), ("until", self.until))
            if at is not None
        ]
        if self.statuses:
            said.append(f"status {' or '.join(map(_status_words, self.statuses))}")
        if self.path is not None:
            said.append(f"path {self.path}")
        if self.networks:
            said.append(f"address in {' or '.join(map(str, self.networks))}")
        return said

    def path_pattern(self) -> re.Pattern[bytes] | None:
        """Return what a path must match wholly."""
        if self.path is None:
            return None
        return re.compile(fnmatch.translate(self.path).encode("utf-8", "surrogateescape"))


def _status_words(statuses: range) -> str:
    return str(statuses.start) if len(statuses) == 1 else f"{statuses.start // 100}xx"


def filters(
    *,
    since: str = "",
    until: str = "",
    statuses: Iterable[str] = (),
    path: str = "",
    networks: Iterable[str] = (),
    now: datetime,
) -> Filters:
    """
    Read the filters' options; *now* is what `2h` counts back from.

    :raises BadQuestion: for the first that means nothing, or an empty span of time.
    """
    begin = moment(since, option="--since", now=now) if since else None
    end = moment(until, option="--until", now=now) if until else None
    if begin is not None and end is not None and begin >= end:
        raise InvalidOption(f"{until!r} is not after --since {since!r}", param="--until")
    return Filters(
        since=begin,
        until=end,
        statuses=tuple(status(text) for text in parts(statuses)),
        path=path or None,
        networks=tuple(network(text, option="--ip") for text in parts(networks)),
    )


def moment(text: str, *, option: str, now: datetime) -> int:
    """
    Read a date (its midnight, UTC), an ISO 8601 moment (UTC if it names no zone) or `2h`, `7d` ago.

    :raises BadQuestion: if it is none of them.
    """
    try:
        if ago := re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip()):
            span = timedelta(seconds=int(ago[1]) * _AGO[ago[2]])
            return int((now - span).timestamp())
        at = datetime.fromisoformat(text.strip())
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise InvalidOption(
            f"{text!r} is no moment; write 2026-11-25, 2026-11-25T14:30Z, or 2h or 7d ago",
            param=option,
        ) from None


def status(text: str) -> range:
    """
    Read `404` or `4xx`.

    :raises BadQuestion: if it is neither, or no status of HTTP (100 to 599).
    """
    if found := re.fullmatch(r"([1-5])([0-9]{2}|xx|XX)", text):
        first = int(found[1]) * 100
        if found[2].lower() == "xx":
            return range(first, first + 100)
        return range(int(text), int(text) + 1)
    raise InvalidOption(f"{text!r} is no status; write 404 or 4xx", param="--status")


def network(text: str, *, option: str) -> Network:
    """
    Read an address or a network such as `192.0.2.0/24`.

    :raises BadQuestion: if it is neither.
    """
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise InvalidOption(
            f"{text!r} is no address or network; write 192.0.2.7 or 2001:db8::/32", param=option
        ) from None


def memory(text: str) -> int:
    """
    Read a number of bytes such as `128MB` or `1GiB`.

    :raises BadQuestion: if it is none, or below `MEMORY_BYTES_MIN`.
    """
    found = re.fullmatch(r"([0-9]{1,15})\s*([A-Za-z]*)", text.strip())
    unit = _BYTES.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise InvalidOption(f"{text!r} is no size; write 128MB or 1GiB", param="--memory")
    if int(found[1]) * unit < MEMORY_BYTES_MIN:
        raise InvalidOption(
            f"{text!r} is too little; at least {MEMORY_BYTES_MIN // 10**6}MB", param="--memory"
        )
    return int(found[1]) * unit


def only(texts: Iterable[str]) -> frozenset[str]:
    """
    Read the names of tables; none named means all.

    :raises BadQuestion: if one is no table.
    """
    named = frozenset(parts(texts))
    if unknown := sorted(named - set(NAMES)):
        raise InvalidOption(
            f"{unknown[0]!r} is no table; known: {', '.join(NAMES)}", param="--only"
        )
    return named or frozenset(NAMES)


def parts(texts: Iterable[str]) -> list[str]:
    """Split values at commas, as a repeatable option may also be given."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]
