"""
Backup and restore of an installation, as one archive.

SQLite files are copied with the online backup API while the installation runs (one consistent
snapshot each), PostgreSQL with `pg_dump`. The signing key is not included: a restored test
installation generates its own.
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
    """The file is not an intact archive of `bursar backup` for this kind of database."""

    code = "invalid_backup"
    status = None


class BackupTargetNotEmpty(errors.Conflict):
    """The target file exists, or the installation is not empty."""

    code = "backup_target_not_empty"
    status = None


class PostgresToolFailed(errors.Conflict):
    """`pg_dump` or `pg_restore` is missing or failed."""

    code = "postgres_tool_failed"
    status = None


def create(file: Path) -> int:
    """
    Back up the installation to *file* (a gzipped tar) and return its size in bytes.

    The archive is renamed to *file* when it is complete.

    :raises BackupTargetNotEmpty: if the file exists;
    :raises PostgresToolFailed: if `pg_dump` is missing or fails.
    """
    if file.exists():
        raise BackupTargetNotEmpty(f"{file} already exists")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".bursar-backup-") as folder:
        parts = list(_copy_databases(Path(folder)))
        manifest = {
            "version": __version__,
            "database": connection.vendor,
            "schema": schema.digest(),
            "created_at": clock.now().isoformat(),
            "files": {part.name: _digest(part) for part in parts},
        }
        Path(folder, MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        temporary = Path(folder, "archive")
        with tarfile.open(temporary, "w:gz") as archive:
            for part in [Path(folder, MANIFEST), *parts]:
                archive.add(part, arcname=part.name)
        with temporary.open("rb") as opened:
            os.fsync(opened.fileno())
        temporary.chmod(0o600)
        temporary.replace(file)
    return file.stat().st_size


def _copy_databases(folder: Path) -> Iterator[Path]:
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
    Restore the installation from *file*.

    The archive is unpacked and checked in a temporary folder before anything is replaced. No other
    process may use the installation meanwhile.

    :raises BackupTargetNotEmpty: if the installation has a database, unless *force* is set;
    :raises InvalidBackup: if the archive is damaged or of another kind of database;
    :raises schema.SchemaOutdated: if it was created with another schema;
    :raises PostgresToolFailed: if `pg_restore` is missing or fails.
    """
    home = settings.current.home
    if not force and _has_database(home):
        raise BackupTargetNotEmpty("the installation already has a database; --force replaces it")
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


def _has_database(home: Path) -> bool:
    return any(home.glob("*.sqlite3")) or (
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
        vendor, digest_of_schema = manifest["database"], manifest.get("schema")
    except (
        OSError,
        tarfile.TarError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise InvalidBackup(f"{file} is not a readable backup: {error}") from error
    if damaged:
        raise InvalidBackup(f"{file} is damaged: {', '.join(damaged)}")
    if vendor != connection.vendor:
        raise InvalidBackup(f"{file} is a backup of {vendor}, not of {connection.vendor}")
    if digest_of_schema != schema.digest():
        raise schema.SchemaOutdated(schema.message(str(file), "its tables differ"))
    return files


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    # Regular files without a path only: anything else could be written outside of the folder.
    opened = archive.extractfile(member)
    if opened is None or not member.isreg() or Path(member.name).name != member.name:
        raise InvalidBackup(f"{member.name!r} is not part of a backup")
    with (folder / member.name).open("wb") as target:
        shutil.copyfileobj(opened, target)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _run(tool: str, *arguments: str) -> None:
    path = shutil.which(tool)
    if path is None:
        raise PostgresToolFailed(f"{tool} is not on the PATH; install PostgreSQL's client programs")
    # In the environment: every user of the machine can read the arguments of a process.
    options = connection.settings_dict
    environment = {
        "PGDATABASE": options["NAME"],
        "PGUSER": options["USER"],
        "PGPASSWORD": options["PASSWORD"],
        "PGHOST": options["HOST"],
        "PGPORT": str(options["PORT"]),
        "PGSSLMODE": options["OPTIONS"].get("sslmode", ""),
    }
    variables = {name: value for name, value in environment.items() if value}
    command = [path, *arguments]
    if tool == "pg_restore":
        command.append(f"--dbname={options['NAME']}")
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    if result.returncode:
        raise PostgresToolFailed(f"{tool}: {' '.join(result.stderr.strip().splitlines()[-1:])}")
