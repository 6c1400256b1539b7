"""
Backup and restore: one archive of everything an installation keeps.

SQLite files are copied by the online backup interface while work goes on (one consistent moment
each); PostgreSQL by `pg_dump`. The session key is left out: a restored installation makes its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from django.db import connection, connections

from bursar import __version__, clock, errors, schema, settings

MANIFEST = "manifest.json"
DUMP = "bursar.pgdump"


class InvalidBackup(errors.Invalid):
    """The file is not a whole, unaltered archive of `bursar backup` for this kind of database."""

    code = "invalid_backup"
    status = None


class NotEmpty(errors.Conflict):
    """There is something already where the backup should go."""

    code = "backup_target_not_empty"
    status = None


class PostgresToolFailed(errors.Conflict):
    """PostgreSQL's own tool is not there or refused."""

    code = "postgres_tool_failed"
    status = None


def create(file: Path) -> int:
    """
    Write everything into *file* (a gzipped tar) and return its size in bytes.

    The archive appears under its name only when it is whole.

    :raises NotEmpty: if the file exists; :raises ToolFailed: if `pg_dump` does.
    """
    if file.exists():
        raise NotEmpty(f"{file} exists")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".bursar-backup-") as folder:
        parts = list(_parts(Path(folder)))
        manifest = {
            "version": __version__,
            "database": connection.vendor,
            "schema": schema.digest(),
            "made_at": clock.now().isoformat(),
            "files": {part.name: _digest(part) for part in parts},
        }
        Path(folder, MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        whole = Path(folder, "archive")
        with tarfile.open(whole, "w:gz") as archive:
            for part in [Path(folder, MANIFEST), *parts]:
                archive.add(part, arcname=part.name)
        with whole.open("rb") as opened:
            os.fsync(opened.fileno())
        whole.chmod(0o600)
        whole.replace(file)
    return file.stat().st_size


def _parts(folder: Path) -> Iterator[Path]:
    if connection.vendor == "postgresql":
        _run("pg_dump", "--format=custom", "--no-owner", f"--file={folder / DUMP}")
        yield folder / DUMP
    for database in sorted(settings.current.home.glob("*.sqlite3")):
        copy = folder / database.name
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        yield copy


def restore(file: Path, *, force: bool = False) -> None:
    """
    Bring everything back from *file*, after checking that it is whole.

    Nothing may run on the installation meanwhile. The archive is unpacked and checked apart before
    anything is replaced.

    :raises NotEmpty: if there are books already and not *force*;
    :raises InvalidBackup: if the archive is damaged or of another kind of database;
    :raises schema.SchemaOutdated: if it was made by another schema.
    """
    home = settings.current.home
    if not force and _has_books(home):
        raise NotEmpty("there are books already; --force replaces them")
    with tempfile.TemporaryDirectory(dir=home, prefix=".bursar-restore-") as name:
        folder = Path(name)
        parts = _unpack(file, folder)
        connections.close_all()
        if DUMP in parts:
            _run(
                "pg_restore",
                "--clean",
                "--if-exists",
                "--no-owner",
                "--single-transaction",
                str(folder / DUMP),
            )
        for part in parts:
            if part.endswith(".sqlite3"):
                for stale in (f"{part}-wal", f"{part}-shm"):
                    (home / stale).unlink(missing_ok=True)
                shutil.move(folder / part, home / part)


def _has_books(home: Path) -> bool:
    there = any(home.glob("*.sqlite3"))
    return there or (
        connection.vendor == "postgresql" and bool(connection.introspection.table_names())
    )


def _unpack(file: Path, folder: Path) -> Mapping[str, str]:
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                _extract(archive, member, folder)
        manifest = json.loads(Path(folder, MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = manifest["files"]
        damaged = [name for name, digest in files.items() if _digest(folder / name) != digest]
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise InvalidBackup(f"{file} cannot be read as a backup: {error}") from error
    if damaged:
        raise InvalidBackup(f"{file} is damaged: {', '.join(damaged)}")
    if manifest["database"] != connection.vendor:
        raise InvalidBackup(f"{file} is of {manifest['database']}, not {connection.vendor}")
    if manifest.get("schema") != schema.digest():
        raise schema.SchemaOutdated(schema.message(str(file), "its tables are others"))
    return files


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    # Plain files without a path only: whatever else is in an archive could land anywhere.
    opened = archive.extractfile(member)
    if opened is None or not member.isreg() or Path(member.name).name != member.name:
        raise InvalidBackup(f"{member.name!r} does not belong in a backup")
    with (folder / member.name).open("wb") as target:
        shutil.copyfileobj(opened, target)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _run(tool: str, *arguments: str) -> None:
    path = shutil.which(tool)
    if path is None:
        raise PostgresToolFailed(f"{tool} is not on the PATH; install PostgreSQL's client programs")
    # By the environment, not as arguments: those are seen by everybody on the machine.
    given = connection.settings_dict
    environment = {
        "PGDATABASE": given["NAME"],
        "PGUSER": given["USER"],
        "PGPASSWORD": given["PASSWORD"],
        "PGHOST": given["HOST"],
        "PGPORT": str(given["PORT"]),
        "PGSSLMODE": given["OPTIONS"].get("sslmode", ""),
    }
    told = {name: value for name, value in environment.items() if value}
    command = [path, *arguments]
    if tool == "pg_restore":
        command.append(f"--dbname={given['NAME']}")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **told}
    )
    if done.returncode:
        raise PostgresToolFailed(f"{tool}: {' '.join(done.stderr.strip().splitlines()[-1:])}")
