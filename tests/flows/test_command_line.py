"""The command line as a person uses it: in this process for speed, and in real ones."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bursar import cli
from bursar.access.models import ApiKey
from tests.conftest import Database
from tests.databases import client_programs

INVOICES = Path(__file__).parents[2] / "examples" / "invoices"
FILE = INVOICES / "2026-03-first-half.csv"


class Terminal:
    """Runs `bursar` on the test's installation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def run(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command that must end with *code* (None: any); returns what it printed."""
        self._monkeypatch.setattr(sys, "argv", ["bursar", *arguments])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = "".join(self._capfd.readouterr())
        assert code in {None, left.value.code or 0}, printed
        return printed

    def until_proven(self) -> None:
        """Work until `verify` is content: what was unknown is looked up a second later."""
        while "VIOLATED" in self.run("verify", code=None):
            self.run("worker", "--burst")


def process(home: Path, *arguments: str) -> str:
    """Run a command in a process of its own, on the installation in *home*."""
    done = subprocess.run(
        [sys.executable, "-m", "bursar", *arguments],
        env={**os.environ, "BURSAR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def terminal(
    database: Database,
    closing: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Terminal:
    path = os.pathsep.join([*client_programs(database.name), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal(monkeypatch, capfd)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_damaged_backup_is_refused_and_changes_nothing(
    terminal: Terminal, home: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.tar.gz"
    terminal.run("backup", str(saved))
    whole, before = saved.read_bytes(), (home / "bursar.sqlite3").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-100], b"not an archive", b""):
        saved.write_bytes(damaged)
        assert "invalid_backup" in terminal.run("restore", str(saved), "--force", code=1)
    assert (home / "bursar.sqlite3").read_bytes() == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_mistakes_are_one_clear_line(terminal: Terminal, tmp_path: Path) -> None:
    cases = {
        ("refund", "nothing"): "order_not_found: no order has the reference 'nothing'",
        ("refund", "pay_0"): "payment_not_found: payment 'pay_0' not found",
        ("refund", "ord_0"): "order_not_found: order 'ord_0' not found",
        ("refund", "x", "--amount", "1", "--line", "1=1"): "--amount and --line cannot be combined",
        (
            "refund",
            "x",
            "--key",
            "1",
            "--allow-duplicate",
        ): "--key and --allow-duplicate cannot be combined",
        ("accounts", "add", "x", "--provider", "nowhere"): "provider_not_found: ",
        ("accounts", "add", "x", "--provider", "sandbox", "--set", "speed=9"): "speed: ",
        ("reviews", "resolve", "rev_0", "--resolution", "x", "--by", "me"): "review_not_found: ",
        ("restore", str(tmp_path / "none")): "backup_target_not_empty: ",
        ("jobs", "retry", "1"): "job 1 is not a failed job",
    }
    for arguments, line in cases.items():
        assert line in terminal.run(*arguments, code=2 if arguments[0] == "jobs" else 1)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_key_made_for_a_person_is_bounded_by_their_role(terminal: Terminal) -> None:
    terminal.run("users", "add", "ann@example.com", "--name", "Ann", "--role", "viewer")
    own = ("--owner", "ann@example.com")
    refused = terminal.run("api-keys", "add", "shop", *own, "--scope", "refunds:write", code=1)
    assert (
        "scope_exceeds_role: the role viewer of ann@example.com does not have refunds:write"
        in refused
    )
    assert "user_not_found: " in terminal.run("api-keys", "add", "x", "--owner", "bob@b", code=1)
    key_id = terminal.run("api-keys", "add", "shop", *own).split()[0]
    terminal.run("api-keys", "rotate", key_id)
    terminal.run("api-keys", "add", "till", "--scope", "refunds:write")
    assert "operator" in terminal.run("api-keys")
    owned = ApiKey.objects.order_by("id").values_list("owner__email", flat=True)
    assert list(owned) == ["ann@example.com", "ann@example.com", None]
    assert "metrics:read" not in ApiKey.objects.get(id=key_id).scopes


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_command_leaves_its_log_closed(terminal: Terminal, home: Path) -> None:
    assert "no issues" in terminal.run("manage", "check")
    terminal.run("verify")
    with sqlite3.connect(home / "bursar.sqlite3") as books:
        books.execute("DELETE FROM django_migrations WHERE app = 'bursar'")
    books.close()
    assert "migrations_pending: " in terminal.run("verify", code=1)
    assert times_open(home / "bursar.log") == 0


def times_open(path: Path) -> int:
    """How many of this process's descriptors are of the file *path*, which exists."""
    # The listing's own descriptor is closed, and gone, by the time it is looked at.
    links = list(Path("/dev/fd").iterdir())
    return sum(link.exists() and link.samefile(path) for link in links)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_provider_is_tested_from_the_command_line(terminal: Terminal) -> None:
    assert "41 passed, 0 failed, 3 not supported" in terminal.run(
        "providers", "conformance", "sandbox"
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_second_worker_is_kept_off_sqlite_books(terminal: Terminal, home: Path) -> None:
    with (home / "worker.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "worker_already_running" in terminal.run("worker", "--burst", code=1)
