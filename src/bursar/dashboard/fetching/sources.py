"""What can be asked: an HTTP API, a coroutine, or a blocking function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from bursar import errors, logs

T = TypeVar("T")

log = logs.get(__name__)

#: The longest answer that is read, unless a source says otherwise.
BODY_BYTES_MAX = 1_048_576
#: Calls to one host at once, unless a source says otherwise.
AT_ONCE = 16


class FetchFailed(errors.Unavailable):
    """
    A source gave no value; the message says why, for people and without secrets.

    *again*: another attempt may fare better. *well*: its host did answer.
    """

    code = "source_unavailable"
    status = None

    def __init__(
        self, message: str, *, again: bool, well: bool = False, after_seconds: float | None = None
    ) -> None:
        super().__init__(message, after_seconds=after_seconds)
        self.again, self.well = again, well


def _whole(body: bytes) -> Any:
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource(Generic[T]):
    """
    An address that answers GET with 200; redirects are not followed.

    *read* makes the value of the body, quickly, in the event loop; *transform* makes another one of
    that in the process pool, so it must be a function of a module, and its values picklable.

    *timeout_seconds* bounds the source with all its attempts, *attempt_seconds* each of the at most
    *attempts_max*: connections that fail, time-outs, and statuses 429 and 5xx are tried again. It
    waits while *max_concurrency* calls to its host are running. *allows* is asked with every address (an IP
    address as text) before it is connected to: the guard of sources that users enter.
    """

    key: str
    url: str
    read: Callable[[bytes], T] = _whole
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    transform: Callable[[T], Any] | None = None
    timeout_seconds: float = 10.0
    attempt_seconds: float = 5.0
    attempts_max: int = 3
    body_bytes_max: int = BODY_BYTES_MAX
    max_concurrency: int = AT_ONCE
    allows: Callable[[str], bool] | None = None
    host: str = field(init=False)
    """Whom a circuit and a limit are for: host and port, as the address has them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", urlsplit(self.url).netloc.rpartition("@")[2])

    @property
    def repeatable(self) -> bool:
        """A GET may be sent again, and a second time beside the first."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CoroutineSource(Generic[T]):
    """
    A coroutine function, such as a provider's own client.

    It is asked again after `errors.Unavailable`, `OSError` and time-outs, at most *attempts_max*
    times; *repeatable* says that two calls may also run side by side. *host* names what it asks,
    so that its circuit is shared with others; it is its own without. The rest is as for
    `HttpSource`.
    """

    key: str
    function: Callable[[], Awaitable[T]]
    transform: Callable[[T], Any] | None = None
    timeout_seconds: float = 10.0
    attempt_seconds: float = 5.0
    attempts_max: int = 1
    max_concurrency: int = AT_ONCE
    host: str = ""
    repeatable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingSource(Generic[T]):
    """
    A function that blocks, such as a library without coroutines; it runs in a thread.

    A thread cannot be stopped: when the time is over the call goes on, and the next gathering waits
    for that call instead of starting another. The rest is as for `CoroutineSource`.
    """

    key: str
    function: Callable[[], T]
    transform: Callable[[T], Any] | None = None
    timeout_seconds: float = 10.0
    attempt_seconds: float = 10.0
    attempts_max: int = 1
    max_concurrency: int = AT_ONCE
    host: str = ""

    @property
    def repeatable(self) -> bool:
        """Never side by side: the first call could not be taken back."""
        return False


Source = HttpSource[Any] | CoroutineSource[Any] | BlockingSource[Any]


def failure_of(error: BaseException, key: str) -> FetchFailed:
    """What a failed attempt means; what an error says itself may hold secrets."""
    match error:
        case FetchFailed():
            return error
        case errors.Unavailable():
            return FetchFailed(error.message, again=True, after_seconds=error.after_seconds)
        case errors.BursarError():
            return FetchFailed(error.message, again=False, well=True)
        case OSError():  # a TimeoutError is one
            return FetchFailed(f"it was not reached ({type(error).__name__})", again=True)
        case _:
            log.error("source_raised", source=key, exc_info=error)
            return FetchFailed(f"it failed ({type(error).__name__})", again=False)
