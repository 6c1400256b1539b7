"""Check of an HTTP API: the request with its credentials, and the measurements of the response."""

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
    TEXT_CHARACTERS_MAX,
    CheckResult,
    MonitorCheck,
    RawMeasurement,
    failing_source,
)
from bursar.dashboard.config import ssrf
from bursar.dashboard.config.monitors import HttpMonitorConfig, ValueConfig
from bursar.dashboard.fetching.sources import HttpSource, Source
from bursar.dashboard.live_state import Level

#: The prefix of the variables that hold the credentials of user-defined monitors, by host.
VARIABLE_PREFIX: Final = "BURSAR_MONITOR_SECRET_"
_PRINTABLE = re.compile(r"[ -~]+")


def create_check(*, name: str, api: HttpMonitorConfig, is_user_defined: bool) -> MonitorCheck:
    """
    Create the check of an API. The secret is read now, from the environment or the secrets directory.

    With *is_user_defined* only public addresses are called, and the host decides which secret is sent.
    """
    key = f"api:{name}"
    return MonitorCheck(
        key=key,
        title=api.title or name,
        group=api.group or "APIs",
        kind="api",
        source=_source(key, api, is_user_defined=is_user_defined),
        interval_seconds=api.interval_seconds,
        alert_after_seconds=api.alert_after_seconds,
        stale_level=api.stale_level,
        flap_damping=api.flap_damping,
        thresholds={value.name: value.thresholds for value in api.values},
    )


def _source(key: str, api: HttpMonitorConfig, *, is_user_defined: bool) -> Source:
    headers = {"Accept": "application/json"}
    if api.auth != "none":
        variable = secret_variable(api.url) if is_user_defined else api.secret
        secret = _secret(variable)
        if not secret:
            return failing_source(key, f"secret {variable} is not set")
        if not _PRINTABLE.fullmatch(secret):
            return failing_source(key, f"secret {variable} has characters not allowed in a header")
        headers |= _authorization(api, secret)
    return HttpSource(
        key=key,
        url=api.url,
        read=functools.partial(parse_response, api.values),
        headers=headers,
        timeout_seconds=api.timeout_seconds,
        attempt_seconds=api.timeout_seconds if api.timeout_seconds < 4 else api.timeout_seconds / 2,
        is_address_allowed=ssrf.is_public if is_user_defined else None,
    )


def secret_variable(url: str) -> str:
    """
    Return the name of the variable whose value is sent to the host of *url*, and to no other host.

    So the operator of the environment decides where a secret is sent, and not the user who enters
    addresses. A dot is one underscore, a dash two, so that two hosts never share a name.
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


def parse_response(values: tuple[ValueConfig, ...], body: bytes) -> CheckResult:
    """
    Return the measurements of a response.

    :raises errors.ValidationError: if it is not JSON, or does not fit an expression.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.ValidationError("the response is not JSON") from None
    return tuple(_measurement(value, _search(value, document)) for value in values)


def _search(value: ValueConfig, document: Any) -> Any:
    try:
        return jmespath.search(value.path, document)
    except (jmespath.exceptions.JMESPathError, RecursionError, TypeError, ValueError) as error:
        raise errors.ValidationError(
            f"{value.name}: path does not fit the response ({type(error).__name__})"
        ) from None


def _measurement(config: ValueConfig, match: Any) -> RawMeasurement:
    value: float | str | None = None
    if isinstance(match, bool):
        value = "true" if match else "false"
    elif isinstance(match, int | float) and math.isfinite(match) and abs(match) < 1e300:
        value = float(match)
    elif isinstance(match, str):
        value = _text(match)
    level: Level = "warning" if value is None else "ok"
    if config.expected and value != config.expected:
        level = "critical"
    return RawMeasurement(
        name=config.name, value=value, unit=config.unit, level=level, decimals=config.decimals
    )


def _text(text: str) -> str | None:
    """Return *text* as one that can be shown: printable, truncated, and without card numbers."""
    if card_numbers.contains_card_number(text):
        return logs.CARD_MASK
    printable = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for letter in text[:TEXT_CHARACTERS_MAX]
    )
    return printable or None
