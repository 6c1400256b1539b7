"""
What providers share: JSON over HTTP with one table of errors, logging, and retrying.

`LoggingMixin` and `RetryMixin` wrap `charge`, `refund` and `get_status` by `super()`, so they stand
before the class that has those methods:

    class AcmeBank(JsonOverHttp, PaymentProvider): ...        # charge, refund, get_status
    class AcmeProvider(LoggingMixin, RetryMixin, AcmeBank): __slots__ = ()

Every mixin has empty `__slots__`: two with slots of their own could not be combined.
"""

# The wrapping methods call the class after them; `registry` refuses a provider with none there.
# mypy: disable-error-code="safe-super"

from __future__ import annotations

import asyncio
import operator
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import aiohttp
import orjson

from bursar import errors
from bursar.decorators import Exponential, log_call, retry
from bursar.providers.base import (
    ChargeRequest,
    PaymentProvider,
    RefundRequest,
    Result,
    Secret,
    StatusRequest,
)

#: Before any byte of the request left us: surely nothing happened.
UNSENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)

#: The longest answer that is read; a provider's answer to one operation has a few kilobytes.
ANSWER_BYTES_MAX = 1_048_576
#: The longest wait that a `Retry-After` is believed.
AFTER_SECONDS_MAX = 3_600.0


class Answer(NamedTuple):
    """A provider's clear answer (2xx, 402 or 404), and its JSON."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """What most providers' APIs need: an address, a key, and a deadline for each call."""

    url: str
    api_key: Secret
    timeout_seconds: float = 10.0


class JsonOverHttp(PaymentProvider):
    """
    One way to ask a provider by HTTP and to tell what its failures mean.

    Needs `config.url` and `config.timeout_seconds` (the deadline of a whole call), and sends
    `config.api_key`, a Secret, as a bearer token where the config has one: so `HttpConfig` will
    do, or a provider's own.
    """

    __slots__ = ()

    Config: ClassVar[type[Any]] = HttpConfig

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """
        Send one request, and return its answer if it is JSON with 2xx, 402 or 404.

        *key* goes into the `Idempotency-Key` header. 402 (declined) and 404 are the caller's to
        read. Redirects are not followed.

        :raises Unavailable: if nothing was sent, or it was turned away with 429 or 503.
        :raises Denied: if it answered 401 or 403. :raises Conflict: if 409.
        :raises Invalid: if another 4xx: the request was read and refused.
        :raises OutcomeUnknown: if it may have been carried out: no answer in time, a broken
            connection, another status, or an answer that cannot be read.
        """
        what = f"{method} {path}"
        sent = {**self.headers(), **({"Idempotency-Key": key} if key else {}), **(headers or {})}
        data = None
        if json is not None:
            data, sent["Content-Type"] = orjson.dumps(json), "application/json"
        url = self.config.url.rstrip("/") + path
        try:
            async with _session(self).request(
                method,
                url,
                data=data,
                params=params,
                headers=sent,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.config.timeout_seconds),
            ) as response:
                return _read(what, response, await _limited(what, response))
        except UNSENT as error:
            raise errors.ExternalAPIError(f"{what} was not sent: no connection") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.OutcomeUnknown(
                f"{what} was sent; no answer came ({type(error).__name__})"
            ) from error

    def headers(self) -> dict[str, str]:
        """The headers of every request; override it where the provider has its own way."""
        api_key = getattr(self.config, "api_key", None)
        if not isinstance(api_key, Secret):
            return {}
        return {"Authorization": f"Bearer {api_key.reveal()}"}

    async def disconnect(self) -> None:
        """Close the connections of the running event loop."""
        session = _SESSIONS.get(self, WeakKeyDictionary()).pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()
        await super().disconnect()

    async def close(self) -> None:
        """Close this provider's connections, those of other event loops too."""
        for session in _SESSIONS.pop(self, {}).values():
            await session.close()
        await super().close()


#: Connections belong to one event loop and one provider instance, and die with either.
_SESSIONS: WeakKeyDictionary[
    JsonOverHttp, WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]
] = WeakKeyDictionary()


