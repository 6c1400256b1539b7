"""Atomic file writes: a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bursar import errors


class OutputNotWritable(errors.Unavailable):
    """A file cannot be written (missing folder, permission, disk full); no partial file is left."""

    code = "output_not_writable"
    status = None


@contextlib.contextmanager
def open_atomic(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """
    Open a temporary file that replaces *path* when the block ends without an error.

    :raises OutputNotWritable: if it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputNotWritable(f"{path} cannot be written: {error.strerror}") from error


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """
    Write *content* to *path*, replacing an existing file atomically.

    :raises OutputNotWritable: if it cannot be written.
    """
    with open_atomic(path, mode=mode) as file:
        file.write(content)


def create_folder(folder: Path) -> None:
    """
    Create *folder* with mode 0700 if it does not exist.

    :raises OutputNotWritable: if it cannot be created.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritable(f"{folder} cannot be created: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
