"""
Every setting, read once from the environment, a secrets directory, or (test mode only) `.env`.

Each is an environment variable `BURSAR_<NAME>`. The upper-case names at the end are Django's
settings, derived from those above them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import difflib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bursar import errors
from bursar.money import Money

#: Schemes of mail servers, and the port of each.
SMTP_PORTS: Final = {"smtps": 465, "smtp": 587, "smtp+plain": 25}

#: Variables that are no settings: secrets of monitors, and those of the test suite.
_OTHER_PREFIXES: Final = ("BURSAR_MONITOR_SECRET_", "BURSAR_TESTS_", "BURSAR_REAL_DATA")


class Mode(StrEnum):
    """The mode of an installation; it never changes."""

    TEST = "test"
    LIVE = "live"


class InvalidSettings(errors.Invalid):
    """The installation cannot start with these settings."""

    code = "invalid_settings"
    status = None


class Settings(BaseSettings):
    """The settings of an installation."""

    model_config = SettingsConfigDict(
        env_prefix="BURSAR_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a refused value may be a secret
    )

    home: Path = Field(default=Path("bursar-data"))
    """The folder of the installation: databases, logs, reports, keys."""

    mode: Mode = Mode.TEST
    """`test` or `live`; the sandbox provider is not allowed in live mode."""

    database_url: SecretStr | None = None
    """PostgreSQL connection URL; without it the database is SQLite in `home`."""

    secrets_dir: Path | None = None
    """Directory with one file per secret, named like the environment variable (Docker, Vault)."""

    secret_key: SecretStr | None = None
    """Signs sessions and forms; generated in `home` in test mode, required in live mode."""

    time_zone: str = "UTC"
    """Accounting time zone (IANA name): decides the posting date of a transfer."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    """Host names that requests may name, comma-separated; `*` is not allowed."""

    require_mfa: bool = False
    """Require a one-time code (TOTP) to sign in to the back office."""

    pricing_rules: Path | None = None
    """TOML file of pricing rules; without it orders carry their prices."""

    refund_approval_thresholds: str = ""
    """
    Amounts above which a refund needs a second person's approval, by currency in major units, such
    as `EUR=500,JPY=80000`. If set, refunds in any other currency always need approval.
    """

    api_rate_limit: int = Field(default=6_000, ge=1)
    """Requests per minute of one API key, per process."""

    monitors: Path | None = None
    """TOML file of monitors; provider accounts and monitors added by users need none."""

    alert_webhook_url: SecretStr | None = None
    """URL that alerts are posted to, signed."""

    alert_webhook_secret: SecretStr | None = None
    """Signing secret of that webhook (Standard Webhooks): `whsec_` and base64 of 24 to 64 bytes."""

    alert_email_to: str = ""
    """E-mail recipients of alerts, comma-separated."""

    alert_email_from: str = ""
    """Sender of alert e-mails."""

    smtp_url: SecretStr | None = None
    """Mail server: `smtp://user:password@host:port` (STARTTLS required), `smtps://` or `smtp+plain://`."""

    status_page_groups: str = ""
    """
    Groups of monitors shown at the public page `/status`, without numbers, comma-separated; empty:
    no status page.
    """

    @field_validator("time_zone")
    @classmethod
    def _validate_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is not an IANA time zone") from error
        return name

    @field_validator("allowed_hosts")
    @classmethod
    def _validate_allowed_hosts(cls, text: str) -> str:
        if not all(re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", name) for name in text.split(",")):
            raise ValueError("must be host names separated by commas, without spaces or *")
        return text

    @field_validator("refund_approval_thresholds")
    @classmethod
    def _validate_thresholds(cls, text: str) -> str:
        _parse_thresholds(text)
        return text

    @field_validator("log_level")
    @classmethod
    def _validate_log_level(cls, name: str) -> str:
        if name.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return name.upper()

    @model_validator(mode="after")
    def _validate_live_mode(self) -> Settings:
        if self.mode is Mode.LIVE:
            if Path(".env").exists():
                raise ValueError("live mode does not read .env files; remove it")
            if self.secret_key is None:
                raise ValueError("live mode needs BURSAR_SECRET_KEY")
        return self

    @model_validator(mode="after")
    def _validate_alerts(self) -> Settings:
        if self.alert_webhook_url is not None:
            hook = urlsplit(self.alert_webhook_url.get_secret_value())
            if hook.scheme not in {"http", "https"} or not hook.hostname:
                raise ValueError("BURSAR_ALERT_WEBHOOK_URL must be an http(s) URL")
            if self.alert_webhook_secret is None:
                raise ValueError("BURSAR_ALERT_WEBHOOK_URL needs BURSAR_ALERT_WEBHOOK_SECRET")
            _check_webhook_secret(self.alert_webhook_secret.get_secret_value())
        if self.alert_email_to:
            for address in (*self.alert_email_to.split(","), self.alert_email_from):
                if not re.fullmatch(r"\s*[^@\s,<>]+@[^@\s,<>]+\s*", address):
                    raise ValueError(
                        "BURSAR_ALERT_EMAIL_TO and BURSAR_ALERT_EMAIL_FROM must be e-mail addresses"
                    )
            server = urlsplit(self.smtp_url.get_secret_value()) if self.smtp_url else None
            if server is None or server.scheme not in SMTP_PORTS or not server.hostname:
                raise ValueError(
                    "BURSAR_ALERT_EMAIL_TO needs BURSAR_SMTP_URL, such as smtp://host:587"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  (pydantic's interface)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment before the secrets directory, and `.env` last."""
        return init_settings, env_settings, file_secret_settings, dotenv_settings

    @property
    def refund_thresholds(self) -> dict[str, int]:
        """`refund_approval_thresholds` in minor units by currency."""
        return _parse_thresholds(self.refund_approval_thresholds)

    @property
    def status_groups(self) -> list[str]:
        """`status_page_groups` as the names of groups."""
        return [name.strip() for name in self.status_page_groups.split(",") if name.strip()]

    @property
    def sqlite_path(self) -> Path:
        """Path of the SQLite database, used without a `database_url`."""
        return self.home / "bursar.sqlite3"

    def signing_key(self) -> str:
        """Return the secret key; in test mode it is generated in `home` at first use."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        path = self.home / "secret_key"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return _create_once(path, secrets.token_urlsafe(48))


def _check_webhook_secret(secret: str) -> None:
    prefix, _, key = secret.partition("_")
    try:
        good = prefix == "whsec" and 24 <= len(base64.b64decode(key, validate=True)) <= 64
    except binascii.Error:
        good = False
    if not good:
        raise ValueError("BURSAR_ALERT_WEBHOOK_SECRET must be whsec_ and base64 of 24 to 64 bytes")


def _parse_thresholds(text: str) -> dict[str, int]:
    limits = {}
    for pair in filter(None, text.split(",")):
        currency, separator, amount = pair.partition("=")
        if not separator:
            raise ValueError(f"{pair!r} is not CURRENCY=AMOUNT")
        try:
            limits[currency.strip()] = Money.parse(amount.strip(), currency.strip()).amount_minor
        except errors.ValidationError as error:
            raise ValueError(str(error)) from None
    return limits


def _create_once(path: Path, text: str) -> str:
    """Create *path* (mode 0600) with *text* unless it exists; return its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A link is atomic: no process reads an empty key.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)
    return path.read_text(encoding="ascii").strip()


