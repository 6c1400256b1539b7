"""
Configuration of a monitor, from the file or from a user of the back office, and its validation.

Both sources have the same fields, with two exceptions: a user names no secret (the host decides which
one is sent), and reaches no private host.
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
NAME_RULE: Final = "must be 1 to 60 lowercase letters, digits, - or _"
VALUES_MAX: Final = 20
DECIMALS_MAX: Final = 6
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45}")
_URL_CHARACTERS_MAX, _PATH_CHARACTERS_MAX = 2000, 300
_URL_RULE: Final = "must be an address such as https://api.example.com/rates"


class InvalidMonitorConfig(errors.ValidationError):
    """The configuration of a monitor is invalid; the message names the field and the rule."""

    code = "invalid_monitor_config"


class ValueConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value of a response: *path* is a JMESPath expression that yields a number or a text."""

    name: str
    path: str
    unit: str = ""
    decimals: int | None = None
    """The number of decimal places to show."""

    warning_above: float | None = None
    warning_below: float | None = None
    critical_above: float | None = None
    critical_below: float | None = None
    margin: float | None = None
    expected: str = ""
    """The expected text; any other value is critical."""

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the value."""
        return Thresholds(
            warning_above=self.warning_above,
            warning_below=self.warning_below,
            critical_above=self.critical_above,
            critical_below=self.critical_below,
            margin=self.margin,
        )


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of every monitor: its place on the dashboard, its interval, and its alert rules."""

    title: str = ""
    group: str = ""
    interval_seconds: int = 60
    timeout_seconds: float = 10.0
    stale_after_seconds: int = 0
    """The time without a successful check after which an alert is raised; 0: three intervals."""

    stale_level: Literal["warning", "critical"] = "critical"
    failure_threshold: int = 2
    success_threshold: int = 3

    @property
    def flap_damping(self) -> FlapDamping:
        """The numbers of checks that begin and end an alert."""
        return FlapDamping(
            failure_threshold=self.failure_threshold, success_threshold=self.success_threshold
        )

    @property
    def alert_after_seconds(self) -> float:
        """`stale_after_seconds` with its default applied."""
        return float(self.stale_after_seconds or 3 * self.interval_seconds)


