"""A whole installation by command: from invoices to proven books, and back from a backup."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Database
from tests.flows.test_command_line import FILE, INVOICES, Terminal, process, terminal  # noqa: F401


def test_from_invoices_to_proven_books_and_back_from_a_backup(
    terminal: Terminal,  # noqa: F811
    home: Path,
    tmp_path: Path,
    database: Database,
) -> None:
    book = home / "sandbox.sqlite3"
    terminal.run("providers", "add", "europe", "--provider", "sandbox", "--set", f"book={book}")
    assert "europe" in terminal.run("providers", "list")
    mapping = str(INVOICES / "mapping.toml")
    importing = ["import", "orders", str(FILE), "--mapping", mapping, "--charge", "europe"]
    assert "54 orders of 139 lines" in terminal.run(*importing)
    assert "nothing changed" in terminal.run(*importing)
    assert "charge" in terminal.run("queue")
    assert "charge" in terminal.run("worker", "--until-empty")

    told = terminal.run("refund", "TL-1001", "--reason", "sent back", "--key", "one")
    assert told == terminal.run("refund", "TL-1001", "--key", "one")
    assert "is decided" in terminal.run("refund", "TL-1002", "--line", "1=1")
    terminal.run("worker", "--until-empty")
    assert "refund_too_high" in terminal.run("refund", "TL-1001", "--amount", "1", code=1)
    terminal.until_proven()

    saved = tmp_path / "saved.tar.gz"
    terminal.run("backup", str(saved))
    assert "not_empty" in terminal.run("backup", str(saved), code=1)
    assert "not_empty" in terminal.run("restore", str(saved), code=1)
    if database.name == "sqlite":
        elsewhere = tmp_path / "elsewhere"
        process(elsewhere, "restore", str(saved))
        findings = json.loads(process(elsewhere, "verify", "--json"))
    else:
        terminal.run("refund", "TL-1003")  # gone again after the backup is restored
        terminal.run("restore", str(saved), "--force")
        findings = json.loads(terminal.run("verify", "--json"))
        assert "refund" not in terminal.run("queue")
    assert [finding["holds"] for finding in findings] == [True] * 24
