"""
Declarations: an API or a certificate to watch, as the file or a person tells it, checked whole.

Both roads meet here, so that what the file may say a person may enter, but for two things: a
person names no secret (the address's host decides which one is sent), and reaches no private host.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import jmespath
import jmespath.exceptions
import msgspec

from bursar import errors, fields
from bursar.dashboard.models import INTERVAL_SECONDS_MAX, INTERVAL_SECONDS_MIN
from bursar.dashboard.thresholds import FlapDamping, Thresholds

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
VALUES_MAX: Final = 20
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45}")
_URL_LETTERS_MAX, _PATH_LETTERS_MAX = 2000, 300


class InvalidMonitorConfig(errors.ValidationError):
    """What is to be watched is declared wrongly; the message tells where, and why."""

    code = "invalid_monitor_config"


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value of an answer: *path* is a JMESPath expression that gives a number or a text."""

    name: str
    path: str
    unit: str = ""
    warning_above: float | None = None
    warning_below: float | None = None
    critical_above: float | None = None
    critical_below: float | None = None
    margin: float | None = None
    expected: str = ""
    """The text it should be; any other is critical."""

    @property
    def thresholds(self) -> Thresholds:
        """Its thresholds."""
        return Thresholds(
            warning_above=self.warning_above,
            warning_below=self.warning_below,
            critical_above=self.critical_above,
            critical_below=self.critical_below,
            margin=self.margin,
        )


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sources have: where they stand on the board, and how patient one is with them."""

    title: str = ""
    group: str = ""
    interval_seconds: int = 60
    timeout_seconds: float = 10.0
    stale_after_seconds: int = 0
    """After how long without a value that is worth an alert; 0: three intervals."""

    stale_level: Literal["warning", "critical"] = "critical"
    worse_after: int = 2
    better_after: int = 3

    @property
    def patience(self) -> FlapDamping:
        """How many observations begin and end an alert."""
        return FlapDamping(worse=self.worse_after, better=self.better_after)

    @property
    def silence_seconds(self) -> float:
        """After how long without a value it is stale enough to tell."""
        return float(self.stale_after_seconds or 3 * self.interval_seconds)


class HttpMonitorConfig(MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API: GET *url* answers JSON, of which *values* are shown."""

    url: str
    auth: Literal["none", "bearer", "header", "basic"] = "none"
    secret: str = ""
    """The variable, or the file of the secrets directory, that holds the secret."""

    header: str = ""
    username: str = ""
    values: tuple[Value, ...] = ()