def load(**overrides: Any) -> Settings:
    """
    Read the settings.

    :raises InvalidSettings: with one line for each setting that is wrong.
    """
    directory = overrides.get("secrets_dir") or os.environ.get("BURSAR_SECRETS_DIR")
    if directory and not Path(directory).is_dir():
        raise InvalidSettings(f"BURSAR_SECRETS_DIR: {directory} is not a directory")
    _refuse_unknown(os.environ)
    try:
        return Settings(_secrets_dir=directory, **overrides)
    except ValueError as error:
        problems = error.errors() if isinstance(error, ValidationError) else []
        lines = [_format_problem(problem) for problem in problems]
        raise InvalidSettings("; ".join(lines) or str(error)) from error


def _refuse_unknown(names: Iterable[str]) -> None:
    """
    Refuse variables that look like a misspelt or former setting.

    `BURSAR_<ACCOUNT>_<FIELD>` names a provider account's secret, so other names of several words pass.
    """
    settings = {f"BURSAR_{field.upper()}" for field in Settings.model_fields}
    for name in sorted(names):
        if not name.startswith("BURSAR_") or name in settings or name.startswith(_OTHER_PREFIXES):
            continue
        is_one_word = "_" not in name.removeprefix("BURSAR_")
        nearest = difflib.get_close_matches(
            name, settings, n=1, cutoff=0.6 if is_one_word else 0.85
        )
        is_of_account = nearest and name.endswith(nearest[0].removeprefix("BURSAR"))
        if is_one_word or (nearest and not is_of_account):
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise InvalidSettings(f"{name} is not a setting{hint}")


