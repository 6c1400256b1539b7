"""Kinds of sources: an HTTP API, a coroutine, or a blocking function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from bursar import errors, logs

T = TypeVar("T")

log = logs.get(__name__)

#: The default limit of a response body.
BODY_BYTES_MAX = 1_048_576
#: The default limit of concurrent calls to one host.
MAX_CONCURRENCY = 16


class SourceUnavailable(errors.Unavailable):
    """
    Fetching a source failed; the message can be shown to users and contains no secrets.

    *is_retryable*: another attempt may succeed. *has_host_responded*: the host is reachable.
    """

    code = "source_unavailable"
    status = None

    def __init__(
        self,
        message: str,
        *,
        is_retryable: bool,
        has_host_responded: bool = False,
        after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, after_seconds=after_seconds)
        self.is_retryable, self.has_host_responded = is_retryable, has_host_responded


def _identity(body: bytes) -> Any:
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource(Generic[T]):
    """
    A URL that returns 200 to GET; redirects are not followed.

    *read* parses the body in the event loop, so it must be fast; *transform* converts the value in a
    worker process, so it must be a function of a module, with picklable values.

    *timeout_seconds* limits the source with all its attempts, *attempt_seconds* each of at most
    *attempts_max* attempts: connection failures, timeouts, and statuses 429 and 5xx are retried. At
    most *max_concurrency* calls to its host run at the same time. *is_address_allowed* is called with
    each IP address before a connection is opened: the SSRF protection of user-defined monitors.
    """

    key: str
    url: str
    read: Callable[[bytes], T] = _identity
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    transform: Callable[[T], Any] | None = None
    timeout_seconds: float = 10.0
    attempt_seconds: float = 5.0
    attempts_max: int = 3
    body_bytes_max: int = BODY_BYTES_MAX
    max_concurrency: int = MAX_CONCURRENCY
    is_address_allowed: Callable[[str], bool] | None = None
    host: str = field(init=False)
    """Host and port of the URL: the scope of the circuit breaker and the limit."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", urlsplit(self.url).netloc.rpartition("@")[2])

    @property
    def is_repeatable(self) -> bool:
        """True: a GET is idempotent and may be hedged."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CoroutineSource(Generic[T]):
    """
    A coroutine function, such as a method of a provider's client.

    It is retried after `errors.Unavailable`, `OSError` and timeouts, with at most *attempts_max*
    attempts; *is_repeatable*: it may also be hedged. Sources with the same *host* share a circuit
    breaker; without one a source has its own. The other fields are those of `HttpSource`.
    """

    key: str
    function: Callable[[], Awaitable[T]]
    transform: Callable[[T], Any] | None = None
    timeout_seconds: float = 10.0
    attempt_seconds: float = 5.0
    attempts_max: int = 1
    max_concurrency: int = MAX_CONCURRENCY
    host: str = ""
    is_repeatable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingSource(Generic[T]):
    """
    A blocking function, such as a call of a library without coroutines; it runs in a thread.

    A thread cannot be stopped: after the timeout the call runs on, and the next batch waits for that
    call instead of starting another. The other fields are those of `CoroutineSource`.
    """

    key: str
    function: Callable[[], T]
    transform: Callable[[T], Any] | None = None
    timeout_seconds: float = 10.0
    attempt_seconds: float = 10.0
    attempts_max: int = 1
    max_concurrency: int = MAX_CONCURRENCY
    host: str = ""

    @property
    def is_repeatable(self) -> bool:
        """False: a second call could not be cancelled."""
        return False


Source = HttpSource[Any] | CoroutineSource[Any] | BlockingSource[Any]


def to_fetch_failure(error: BaseException, key: str) -> SourceUnavailable:
    """Convert an error of an attempt; texts of foreign errors are dropped, they may hold secrets."""
    match error:
        case SourceUnavailable():
            return error
        case errors.Unavailable():
            return SourceUnavailable(
                error.message, is_retryable=True, after_seconds=error.after_seconds
            )
        case errors.BursarError():
            return SourceUnavailable(error.message, is_retryable=False, has_host_responded=True)
        case OSError():  # a TimeoutError is one
            return SourceUnavailable(f"unreachable ({type(error).__name__})", is_retryable=True)
        case _:
            log.error("monitor_check_raised", source=key, exc_info=error)
            return SourceUnavailable(f"failed ({type(error).__name__})", is_retryable=False)
