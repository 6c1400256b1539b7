"""An installation or backup of another schema is recognised, and nothing of it is changed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from django.db import connection

from bursar import schema
from bursar.backups import MANIFEST
from tests.conftest import Database
from tests.flows.test_command_line import Terminal, terminal

__all__ = ["terminal"]

COMMANDS = (
    ("verify",),
    ("worker", "--burst"),
    ("serve", "--port", "0"),
    ("demo", "--once"),
    ("manage", "migrate"),
    ("backup", "old.tar.gz"),
)


def _dump() -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
        migrations = cursor.fetchall()
    return [
        *migrations,
        *sorted((table, *sorted(c)) for table, c in schema.existing_columns().items()),
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("ALTER TABLE bursar_user RENAME TO bursar_person", "bursar_user is missing"),
        ("ALTER TABLE bursar_job ADD COLUMN colour text", "column colour of bursar_job is unknown"),
        (
            "ALTER TABLE bursar_job RENAME COLUMN priority TO urgency",
            "column priority of bursar_job",
        ),
    ],
)
def test_a_database_of_another_schema_is_refused_in_one_line(
    terminal: Terminal,
    database: Database,
    command: tuple[str, ...],
    change: str,
    reason: str,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)
    before = _dump()
    printed = terminal.run(*command, code=1).strip()
    assert printed.count("\n") == 0
    assert printed.startswith("schema_outdated: ")
    assert reason in printed
    assert "move it away, or set BURSAR_HOME" in printed
    assert _dump() == before


def test_a_new_and_a_present_database_pass(database: Database) -> None:
    schema.check()
    tables = [table for table in schema.existing_columns() if not table.startswith("sqlite_")]
    with connection.cursor() as cursor:
        if database.name == "sqlite":
            cursor.execute("PRAGMA foreign_keys = OFF")
        for table in tables:
            suffix = " CASCADE" if database.name == "postgres" else ""
            cursor.execute(f'DROP TABLE IF EXISTS "{table}"{suffix}')
    schema.check()


@pytest.mark.parametrize("recorded", [None, "0" * 64])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_backup_of_another_schema_is_refused_and_changes_nothing(
    terminal: Terminal,
    database: Database,
    home: Path,
    tmp_path: Path,
    recorded: str | None,
) -> None:
    saved = tmp_path / "saved.tar.gz"
    terminal.run("backup", str(saved))
    altered = tmp_path / "altered.tar.gz"
    with tarfile.open(saved) as archive, tarfile.open(altered, "w:gz") as target:
        for member in archive:
            content = archive.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == MANIFEST:
                manifest = json.loads(content)
                del manifest["schema"]
                content = json.dumps(
                    {**manifest, "schema": recorded} if recorded else manifest
                ).encode()
                member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    before = (home / "bursar.sqlite3").read_bytes()
    printed = terminal.run("restore", str(altered), "--force", code=1)
    assert printed.startswith(f"schema_outdated: {altered} was created with another schema")
    assert (home / "bursar.sqlite3").read_bytes() == before
