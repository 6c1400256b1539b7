"""The result of fetching one source."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class FetchStatus(enum.StrEnum):
    """Whether a result has a current value, the last one, or none."""

    OK = "ok"
    STALE = "stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult(Generic[T]):
    """
    The result of one source in a batch.

    *value* was fetched at *as_of*; a stale result has the last value. *reason* says, without
    secrets, why the fetch failed; it is "" if it succeeded. *seconds* is the duration in this batch,
    *attempts* the number of requests; *hedged* is True if two attempts ran concurrently.
    """

    key: str
    state: FetchStatus
    value: T | None
    as_of: datetime | None
    seconds: float
    reason: str = ""
    attempts: int = 0
    hedged: bool = False
