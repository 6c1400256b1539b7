"""Calling declared APIs: the request with its secret, and the values of the answer."""

from __future__ import annotations

import base64
import functools
import math
import os
import re
from typing import Any, Final
from urllib.parse import urlsplit

import jmespath
import jmespath.exceptions
import orjson

from bursar import card_numbers, errors, logs, settings
from bursar.dashboard.checks.base import (
    TEXT_LETTERS_MAX,
    Answer,
    MonitorCheck,
    RawMeasurement,
    unable,
)
from bursar.dashboard.config import ssrf
from bursar.dashboard.config.monitors import HttpMonitorConfig, Value
from bursar.dashboard.fetching.sources import HttpSource, Source
from bursar.dashboard.live_state import Level

#: Before the host's name in the variable of what proves who we are to that host alone.
VARIABLE_PREFIX: Final = "BURSAR_MONITOR_SECRET_"
_PRINTABLE = re.compile(r"[ -~]+")


def watch(*, name: str, api: HttpMonitorConfig, entered: bool) -> MonitorCheck:
    """
    Make an API ready to be asked; *entered* by a person it is guarded, and its host names its secret.

    The secret is read now, from the environment or the secrets directory.
    """
    key = f"api:{name}"
    return MonitorCheck(
        key=key,
        title=api.title or name,
        group=api.group or "APIs",
        kind="api",
        source=_source(key, api, entered=entered),
        interval_seconds=api.interval_seconds,
        silence_seconds=api.silence_seconds,
        stale_level=api.stale_level,
        patience=api.patience,
        limits={value.name: value.thresholds for value in api.values},
    )


def _source(key: str, api: HttpMonitorConfig, *, entered: bool) -> Source:
    headers = {"Accept": "application/json"}
    if api.auth != "none":
        variable = secret_of_host(api.url) if entered else api.secret
        secret = _secret(variable)
        if not secret or not _PRINTABLE.fullmatch(secret):
            return unable(key, f"the secret {variable} is {'no header' if secret else 'not set'}")
        headers |= _authorization(api, secret)
    return HttpSource(
        key=key,
        url=api.url,
        read=functools.partial(read, api.values),
        headers=headers,
        timeout_seconds=api.timeout_seconds,
        attempt_seconds=api.timeout_seconds if api.timeout_seconds < 4 else api.timeout_seconds / 2,
        allows=ssrf.is_public if entered else None,
    )


def secret_of_host(url: str) -> str:
    """
    Name the variable of the secret that goes to *url*'s host, and to no other.

    Whoever sets the environment so decides where a secret may go, not who enters addresses. A dot
    is an underscore, a dash two: no two hosts have one name.
    """
    host = (urlsplit(url).hostname or "").replace("-", "__").replace(".", "_").replace(":", "_C")
    return VARIABLE_PREFIX + host.upper()


def _secret(variable: str) -> str:
    directory = settings.current.secrets_dir
    if value := os.environ.get(variable):
        return value
    if directory and (directory / variable).is_file():
        return (directory / variable).read_text(encoding="utf-8").strip()
    return ""


def _authorization(api: HttpMonitorConfig, secret: str) -> dict[str, str]:
    if api.auth == "header":
        return {api.header: secret}
    if api.auth == "bearer":
        return {"Authorization": f"Bearer {secret}"}
    pair = base64.b64encode(f"{api.username}:{secret}".encode()).decode("ascii")
    return {"Authorization": f"Basic {pair}"}


def read(values: tuple[Value, ...], body: bytes) -> Answer:
    """
    The values of an answer.

    :raises errors.ValidationError: if it is no JSON, or not what an expression is for.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.ValidationError("its answer is no JSON") from None
    return tuple(_raw(value, _found(value, told)) for value in values)


def _found(value: Value, told: Any) -> Any:
    try:
        return jmespath.search(value.path, told)
    except (jmespath.exceptions.JMESPathError, RecursionError, TypeError, ValueError) as error:
        raise errors.ValidationError(
            f"{value.name}: its path does not fit the answer ({type(error).__name__})"
        ) from None


def _raw(value: Value, found: Any) -> RawMeasurement:
    shown: float | str | None = None
    if isinstance(found, bool):
        shown = "true" if found else "false"
    elif isinstance(found, int | float) and math.isfinite(found) and abs(found) < 1e300:
        shown = float(found)
    elif isinstance(found, str):
        shown = _text(found)
    level: Level = "warning" if shown is None else "ok"
    if value.expected and shown != value.expected:
        level = "critical"
    return RawMeasurement(name=value.name, value=shown, unit=value.unit, level=level)


def _text(found: str) -> str | None:
    """A text that can be shown: a number written as text is one; a card number is not shown."""
    if card_numbers.contains_card_number(found):
        return logs.CARD_MASK
    printable = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for letter in found[:TEXT_LETTERS_MAX]
    )
    return printable or None
