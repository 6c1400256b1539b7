"""What became of one source when it was last asked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class FetchStatus(enum.StrEnum):
    """Whether a tile shows a value of now, one of before, or none."""

    OK = "ok"
    STALE = "stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult(Generic[T]):
    """
    One source's part of a board.

    *as_of* is when *value* was obtained: for a stale tile, since when nothing newer came. *reason*
    says in a short sentence, without secrets, why the value is not of now; it is "" for `State.OK`.
    *seconds* is how long this gathering took for the source, *attempts* how often it was asked,
    *hedged* whether a second attempt ran beside the first.
    """

    key: str
    state: FetchStatus
    value: T | None
    as_of: datetime | None
    seconds: float
    reason: str = ""
    attempts: int = 0
    hedged: bool = False