def _session(provider: JsonOverHttp) -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    own = _SESSIONS.setdefault(provider, WeakKeyDictionary())
    session = own.get(loop)
    if session is None or session.closed:
        # How many calls run at once is decided by the caller's semaphore, and waiting here for a
        # free connection would look like a time-out after sending.
        session = own[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
    return session


async def _limited(what: str, response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer. :raises OutcomeUnknown: beyond `ANSWER_BYTES_MAX`."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(65_536):
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise errors.OutcomeUnknown(f"{what} answered more than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _read(what: str, response: aiohttp.ClientResponse, body: bytes) -> Answer:
    status = response.status
    if status in {429, 503}:
        raise errors.ExternalAPIError(
            f"{what} was turned away with {status}",
            after_seconds=after_seconds(response.headers.get("Retry-After", ""), _now()),
        )
    if refusal := _refusal(what, status):
        raise refusal
    if response.content_type != "application/json" and not response.content_type.endswith("+json"):
        raise errors.OutcomeUnknown(
            f"{what} answered {response.content_type}, not JSON", http_status=status
        )
    try:
        return Answer(status, orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise errors.OutcomeUnknown(f"{what} answered broken JSON", http_status=status) from error


def _refusal(what: str, status: int) -> errors.BursarError | None:
    # The body is not shown: it may tell who paid.
    if 200 <= status < 300 or status in {402, 404}:
        return None
    kind: type[errors.BursarError] = errors.OutcomeUnknown
    if 400 <= status < 500 and status != 408:  # 408: the server gave up reading, or a proxy did
        kind = {401: errors.Denied, 403: errors.Denied, 409: errors.Conflict}.get(
            status, errors.Invalid
        )
    return kind(f"{what} answered {status}", http_status=status)


def _now() -> datetime:
    return datetime.now(UTC)


def after_seconds(text: str, now: datetime) -> float | None:
    """
    Read a `Retry-After` header (RFC 9110 section 10.2.3: seconds, or a date).

    Between 0 and `AFTER_SECONDS_MAX`; None where it is missing or cannot be read.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), AFTER_SECONDS_MAX)


def _outcome(result: Result) -> str:
    return result.outcome.value


# At DEBUG, for a clear answer is in the books anyway; what raised is a WARNING. Who paid, with
# what and how much is not shown.
_logged = log_call(
    show={"provider": "self.name", "key": "request.key"},
    level="debug",
    outcome=_outcome,
    event="provider called",
)


class LoggingMixin(PaymentProvider):
    """Logs every operation: clear answers at DEBUG, trouble at WARNING; never who or what for."""

    __slots__ = ()

    @_logged
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge, and log it."""
        return await super().charge(request)

    @_logged
    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund, and log it."""
        return await super().refund(request)

    @_logged
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Look up, and log it."""
        return await super().get_status(request)


async def _pause(seconds: float) -> None:
    await RetryMixin.sleep(seconds)


def _dice() -> float:
    return RetryMixin.random()


# Nothing was sent, or it was turned away (`errors.Unavailable`): the same key may be sent again.
# A provider that wants more time than the deadline is not waited for: the queue does that better.
_retried = retry(
    3,
    errors.Unavailable,
    Exponential(first_seconds=0.1, cap_seconds=2.0),
    key="request.key",
    deadline_seconds=2.0,
    dependency=operator.attrgetter("name"),
    sleep=_pause,
    random=_dice,
)


class RetryMixin(PaymentProvider):
    """
    Calls again, under the same key, what was surely not carried out (`errors.Unavailable`).

    At most 3 calls within 2 seconds, with waits of up to 0.1 and 0.2 seconds (full jitter) on top
    of what the provider asks for; none while most calls of the provider fail (`RetryBudget`).
    """

    __slots__ = ()

    sleep: ClassVar[Callable[[float], Awaitable[None]]] = staticmethod(asyncio.sleep)
    random: ClassVar[Callable[[], float]] = staticmethod(random.random)

    @_retried
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge, again where nothing happened."""
        return await super().charge(request)

    @_retried
    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund, again where nothing happened."""
        return await super().refund(request)

    @_retried
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Look up, again where there was no answer."""
        return await super().get_status(request)


#: Classes that only wrap the three methods of a provider.
WRAPPERS: tuple[type[PaymentProvider], ...] = (LoggingMixin, RetryMixin)
