"""
Serialization of statuses as JSON and as server-sent events.

An event id names a version of the live state of one process, such as `3f2a9c01-17`. A client that
reconnects with one receives the changes since then; with any other text, a snapshot.
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

#: The reconnection time of clients.
RETRY_MILLISECONDS: Final = 1_000
#: Identifies this process in event ids: versions are of one process only.
_PROCESS: Final = secrets.token_hex(4)
_EVENT_ID: Final = re.compile(rf"{_PROCESS}-([0-9]{{1,15}})")
#: Enough for a sparkline about fifty pixels high.
_SPARKLINE_DIGITS: Final = 4


def format_event_id(version: int) -> str:
    """Return the event id of *version* in this process."""
    return f"{_PROCESS}-{version}"


def parse_event_id(event_id: str) -> int:
    """Return the version of *event_id*; 0, for a snapshot, if it is not of this process."""
    match = _EVENT_ID.fullmatch(event_id)
    return int(match[1]) if match else 0


def snapshot(statuses: Iterable[SourceStatus], *, version: int, now: datetime) -> bytes:
    """Return all statuses as one JSON object."""
    return _object(statuses, version=version, now=now, more=b"")


def change_event(changes: Changes, *, now: datetime) -> bytes:
    """Return the event `snapshot` (all statuses) or `changes` (those that changed)."""
    removed = b',"removed":' + orjson.dumps(changes.removed)
    data = _object(changes.statuses, version=changes.version, now=now, more=removed)
    name = b"snapshot" if changes.is_snapshot else b"changes"
    event_id = format_event_id(changes.version).encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id, name, data)


def heartbeat(*, now: datetime) -> bytes:
    """Return the event `heartbeat`; it has no id."""
    return b'event: heartbeat\ndata: {"server_time":%s}\n\n' % _timestamp(now)


def retry() -> bytes:
    """Return the start of a stream: the reconnection time."""
    return b"retry: %d\n\n" % RETRY_MILLISECONDS


def _object(statuses: Iterable[SourceStatus], *, version: int, now: datetime, more: bytes) -> bytes:
    return b'{"object":"dashboard","last_event_id":"%s","server_time":%s,"data":[%s]%s}' % (
        format_event_id(version).encode(),
        _timestamp(now),
        b",".join(map(_status, statuses)),
        more,
    )


def _timestamp(at: datetime) -> bytes:
    return orjson.dumps(at, option=orjson.OPT_UTC_Z)


@functools.lru_cache(maxsize=4_096)
def _status(status: SourceStatus) -> bytes:
    """Serialize one status; cached, because all listeners receive the same ones."""
    tile = {
        "key": status.key,
        "title": status.title,
        "group": status.group,
        "kind": status.kind,
        "state": status.state,
        "measurements": [
            {
                "name": each.name,
                "value": each.value,
                "unit": each.unit,
                "level": each.level,
                "decimals": each.decimals,
            }
            for each in status.measurements
        ],
        "last_success_at": status.last_success_at,
        "state_since": status.state_since,
        "reason": status.reason,
        "duration_seconds": status.duration_seconds,
        "interval_seconds": status.interval_seconds,
        "sparkline": [float(f"{point:.{_SPARKLINE_DIGITS}g}") for point in status.sparkline],
    }
    return orjson.dumps(tile, option=orjson.OPT_UTC_Z)
