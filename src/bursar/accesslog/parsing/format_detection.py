"""Detect the format of a log from its first lines."""

from __future__ import annotations

import numpy as np

from bursar.accesslog.parsing import columns, formats, json_lines
from bursar.accesslog.parsing.blocks import Block, Blocks
from bursar.accesslog.parsing.columns import Finder
from bursar.accesslog.parsing.formats import PRESETS, LogFormat, UnknownLogFormat

#: Number of lines that are checked; half of them must match the format.
_LINES_MAX = 100
_EXCERPT_BYTES_MAX = 120


class _Head:
    def __init__(self, head: bytes) -> None:
        self._head = memoryview(head)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._head))
        buffer[:count], self._head = self._head[:count], self._head[count:]
        return count

    def close(self) -> None:
        pass


def detect_format(head: bytes, *, name: str) -> LogFormat:
    """
    Return the preset or W3C format of *head*, the start of the log *name*; "combined" for an empty log.

    :raises UnknownLogFormat: if no format matches half of the first lines.
    """
    if (declared := formats.declared_format(head)) is not None:
        return declared
    block = _block(head)
    if block is None:
        return PRESETS["combined"]
    lines = [
        bytes(block.raw[start:end]) for start, end in zip(block.starts, block.ends, strict=True)
    ]
    if sum(map(json_lines.is_json_object, lines)) * 2 > len(lines) and any(
        map(json_lines.has_client, lines)
    ):
        return PRESETS["json"]
    for preset in PRESETS.values():
        good = columns.find_columns(block, preset, Finder(block)).good
        if not preset.is_json and good.sum() * 2 >= len(good):
            return preset
    excerpt = lines[0][:_EXCERPT_BYTES_MAX].decode("ascii", "backslashreplace")
    raise UnknownLogFormat(
        f"{name} has no known log format; it starts with {excerpt!a}. Set --format to a name or to the"
        " server's LogFormat or log_format text"
    )


def _block(head: bytes) -> Block | None:
    block = next(iter(Blocks(_Head(head), block_bytes=max(len(head), 1))), None)
    if block is None:
        return None
    filled = np.flatnonzero(block.ends > block.starts)[:_LINES_MAX]
    if not len(filled):
        return None
    return Block(block.raw, block.bytes, block.starts[filled], block.breaks[filled], block.extent)
