"""
Convert JSON lines to tab-separated lines, so that later steps are the same for every format.

Supported are the field names of nginx, Caddy, Traefik and Bursar, and the names that most
`log_format ... escape=json` texts use for nginx variables. Control characters and tabs in values become
spaces, so that no value can inject a field or a line.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

import msgspec
import numpy as np

from bursar.accesslog.parsing import blocks
from bursar.accesslog.parsing.blocks import Block
from bursar.accesslog.parsing.byte_search import SLACK
from bursar.accesslog.parsing.formats import JSON_FIELDS

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Possible names of each field, the most common first; a dot separates the names of nested objects.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "client": (
        "client",
        "remote_addr",
        "ClientHost",
        "request.client_ip",
        "request.remote_ip",
        "client_ip",
        "remote_ip",
        "remoteAddr",
    ),
    "epoch": (
        "timestamp",
        "time",
        "ts",
        "time_iso8601",
        "time_local",
        "msec",
        "StartUTC",
        "@timestamp",
    ),
    "method": ("method", "request_method", "RequestMethod", "request.method"),
    "path": ("path", "request_uri", "RequestPath", "request.uri", "uri"),
    "status": ("status", "DownstreamStatus", "OriginStatus", "response_status"),
    "bytes": ("bytes", "body_bytes_sent", "bytes_sent", "DownstreamContentSize", "size"),
    "referrer": ("referrer", "http_referer", "request_Referer", "referer", "http_referrer"),
    "agent": ("agent", "http_user_agent", "request_User-Agent", "user_agent"),
    "host": ("host", "RequestHost", "request.host", "http_host", "server_name"),
    "forwarded": (
        "forwarded",
        "http_x_forwarded_for",
        "request_X-Forwarded-For",
        "x_forwarded_for",
    ),
}
#: Names of durations, and their unit in microseconds.
_DURATIONS = {
    "milliseconds": 1e3,
    "request_time": 1e6,
    "duration": 1e6,
    "Duration": 1e-3,
    "duration_ms": 1e3,
    "duration_us": 1.0,
}
_METHOD_LETTERS_MAX = 20
#: Larger numbers are not times; a number above `_SECONDS_MAX` (year 5138) is not in seconds.
_NUMBER_MAX, _SECONDS_MAX = 1e20, 1e11
_decode = msgspec.json.Decoder().decode


def is_json_object(line: bytes) -> bool:
    """Whether *line* is a JSON object."""
    return _object(line) is not None


def has_client(line: bytes) -> bool:
    """Whether *line* is a JSON object with a client."""
    entry = _object(line)
    return entry is not None and bool(_field(entry, "client"))


def to_tab_separated(block: Block) -> Block:
    """Return *block* with tab-separated lines; a line that is not a JSON object becomes empty."""
    lines = [
        _line(bytes(block.raw[start:end]))
        for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True)
    ]
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    text = b"\n".join(lines)
    raw = bytearray(SLACK + len(text) + SLACK + 8)
    raw[SLACK : SLACK + len(text)] = text
    starts = SLACK + np.concatenate(([0], np.cumsum(lengths + 1)[:-1]))
    return Block(
        raw, np.frombuffer(raw, np.uint8), starts, starts + lengths, (SLACK, SLACK + len(text))
    )


def _object(line: bytes) -> dict[str, Any] | None:
    if line[:1] != b"{":
        return None
    try:
        decoded = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _line(line: bytes) -> bytes:
    entry = _object(line)
    if entry is None or not _field(entry, "client"):
        return b""  # application logs also contain lines that are not requests
    row = b"\t".join([_text(_value(entry, field)) for field in JSON_FIELDS])
    return row if len(row) <= blocks.LINE_BYTES_MAX else b""


def _value(entry: dict[str, Any], field: str) -> object:
    if field == "micros":
        return _micros(entry)
    if field == "epoch":
        return _epoch(_field(entry, field))
    if field in ("method", "path") and isinstance(entry.get("request"), str):
        method, path = _split_request(entry["request"])
        return method if field == "method" else path
    if field in ("agent", "referrer") and isinstance(entry.get("request"), dict):
        headers = entry["request"].get("headers")
        named = (
            headers.get("User-Agent" if field == "agent" else "Referer")
            if isinstance(headers, dict)
            else None
        )
        return named[0] if isinstance(named, list) and named else named
    return _field(entry, field)


def _split_request(text: str) -> tuple[str, str]:
    """Return method and path; an invalid request has no method and is its own path."""
    method, blank, rest = text.partition(" ")
    if not blank or len(method) > _METHOD_LETTERS_MAX or not "A" <= method[:1] <= "Z":
        return "", text
    return method, rest.partition(" ")[0]


def _field(entry: dict[str, Any], field: str) -> object:
    for name in _NAMES[field]:
        outer, _, inner = name.partition(".")
        value = entry.get(outer)
        if inner:
            value = value.get(inner) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


def _micros(entry: dict[str, Any]) -> int | str:
    for name, unit in _DURATIONS.items():
        value = entry.get(name)
        if isinstance(value, str):
            value = _float(value)
        if _is_number(value) and 0 <= value < _NUMBER_MAX:
            return round(value * unit)
    return ""


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _epoch(value: object) -> object:
    if _is_number(value):
        return _seconds(value)
    return _epoch_of(value) if isinstance(value, str) and len(value) < 64 else ""


def _seconds(number: float) -> int | str:
    """Return seconds from a time in seconds, milliseconds, microseconds or nanoseconds."""
    if not 0 <= number < _NUMBER_MAX:
        return ""
    while number >= _SECONDS_MAX:
        number //= 1000
    return int(number)


@functools.lru_cache(1 << 12)
def _epoch_of(text: str) -> int | str:
    if (number := _float(text)) is not None:
        return _seconds(number)
    try:
        if "/" in text:
            at = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")
        else:
            at = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _text(value: object) -> bytes:
    if value is None:
        return b"-"
    if isinstance(value, (dict, list)):
        return b""
    return _CONTROL.sub(" ", str(value)).encode("utf-8", "surrogatepass")
