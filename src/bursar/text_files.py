"""Read hand-written text files: pricing rules, import mappings, monitors."""

from __future__ import annotations

from pathlib import Path

from bursar import errors


def read(path: Path, *, bytes_max: int, error_class: type[errors.BursarError]) -> str:
    """
    Return the text of a UTF-8 file of at most *bytes_max* bytes.

    :raises error_class: if it cannot be read, is larger, or is not UTF-8; the message names the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise error_class(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise error_class(f"{path.name} is larger than {bytes_max:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise error_class(f"{path.name} is not UTF-8") from error