class HttpMonitorConfig(MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An HTTP API: a GET of *url* returns JSON, of which *values* are measured."""

    url: str
    auth: Literal["none", "bearer", "header", "basic"] = "none"
    secret: str = ""
    """The variable, or the file of the secrets directory, that holds the secret."""

    header: str = ""
    username: str = ""
    values: tuple[ValueConfig, ...] = ()


class CertificateMonitorConfig(
    MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The TLS certificate of *host*, with thresholds in days until it expires."""

    host: str
    port: int = 443
    warning_days: float = 21
    critical_days: float = 7
    ca_file: str = ""
    interval_seconds: int = 3600


class ProviderAccountMonitorConfig(
    MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A provider account, with thresholds by the name of the measurement."""

    enabled: bool = True
    measurements: dict[str, ThresholdConfig] = {}


class ThresholdConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds of one measurement."""

    warning_above: float | None = None
    warning_below: float | None = None
    critical_above: float | None = None
    critical_below: float | None = None
    margin: float | None = None

    @property
    def thresholds(self) -> Thresholds:
        """The same as `Thresholds`."""
        return Thresholds(**msgspec.structs.asdict(self))


class InvalidValue(Exception):
    """A field, such as `values[0].path`, and why its value is invalid."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def parse_http_monitor(
    table: Mapping[str, Any], *, is_user_defined: bool = False
) -> HttpMonitorConfig:
    """
    Validate the table of an API; with *is_user_defined* it must not name a secret.

    :raises InvalidValue: for the first invalid field.
    """
    config = _convert(table, HttpMonitorConfig)
    _validate_common(config)
    _validate_url(config.url)
    _validate_auth(config, is_user_defined=is_user_defined)
    if len(config.values) > VALUES_MAX:
        raise InvalidValue("values", f"must be at most {VALUES_MAX}")
    names = set()
    for number, value in enumerate(config.values):
        _validate_value(value, f"values[{number}]")
        if value.name in names:
            raise InvalidValue(f"values[{number}].name", f"{value.name!r} is a duplicate")
        names.add(value.name)
    return config


def parse_certificate_monitor(table: Mapping[str, Any]) -> CertificateMonitorConfig:
    """
    Validate the table of a certificate.

    :raises InvalidValue: for the first invalid field.
    """
    config = _convert(table, CertificateMonitorConfig)
    _validate_common(config)
    if not _HOST.fullmatch(config.host):
        raise InvalidValue("host", "must be a host name or IP address, without scheme and path")
    if not 1 <= config.port <= 65_535:
        raise InvalidValue("port", "must be from 1 to 65535")
    if not 0 <= config.critical_days <= config.warning_days:
        raise InvalidValue("critical_days", "must be from 0 to warning_days")
    return config


def parse_account_monitor(table: Mapping[str, Any]) -> ProviderAccountMonitorConfig:
    """
    Validate the table of a provider account.

    :raises InvalidValue: for the first invalid field.
    """
    config = _convert(table, ProviderAccountMonitorConfig)
    _validate_common(config)
    for name, limits in config.measurements.items():
        _validate_thresholds(limits.thresholds, f"measurements.{name}")
    return config


_Config = TypeVar("_Config")


def _convert(table: Mapping[str, Any], kind: type[_Config]) -> _Config:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidValue(
            path.removesuffix("`").removeprefix("."), reason[:1].lower() + reason[1:]
        ) from None


def _validate_text(field: str, text: str, length_max: int, *, required: bool = False) -> None:
    try:
        fields.validate_text(field, text, length_max, required=required)
    except errors.ValidationError as error:
        raise InvalidValue(field, error.message) from None
    if not text.isprintable():
        raise InvalidValue(field, "must not contain control characters")


def _validate_common(config: MonitorConfig) -> None:
    _validate_text("title", config.title, 120)
    _validate_text("group", config.group, 80)
    if not INTERVAL_SECONDS_MIN <= config.interval_seconds <= INTERVAL_SECONDS_MAX:
        raise InvalidValue(
            "interval_seconds", f"must be from {INTERVAL_SECONDS_MIN} to {INTERVAL_SECONDS_MAX}"
        )
    if not 0.1 <= config.timeout_seconds <= 60:
        raise InvalidValue("timeout_seconds", "must be from 0.1 to 60")
    if config.stale_after_seconds and config.stale_after_seconds < config.interval_seconds:
        raise InvalidValue("stale_after_seconds", "must not be less than interval_seconds")
    for field in ("failure_threshold", "success_threshold"):
        if not 1 <= getattr(config, field) <= 100:
            raise InvalidValue(field, "must be from 1 to 100")


def _validate_url(url: str) -> None:
    _validate_text("url", url, _URL_CHARACTERS_MAX, required=True)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidValue("url", _URL_RULE) from None
    if parts.scheme not in {"http", "https"} or not host or port == 0 or not url.isascii():
        raise InvalidValue("url", _URL_RULE)
    if parts.username is not None or parts.password is not None:
        raise InvalidValue("url", "must not contain a user name or password: use auth")
    if parts.fragment or "\\" in url or " " in url:
        raise InvalidValue("url", "must not contain a fragment, space or backslash")
    if not _HOST.fullmatch(host):
        raise InvalidValue("url", "its host must be a host name or IP address")


def _validate_auth(config: HttpMonitorConfig, *, is_user_defined: bool) -> None:
    if (config.auth == "header") != bool(config.header):
        raise InvalidValue("header", 'is required with auth = "header", and only then')
    if config.header and not _HEADER.fullmatch(config.header):
        raise InvalidValue("header", "must be the name of a header, such as X-Api-Key")
    if config.header.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
        raise InvalidValue("header", "is not a header for authentication")
    if (config.auth == "basic") != bool(config.username):
        raise InvalidValue("username", 'is required with auth = "basic", and only then')
    _validate_text("username", config.username, 100)
    _validate_secret(config, is_user_defined=is_user_defined)


def _validate_secret(config: HttpMonitorConfig, *, is_user_defined: bool) -> None:
    if is_user_defined and config.secret:
        raise InvalidValue("secret", "is not allowed: the host decides which secret is sent")
    if config.auth == "none" and config.secret:
        raise InvalidValue("secret", "requires auth")
    if config.auth != "none" and not is_user_defined and not _VARIABLE.fullmatch(config.secret):
        raise InvalidValue(
            "secret", "must be the name of a variable, such as RATES_TOKEN, not the secret itself"
        )
    if config.auth != "none" and is_user_defined and not config.url.startswith("https://"):
        raise InvalidValue("url", "must be https: a secret is sent over https only")


def _validate_value(value: ValueConfig, where: str) -> None:
    _validate_text(f"{where}.name", value.name, 60, required=True)
    _validate_text(f"{where}.unit", value.unit, 20)
    _validate_text(f"{where}.expected", value.expected, 200)
    _validate_text(f"{where}.path", value.path, _PATH_CHARACTERS_MAX, required=True)
    if value.decimals is not None and not 0 <= value.decimals <= DECIMALS_MAX:
        raise InvalidValue(f"{where}.decimals", f"must be from 0 to {DECIMALS_MAX}")
    try:
        expression = jmespath.compile(value.path)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError) as error:
        why = str(error).split("\n", 1)[0].removeprefix("Invalid jmespath expression: ")
        raise InvalidValue(f"{where}.path", f"invalid JMESPath expression: {why[:120]}") from None
    # Each nested one doubles the size of the result: 300 characters could exceed the memory.
    if _count_multi_selects(expression.parsed) > 1:
        raise InvalidValue(f"{where}.path", "must not have more than one [a, b] or {a: b}")
    _validate_thresholds(value.thresholds, where)


def _count_multi_selects(node: Any) -> int:
    """Return how many lists and objects an expression constructs."""
    if not isinstance(node, dict):
        return 0
    is_multi_select = node.get("type") in {"multi_select_list", "multi_select_dict"}
    return is_multi_select + sum(_count_multi_selects(each) for each in node.get("children", ()))


def _validate_thresholds(limits: Thresholds, where: str) -> None:
    for field in ("warning_above", "warning_below", "critical_above", "critical_below", "margin"):
        number = getattr(limits, field)
        if number is not None and not math.isfinite(number):
            raise InvalidValue(f"{where}.{field}", "must be finite")
    if limits.margin is not None and limits.margin < 0:
        raise InvalidValue(f"{where}.margin", "must be 0 or more")
    warning, critical = limits.warning_above, limits.critical_above
    if warning is not None and critical is not None and critical < warning:
        raise InvalidValue(f"{where}.critical_above", "must not be below warning_above")
    warning, critical = limits.warning_below, limits.critical_below
    if warning is not None and critical is not None and critical > warning:
        raise InvalidValue(f"{where}.critical_below", "must not be above warning_below")
