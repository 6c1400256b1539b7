"""Expand file names, globs and folders of rotated logs to paths, oldest first."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from bursar.accesslog.parsing import decompression

#: access.log, access.log.1, access.log.2.gz, access.log-20261124.gz, access-2026-11-24.log
_ROTATED = re.compile(r"(?:\.(?P<number>\d{1,5}))?(?:\.(?:gz|zst|bz2|xz))?$")
_LOG_NAME = re.compile(r"log|access", re.IGNORECASE)


def expand(patterns: Iterable[str]) -> list[Path]:
    """
    Return the files that *patterns* match, in their order; `-` (standard input) is kept as it is.

    A folder is expanded to the files in it whose name contains "log" or "access", without subfolders.

    :raises LogUnreadable: if a pattern matches no file, or a folder has no log or cannot be listed.
    """
    paths: list[Path] = []
    for text in patterns:
        path = Path(text)
        if path.is_dir():
            paths += _require_files(text, _logs_in(path))
        elif glob.has_magic(text) and not path.exists():
            paths += _require_files(text, [Path(name) for name in glob.glob(text, recursive=True)])  # noqa: PTH207  (the pattern may be absolute)
        else:
            paths.append(path)
    return paths


def _logs_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _LOG_NAME.search(path.name)]
    except OSError as error:
        raise decompression.LogUnreadable(f"{folder} cannot be listed: {error.strerror}") from error


def _require_files(text: str, paths: list[Path]) -> list[Path]:
    files = sorted((path for path in paths if path.is_file()), key=_rotation_order)
    if not files:
        raise decompression.LogUnreadable(f"{text}: no log file found")
    return files


def _rotation_order(path: Path) -> tuple[str, str, int, str]:
    """Sort key of rotated files: higher numbers are older, dates sort by date, no suffix is the newest."""
    match = _ROTATED.search(path.name)
    assert match is not None  # the pattern may be empty
    base = path.name[: match.start()]
    dated = re.fullmatch(r"(.*?)[-._]?(\d{4}-?\d\d-?\d\d.*)", base)
    name, date = (dated[1], dated[2]) if dated else (base, "\uffff")
    return str(path.parent), name, -int(match["number"] or 0) if not dated else 0, date
