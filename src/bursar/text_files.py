"""Text files that people write: rules, mappings, what to watch."""

from __future__ import annotations

from pathlib import Path

from bursar import errors


def read(path: Path, *, bytes_max: int, refusal: type[errors.BursarError]) -> str:
    """
    Return all of a file in UTF-8 of at most *bytes_max* bytes.

    :raises refusal: naming the file, if it cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise refusal(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise refusal(f"{path.name} is larger than {bytes_max:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal(f"{path.name} is not UTF-8") from error
