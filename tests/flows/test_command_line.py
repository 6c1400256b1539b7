"""The command line as a person uses it: real processes, one installation."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.databases import client_programs

EXAMPLES = Path(__file__).parents[2] / "examples"
INVOICES = EXAMPLES / "invoices"


class Terminal:
    """Runs `bursar` on the test's installation."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.environment = {
            **os.environ,
            "BURSAR_HOME": str(home),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            **environment,
        }

    def run(self, *arguments: str, code: int | None = 0) -> str:
        """Run a command that must end with *code* (None: any); returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "bursar", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        printed = done.stdout + done.stderr
        assert code in {None, done.returncode}, printed
        return printed


@pytest.fixture
def terminal(database: Database, home: Path) -> Terminal:
    path = os.pathsep.join([*client_programs(database.name), os.environ["PATH"]])
    return Terminal(home, PATH=path)


def test_from_invoices_to_proven_books_and_back_from_a_backup(
    terminal: Terminal, home: Path, tmp_path: Path, database: Database
) -> None:
    book = home / "sandbox.sqlite3"
    terminal.run("providers", "add", "europe", "--provider", "sandbox", "--set", f"book={book}")
    file = INVOICES / "2026-03-first-half.csv"
    importing = ["import", "orders", str(file), "--mapping", str(INVOICES / "mapping.toml")]

    assert "54 orders of 139 lines" in terminal.run(*importing, "--charge", "europe")
    assert "nothing changed" in terminal.run(*importing, "--charge", "europe")
    assert "charge" in terminal.run("worker", "--until-empty")
    told = terminal.run("refund", "TL-1001", "--reason", "sent back", "--key", "one")
    assert told == terminal.run("refund", "TL-1001", "--key", "one")
    terminal.run("worker", "--until-empty")
    assert "refund_too_high" in terminal.run("refund", "TL-1001", "--amount", "1", code=1)

    # What was unknown is looked up a second later, so one more run of the worker may be needed.
    while "BROKEN" in (printed := terminal.run("verify", code=None)):
        terminal.run("worker", "--until-empty")
    assert "20 invariants checked" in printed

    saved = tmp_path / "saved.tar.gz"
    terminal.run("backup", str(saved))
    assert "not_empty" in terminal.run("restore", str(saved), code=1)
    assert "TL-1001" not in terminal.run("reviews")
    if database.name == "sqlite":
        elsewhere = Terminal(tmp_path / "elsewhere", PATH=terminal.environment["PATH"])
        damaged = tmp_path / "damaged.tar.gz"
        damaged.write_bytes(saved.read_bytes()[:-2000])
        assert "bad_backup" in elsewhere.run("restore", str(damaged), code=1)
        assert not (tmp_path / "elsewhere" / "bursar.sqlite3").exists()
        elsewhere.run("restore", str(saved))
    else:
        elsewhere = terminal
        elsewhere.run("restore", str(saved), "--force")
    findings = json.loads(elsewhere.run("verify", "--json"))
    assert [finding["holds"] for finding in findings] == [True] * 20


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_mistakes_are_one_clear_line(terminal: Terminal) -> None:
    printed = terminal.run("refund", "no-such-order", code=1)
    assert printed == "unknown_order: no order has the reference 'no-such-order'\n"
    printed = terminal.run("queue", "retry", "1", code=2)
    assert "job 1 is not dead" in printed


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_main_job_closes_its_books_and_tampering_with_them_is_found(
    terminal: Terminal, home: Path
) -> None:
    first = terminal.run("demo", "--port", "0")
    assert "54 orders of 139 lines" in first
    assert "20 invariants checked" in first
    assert "the books close" in first
    again = terminal.run("demo")
    assert again.count("imported before; nothing changed") == 2
    assert "the books close" in again
    with sqlite3.connect(home / "bursar.sqlite3") as books:
        books.execute("DROP TRIGGER guard_transfer_update_transfers_are_never_changed")
        (tampered,) = books.execute(
            "SELECT subject FROM bursar_transfer WHERE credit_account_id = 'sales:EUR' LIMIT 1"
        ).fetchone()
        books.execute(
            "UPDATE bursar_transfer SET amount_minor = amount_minor + 1 "
            "WHERE subject = ? AND credit_account_id = 'sales:EUR'",
            (tampered,),
        )
    books.close()
    printed = terminal.run("verify", code=1)
    assert "3 BROKEN" in printed  # the receivable is a cent off as well
    assert "missing guard: guard_transfer_update_transfers_are_never_changed" in printed
    assert f"payment: {tampered}, " in printed
    assert "guards_missing" in terminal.run("worker", "--until-empty", code=1)
    terminal.run("manage", "migrate")
    assert "2 BROKEN" in terminal.run("verify", code=1)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_second_worker_is_kept_off_sqlite_books(terminal: Terminal, home: Path) -> None:
    with (home / "worker.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "worker_running" in terminal.run("worker", "--until-empty", code=1)