class CertificateMonitorConfig(
    MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The certificate that *host* shows: how many days it is still good for."""

    host: str
    port: int = 443
    warning_days: float = 21
    critical_days: float = 7
    ca_file: str = ""
    interval_seconds: int = 3600


class ProviderAccountMonitorConfig(
    MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A provider account; thresholds for what its tile shows, by the reading's name."""

    watch: bool = True
    readings: dict[str, Limits] = {}


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds by themselves."""

    warning_above: float | None = None
    warning_below: float | None = None
    critical_above: float | None = None
    critical_below: float | None = None
    margin: float | None = None

    @property
    def thresholds(self) -> Thresholds:
        """As the judge takes them."""
        return Thresholds(**msgspec.structs.asdict(self))


class InvalidValue(Exception):
    """What is wrong, and in which field, such as `values[0].path`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def api(told: Mapping[str, Any], *, entered: bool = False) -> HttpMonitorConfig:
    """
    Check an API; *entered* by a person it may name no secret.

    :raises Wrong: at the first thing that is not right.
    """
    made = _converted(told, HttpMonitorConfig)
    _check_watched(made)
    _check_url(made.url)
    _check_auth(made, entered=entered)
    if len(made.values) > VALUES_MAX:
        raise InvalidValue("values", f"at most {VALUES_MAX}")
    names = set()
    for number, value in enumerate(made.values):
        _check_value(value, f"values[{number}]")
        if value.name in names:
            raise InvalidValue(f"values[{number}].name", f"{value.name!r} is there twice")
        names.add(value.name)
    return made


def certificate(told: Mapping[str, Any]) -> CertificateMonitorConfig:
    """:raises Wrong: at the first thing that is not right."""
    made = _converted(told, CertificateMonitorConfig)
    _check_watched(made)
    if not _HOST.fullmatch(made.host):
        raise InvalidValue("host", "a host's name or address, without scheme and path")
    if not 1 <= made.port <= 65_535:
        raise InvalidValue("port", "a number from 1 to 65535")
    if not 0 <= made.critical_days <= made.warning_days:
        raise InvalidValue("critical_days", "0 or more, and not more than warning_days")
    return made


def account(told: Mapping[str, Any]) -> ProviderAccountMonitorConfig:
    """:raises Wrong: at the first thing that is not right."""
    made = _converted(told, ProviderAccountMonitorConfig)
    _check_watched(made)
    for name, limits in made.readings.items():
        _check_limits(limits.thresholds, f"readings.{name}")
    return made


_Kind = TypeVar("_Kind")


def _converted(told: Mapping[str, Any], kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidValue(
            path.removesuffix("`").removeprefix("."), reason[:1].lower() + reason[1:]
        ) from None


def _text(field: str, text: str, letters_max: int, *, required: bool = False) -> None:
    try:
        fields.validate_text(field, text, letters_max, required=required)
    except errors.ValidationError as error:
        raise InvalidValue(field, error.message) from None
    if not text.isprintable():
        raise InvalidValue(field, "a text without control letters")


def _check_watched(made: MonitorConfig) -> None:
    _text("title", made.title, 120)
    _text("group", made.group, 80)
    if not INTERVAL_SECONDS_MIN <= made.interval_seconds <= INTERVAL_SECONDS_MAX:
        raise InvalidValue(
            "interval_seconds", f"from {INTERVAL_SECONDS_MIN} to {INTERVAL_SECONDS_MAX}"
        )
    if not 0.1 <= made.timeout_seconds <= 60:
        raise InvalidValue("timeout_seconds", "from 0.1 to 60")
    if made.stale_after_seconds and made.stale_after_seconds < made.interval_seconds:
        raise InvalidValue("stale_after_seconds", "not less than the interval")
    for field in ("worse_after", "better_after"):
        if not 1 <= getattr(made, field) <= 100:
            raise InvalidValue(field, "from 1 to 100")


def _check_url(url: str) -> None:
    _text("url", url, _URL_LETTERS_MAX, required=True)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidValue("url", "an address such as https://api.example.com/rates") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0 or not url.isascii():
        raise InvalidValue("url", "an address such as https://api.example.com/rates")
    if parts.username is not None or parts.password is not None:
        raise InvalidValue("url", "no user or password in it: use auth")
    if parts.fragment or "\\" in url or " " in url:
        raise InvalidValue("url", "no fragment, blank or backslash in it")
    if not _HOST.fullmatch(host):
        raise InvalidValue("url", "its host is no name and no address")


def _check_auth(made: HttpMonitorConfig, *, entered: bool) -> None:
    if (made.auth == "header") != bool(made.header):
        raise InvalidValue("header", 'with auth = "header", and only then')
    if made.header and not _HEADER.fullmatch(made.header):
        raise InvalidValue("header", "the name of a header, such as X-Api-Key")
    if made.header.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
        raise InvalidValue("header", "this header is not one to authenticate with")
    if (made.auth == "basic") != bool(made.username):
        raise InvalidValue("username", 'with auth = "basic", and only then')
    _text("username", made.username, 100)
    if entered and made.secret:
        raise InvalidValue("secret", "the host decides which secret is sent")
    if made.auth == "none" and made.secret:
        raise InvalidValue("secret", "only with an auth that sends it")
    if made.auth != "none" and not entered and not _VARIABLE.fullmatch(made.secret):
        raise InvalidValue(
            "secret", "the name of a variable, such as RATES_TOKEN, never the secret"
        )
    if made.auth != "none" and entered and not made.url.startswith("https://"):
        raise InvalidValue("url", "a secret is sent by https only")


def _check_value(value: Value, where: str) -> None:
    _text(f"{where}.name", value.name, 60, required=True)
    _text(f"{where}.unit", value.unit, 20)
    _text(f"{where}.expected", value.expected, 200)
    _text(f"{where}.path", value.path, _PATH_LETTERS_MAX, required=True)
    try:
        made = jmespath.compile(value.path)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError) as error:
        why = str(error).split("\n", 1)[0]
        raise InvalidValue(f"{where}.path", f"no JMESPath expression: {why[:120]}") from None
    # Several of them, one after the other, double what there is each time: 300 letters would
    # make more of a small answer than memory holds.
    if _multiples(made.parsed) > 1:
        raise InvalidValue(f"{where}.path", "at most one [a, b] or {a: b} in an expression")
    _check_limits(value.thresholds, where)


def _multiples(node: Any) -> int:
    """How many lists or objects an expression makes by itself."""
    if not isinstance(node, dict):
        return 0
    makes = node.get("type") in {"multi_select_list", "multi_select_dict"}
    return makes + sum(_multiples(child) for child in node.get("children", ()))


def _check_limits(limits: Thresholds, where: str) -> None:
    for field in ("warning_above", "warning_below", "critical_above", "critical_below", "margin"):
        number = getattr(limits, field)
        if number is not None and not math.isfinite(number):
            raise InvalidValue(f"{where}.{field}", "a number that is finite")
    if limits.margin is not None and limits.margin < 0:
        raise InvalidValue(f"{where}.margin", "0 or more")
    high, low = limits.warning_above, limits.critical_above
    if high is not None and low is not None and low < high:
        raise InvalidValue(f"{where}.critical_above", "not below warning_above")
    high, low = limits.warning_below, limits.critical_below
    if high is not None and low is not None and low > high:
        raise InvalidValue(f"{where}.critical_below", "not above warning_below")
