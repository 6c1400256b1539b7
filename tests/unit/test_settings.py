"""Settings come from outside, each wrong one gives one clear line, and live mode is careful."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bursar import settings


@pytest.fixture(autouse=True)
def nothing_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no `.env` of the machine that runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith("BURSAR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BURSAR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BURSAR_HOME")
    loaded = settings.load()
    assert (loaded.home, loaded.mode, loaded.time_zone, loaded.log_level, loaded.database_url) == (
        Path("bursar-data"),
        settings.Mode.TEST,
        "UTC",
        "INFO",
        None,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MODE", "production", "BURSAR_MODE: Input should be 'test' or 'live'"),
        (
            "TIME_ZONE",
            "Mars/Olympus",
            "BURSAR_TIME_ZONE: 'Mars/Olympus' is not an IANA time zone",
        ),
        (
            "TIME_ZONE",
            "../etc/passwd",
            "BURSAR_TIME_ZONE: '../etc/passwd' is not an IANA time zone",
        ),
        (
            "LOG_LEVEL",
            "LOUD",
            "BURSAR_LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR",
        ),
        ("SECRETS_DIR", "/nowhere", "BURSAR_SECRETS_DIR: /nowhere is not a directory"),
    ],
)
def test_a_wrong_value_gives_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"BURSAR_{name}", value)
    with pytest.raises(settings.InvalidSettings) as caught:
        settings.load()
    assert str(caught.value) == message


def test_two_wrong_values_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_MODE", "x")
    monkeypatch.setenv("BURSAR_LOG_LEVEL", "x")
    with pytest.raises(settings.InvalidSettings) as caught:
        settings.load()
    assert str(caught.value) == (
        "BURSAR_MODE: Input should be 'test' or 'live'; "
        "BURSAR_LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR"
    )


def test_test_mode_reads_the_env_file_below_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("BURSAR_TIME_ZONE=Europe/Paris\nBURSAR_LOG_LEVEL=ERROR\n")
    monkeypatch.setenv("BURSAR_LOG_LEVEL", "debug")
    loaded = settings.load()
    assert (loaded.time_zone, loaded.log_level) == ("Europe/Paris", "DEBUG")


HOOK = {"ALERT_WEBHOOK_URL": "https://hooks.example/x", "ALERT_WEBHOOK_SECRET": f"whsec_{'A' * 32}"}
MAIL = {
    "ALERT_EMAIL_TO": "a@b.example, c@d.example",
    "ALERT_EMAIL_FROM": "bursar@b.example",
    "SMTP_URL": "smtp://me:pw@mail.example",
}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            HOOK | {"ALERT_WEBHOOK_URL": "hooks.example"},
            "BURSAR_ALERT_WEBHOOK_URL must be an http",
        ),
        (HOOK | {"ALERT_WEBHOOK_SECRET": ""}, "SECRET must be whsec_ and base64 of 24 to 64 bytes"),
        (HOOK | {"ALERT_WEBHOOK_SECRET": "A" * 32}, "SECRET must be whsec_ and base64 of 24 to 64"),
        (
            HOOK | {"ALERT_WEBHOOK_SECRET": "whsec_AAAA"},
            "SECRET must be whsec_ and base64 of 24 to 64",
        ),
        (
            HOOK | {"ALERT_WEBHOOK_SECRET": "whsec_!!!!"},
            "SECRET must be whsec_ and base64 of 24 to 64",
        ),
        ({"ALERT_WEBHOOK_URL": "https://a.example"}, "needs BURSAR_ALERT_WEBHOOK_SECRET"),
        (
            MAIL | {"ALERT_EMAIL_TO": "a@b.example,nobody"},
            "BURSAR_ALERT_EMAIL_FROM must be e-mail addresses",
        ),
        (MAIL | {"ALERT_EMAIL_FROM": ""}, "BURSAR_ALERT_EMAIL_FROM must be e-mail addresses"),
        (
            MAIL | {"ALERT_EMAIL_FROM": "a@b.example\nBcc: x@y.example"},
            "EMAIL_FROM must be e-mail addresses",
        ),
        (MAIL | {"SMTP_URL": "mail.example"}, "needs BURSAR_SMTP_URL, such as smtp://host:587"),
        (
            {key: MAIL[key] for key in ("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM")},
            "needs BURSAR_SMTP_URL",
        ),
    ],
)
def test_alerts_that_could_not_be_sent_are_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], message: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(f"BURSAR_{name}", value)
    with pytest.raises(settings.InvalidSettings) as caught:
        settings.load()
    assert message in str(caught.value)
    assert "whsec_A" not in str(caught.value)


def test_alerts_by_both_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (HOOK | MAIL).items():
        monkeypatch.setenv(f"BURSAR_{name}", value)
    assert "hooks.example" not in repr(settings.load())


@pytest.mark.parametrize("where", ["environment", "file"])
def test_live_mode_refuses_an_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    written = "BURSAR_SECRET_KEY=kept-in-a-file\n"
    if where == "environment":
        monkeypatch.setenv("BURSAR_MODE", "live")
    else:
        written += "BURSAR_MODE=live\n"
    (tmp_path / ".env").write_text(written)
    with pytest.raises(settings.InvalidSettings) as caught:
        settings.load()
    assert str(caught.value) == "live mode does not read .env files; remove it"
    assert "kept-in-a-file" not in repr(caught.value.__cause__) + str(caught.value.__cause__)


def test_live_mode_needs_a_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_MODE", "live")
    with pytest.raises(settings.InvalidSettings) as caught:
        settings.load()
    assert str(caught.value) == "live mode needs BURSAR_SECRET_KEY"


def test_secrets_are_read_from_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "BURSAR_SECRET_KEY").write_text("from the vault\n")
    monkeypatch.setenv("BURSAR_SECRETS_DIR", str(folder))
    monkeypatch.setenv("BURSAR_MODE", "live")
    assert settings.load().signing_key() == "from the vault"


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_SECRET_KEY", "hush")
    monkeypatch.setenv("BURSAR_DATABASE_URL", "postgresql://u:hush@h/d")
    assert "hush" not in repr(settings.load())


def test_the_generated_key_is_for_its_owner_only_and_stays(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        key = settings.load().signing_key()
    finally:
        os.umask(old_mask)
    path = tmp_path / "home" / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == key
    assert len(key) == 64
    assert settings.load().signing_key() == key
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_who_starts_at_the_same_moment_gets_the_same_key(tmp_path: Path) -> None:
    loaded = settings.load()
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: loaded.signing_key(), range(32)))
    assert keys == {(tmp_path / "home" / "secret_key").read_text()}


def test_without_a_url_the_books_are_a_durable_sqlite_file(tmp_path: Path) -> None:
    default = settings.databases(settings.load())["default"]
    assert default["NAME"] == tmp_path / "home" / "bursar.sqlite3"
    assert default["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in default["OPTIONS"]["init_command"]
    assert "synchronous=FULL" in default["OPTIONS"]["init_command"]


def test_a_url_names_a_postgresql_database(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    monkeypatch.setenv("BURSAR_DATABASE_URL", "postgresql://me:pw@db:5433/books?sslmode=require")
    default = settings.databases(settings.load())["default"]
    assert default == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "books",
        "USER": "me",
        "PASSWORD": "pw",
        "HOST": "db",
        "PORT": "5433",
        "CONN_MAX_AGE": None,
        "OPTIONS": default["OPTIONS"],
    }
    assert default["OPTIONS"]["sslmode"] == "require"


def test_a_wrong_setting_stops_the_process_with_its_line(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import bursar.settings"],
        env={**os.environ, "BURSAR_MODE": "x", "BURSAR_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1] == (
        "bursar.settings.InvalidSettings: BURSAR_MODE: Input should be 'test' or 'live'"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BURSAR_HOSTS", "BURSAR_HOSTS is not a setting"),
        ("BURSAR_MODUS", "BURSAR_MODUS is not a setting; did you mean BURSAR_MODE?"),
        (
            "BURSAR_ALERT_WEBHOOK",
            "BURSAR_ALERT_WEBHOOK is not a setting; did you mean BURSAR_ALERT_WEBHOOK_URL?",
        ),
        (
            "BURSAR_DATABASE_URI",
            "BURSAR_DATABASE_URI is not a setting; did you mean BURSAR_DATABASE_URL?",
        ),
    ],
)
def test_a_misspelt_or_former_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(settings.InvalidSettings) as refused:
        settings.load()
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "name",
    [
        "BURSAR_EU_SECRET_KEY",
        "BURSAR_STRIPE_API_KEY",
        "BURSAR_STRIPE_WEBHOOK_SECRET",
        "BURSAR_MONITOR_SECRET_API_EXAMPLE_COM",
        "BURSAR_TESTS_WITHOUT_POSTGRES",
        "BURSAR_REAL_DATA",
    ],
)
def test_secrets_of_accounts_and_monitors_are_no_settings(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    settings.load()
