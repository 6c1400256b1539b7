"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bursar import errors


class OutputFailed(errors.Unavailable):
    """A report cannot be written: no such folder, no right to it, or no room; nothing is left of it."""

    code = "output_not_writable"
    status = None


@contextlib.contextmanager
def writing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """
    Write a file that appears under the name *path* when the block ends; what was there stays until then.

    :raises OutputFailed: if that cannot be done.
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
        _keep_name(path.parent)
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """
    Write *content* under the name *path* at once; what was there stays until then.

    :raises OutputFailed: if that cannot be done.
    """
    with writing(path, mode=mode) as file:
        file.write(content)


def make_folder(folder: Path) -> None:
    """
    Make *folder* for the owner alone, if it is not there.

    :raises OutputFailed: if that cannot be done.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"{folder} cannot be made: {error.strerror}") from error


def _keep_name(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
