"""A whole installation by command: from invoices to proven books, and back from a backup."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.flows.test_command_line import FILE, INVOICES, Terminal, process, terminal  # noqa: F401


def test_from_invoices_to_proven_books_and_back_from_a_backup(
    terminal: Terminal,  # noqa: F811
    home: Path,
    tmp_path: Path,
    database: Database,
) -> None:
    book = home / "sandbox.sqlite3"
    terminal.run("accounts", "add", "europe", "--provider", "sandbox", "--set", f"store={book}")
    assert "europe" in terminal.run("providers", "list")
    mapping = str(INVOICES / "mapping.toml")
    importing = ["import", "orders", str(FILE), "--mapping", mapping, "--charge", "europe"]
    assert "54 orders with 139 lines" in terminal.run(*importing)
    assert "nothing changed" in terminal.run(*importing)
    assert "charge" in terminal.run("jobs")
    assert "charge" in terminal.run("worker", "--burst")

    first = terminal.run("refund", "TL-1001", "--reason", "sent back", "--key", "one")
    again = terminal.run("refund", "TL-1001", "--reason", "sent back", "--key", "one")
    assert again.split(" already exists: ")[0] == first.split(" created")[0]
    one_line = ("refund", "TL-1002", "--line", "1=1")
    assert "created; a worker processes it" in terminal.run(*one_line)
    assert "No further refund was created" in terminal.run(*one_line)
    terminal.run("worker", "--burst")
    assert "refund_exceeds_balance" in terminal.run("refund", "TL-1001", "--amount", "1", code=1)
    terminal.until_proven()

    saved = tmp_path / "saved.tar.gz"
    terminal.run("backup", str(saved))
    assert "backup_target_not_empty" in terminal.run("backup", str(saved), code=1)
    assert "backup_target_not_empty" in terminal.run("restore", str(saved), code=1)
    if database.name == "sqlite":
        elsewhere = tmp_path / "elsewhere"
        process(elsewhere, "restore", str(saved))
        findings = json.loads(process(elsewhere, "verify", "--json"))
    else:
        terminal.run("refund", "TL-1003")  # gone again after the backup is restored
        terminal.run("restore", str(saved), "--force")
        findings = json.loads(terminal.run("verify", "--json"))
        assert "refund" not in terminal.run("jobs")
    assert [finding["holds"] for finding in findings] == [True] * 25


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_main_job_closes_its_books_and_tampering_with_them_is_found(
    terminal: Terminal,  # noqa: F811
    home: Path,
) -> None:
    first = terminal.run("demo", "--once", "--counterpart-port", "0")
    assert "54 orders with 139 lines" in first
    assert "25 invariants checked" in first
    assert "all hold" in first
    again = terminal.run("demo", "--once")
    assert again.count("already imported; nothing changed") == 2
    assert "all hold" in again
    assert "over_captured" in terminal.run("reviews")
    books = sqlite3.connect(home / "bursar.sqlite3")
    books.execute("DROP TRIGGER trigger_transfer_update_transfers_are_never_changed")
    (tampered,) = books.execute(
        "SELECT subject FROM bursar_transfer WHERE credit_account_id = 'sales:EUR' LIMIT 1"
    ).fetchone()
    books.execute(
        "UPDATE bursar_transfer SET amount_minor = amount_minor + 1 "
        "WHERE subject = ? AND credit_account_id = 'sales:EUR'",
        (tampered,),
    )
    books.commit()
    books.close()
    printed = terminal.run("verify", code=1)
    assert "3 VIOLATED" in printed  # the receivable is a cent off as well
    assert "missing trigger: trigger_transfer_update_transfers_are_never_changed" in printed
    assert f"payment: {tampered}, " in printed
    assert "triggers_missing" in terminal.run("worker", "--burst", code=1)
    terminal.run("manage", "migrate")
    assert "2 VIOLATED" in terminal.run("verify", code=1)
