"""
The board as JSON and as server-sent events.

A *position* names a state of the board, `3f2a9c01-17`: this process, and the board's version there.
Whoever comes back with one is told what changed since; with any other text, the whole board.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import orjson

from bursar.dashboard.live_state import Changes, SourceStatus

#: So long a listener whose connection ended waits before it comes back.
RETRY_MILLISECONDS: Final = 1_000
#: Versions are of one process only.
_PROCESS: Final = secrets.token_hex(4)
_POSITION: Final = re.compile(rf"{_PROCESS}-([0-9]{{1,15}})")
#: A sparkline is some fifty pixels high.
_SPARK_DIGITS: Final = 4


def position(version: int) -> str:
    """The position of the board's *version* in this process."""
    return f"{_PROCESS}-{version}"


def version(position: str) -> int:
    """The version that *position* names; 0, which is before everything, if it is none of ours."""
    found = _POSITION.fullmatch(position)
    return int(found[1]) if found else 0


def snapshot(views: Iterable[SourceStatus], *, version: int, now: datetime) -> bytes:
    """The whole board as one JSON object."""
    return _object(views, version=version, now=now, more=b"")


def event(changes: Changes, *, now: datetime) -> bytes:
    """What changed as one event: `board` where it is everything, else `changes`."""
    removed = b',"removed":' + orjson.dumps(changes.removed)
    data = _object(changes.views, version=changes.version, now=now, more=removed)
    name = b"board" if changes.whole else b"changes"
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (position(changes.version).encode(), name, data)


def heartbeat(*, now: datetime) -> bytes:
    """A sign of life; it moves no position."""
    return b'event: beat\ndata: {"at":%s}\n\n' % _moment(now)


def retry() -> bytes:
    """How a stream begins: when to come back after it has ended."""
    return b"retry: %d\n\n" % RETRY_MILLISECONDS


def _object(views: Iterable[SourceStatus], *, version: int, now: datetime, more: bytes) -> bytes:
    return b'{"object":"dashboard","position":"%s","at":%s,"data":[%s]%s}' % (
        position(version).encode(),
        _moment(now),
        b",".join(map(_view, views)),
        more,
    )


def _moment(moment: datetime) -> bytes:
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)


@functools.lru_cache(maxsize=4_096)
def _view(view: SourceStatus) -> bytes:
    """One view; many listeners are told the same ones."""
    told = {
        "key": view.key,
        "title": view.title,
        "group": view.group,
        "kind": view.kind,
        "state": view.state,
        "readings": [
            {"name": each.name, "value": each.value, "unit": each.unit, "level": each.level}
            for each in view.readings
        ],
        "as_of": view.as_of,
        "since": view.since,
        "reason": view.reason,
        "seconds": view.seconds,
        "interval_seconds": view.interval_seconds,
        "spark": [float(f"{point:.{_SPARK_DIGITS}g}") for point in view.spark],
    }
    return orjson.dumps(told, option=orjson.OPT_UTC_Z)