def _format_problem(problem: Mapping[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    name = "_".join(map(str, problem["loc"])).upper()
    return f"BURSAR_{name}: {message}" if name else message


def databases(config: Settings) -> dict[str, dict[str, Any]]:
    """Django's DATABASES: SQLite with every commit on disk, or PostgreSQL."""
    if config.database_url is None:
        return {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": config.sqlite_path,
                "OPTIONS": {
                    # A deferred BEGIN fails with "database is locked" as soon as two threads
                    # read and then write; and WAL with NORMAL loses payments in a power cut.
                    "transaction_mode": "IMMEDIATE",
                    # Without recursive triggers INSERT OR REPLACE bypasses the delete triggers.
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                    "PRAGMA recursive_triggers=ON;",
                    "timeout": 20,
                },
            }
        }
    from psycopg import conninfo

    parts = conninfo.conninfo_to_dict(config.database_url.get_secret_value())
    return {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.pop("dbname", "bursar"),
            "USER": parts.pop("user", ""),
            "PASSWORD": parts.pop("password", ""),
            "HOST": parts.pop("host", ""),
            "PORT": parts.pop("port", ""),
            "CONN_MAX_AGE": None,
            # Statements are few and always the same: each is parsed and planned once.
            "OPTIONS": {**parts, "server_side_binding": True, "prepare_threshold": 2},
        }
    }


current = load()

SECRET_KEY = current.signing_key()
DEBUG = False
ALLOWED_HOSTS = current.allowed_hosts.split(",")
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DATABASES = databases(current)
INSTALLED_APPS = [
    "bursar",
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig",
    *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions")),
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
]
AUTH_USER_MODEL = "bursar.User"
AUTHENTICATION_BACKENDS = ["bursar.access.users.Backend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
AUTH_PASSWORD_VALIDATORS[0]["OPTIONS"] = {"min_length": 12}  # type: ignore[assignment]
OTP_TOTP_ISSUER = "Bursar"
ROOT_URLCONF = "bursar.admin.site"  # Django serves the back office and nothing else
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "bursar.admin.middleware.AdminRequestMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "admin" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                f"django.{name}"
                for name in (
                    "template.context_processors.request",
                    "contrib.auth.context_processors.auth",
                    "contrib.messages.context_processors.messages",
                )
            ]
        },
    }
]
# Unfold caches search results for five minutes; a repeated search must be current.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
STATIC_URL = "/static/"
SESSION_ENGINE = "bursar.access.sessions"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "bursar_session", "bursar_csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = current.mode is Mode.LIVE
SECURE_HSTS_SECONDS = 31_536_000 if current.mode is Mode.LIVE else 0
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "/admin/login/"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
UNFOLD = {
    "SITE_TITLE": "Bursar",
    "SITE_HEADER": "Bursar",
    "SITE_SUBHEADER": "The books always close",
    "SITE_SYMBOL": "account_balance",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/bursar/icon.svg"}],
    "COLORS": {
        "primary": {  # Tailwind's indigo
            "50": "#eef2ff",
            "100": "#e0e7ff",
            "200": "#c7d2fe",
            "300": "#a5b4fc",
            "400": "#818cf8",
            "500": "#6366f1",
            "600": "#4f46e5",
            "700": "#4338ca",
            "800": "#3730a3",
            "900": "#312e81",
            "950": "#1e1b4b",
        }
    },
    "ACCOUNT": {"navigation": "bursar.admin.site.account_links"},
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["/static/bursar/bursar.css"],
    "ENVIRONMENT": "bursar.admin.site.environment",
    "COMMAND": {"search_callback": "bursar.admin.site.search_objects", "show_history": False},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "bursar.admin.site.navigation",
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING_CONFIG = None
