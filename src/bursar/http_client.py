"""
The HTTP client of providers, dashboard sources and webhooks: aiohttp within limits.

Redirects are not followed and cookies are not kept. Size and time of a response are bounded, and a
hook may refuse the IP address that a host name resolves to. Every failure below HTTP
is one exception, `HttpFailure`, which says whether the request may have reached the server; what a
status means is up to the caller.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import aiohttp

USER_AGENT: Final = "bursar"
#: The longest response body that is read, unless the caller says otherwise.
BODY_BYTES_MAX: Final = 1_048_576
#: The longest wait that a `Retry-After` header is believed.
RETRY_AFTER_SECONDS_MAX: Final = 3_600.0

_UNBOUNDED: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)

IsAddressAllowed = Callable[[str], bool]
_AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class HttpFailure(Exception):
    """
    A request without a complete response; the message says why and holds no secret.

    *is_sent* is False where no byte of the request has left this machine. *is_permanent*: the same
    request would fail in the same way. *is_answered*: the server did send a response, which was
    refused.
    """

    def __init__(
        self,
        message: str,
        *,
        is_sent: bool,
        is_permanent: bool = False,
        is_answered: bool = False,
    ) -> None:
        super().__init__(message)
        self.is_sent, self.is_permanent, self.is_answered = is_sent, is_permanent, is_answered


class HttpResponse(NamedTuple):
    """
    A response with its body, which is empty where its status is not one of `body_statuses`.

    *url* is the address as the client has parsed it; it may be passed to `HttpClient.request`
    again, which spares parsing it anew.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: Any


class _AddressRefused(OSError):
    """An IP address that the client's hook refuses."""


class HttpClient:
    """
    Open connections of the running event loop.

    *is_address_allowed* is called with each IP address before a connection to it is opened.
    Without *accepts_compressed* a compressed response is refused; with it the limit of size is that
    of the decompressed body. An idle connection is kept for *keepalive_seconds*, a resolved host
    name for *dns_seconds*. The caller limits the number of concurrent requests.
    """

    def __init__(
        self,
        *,
        is_address_allowed: IsAddressAllowed | None = None,
        accepts_compressed: bool = False,
        keepalive_seconds: float = 15.0,
        dns_seconds: int = 10,
    ) -> None:
        self._accepts_compressed = accepts_compressed
        # A limit of connections here would make a waiting request look like a slow server, or like
        # one that was sent.
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=keepalive_seconds,
            ttl_dns_cache=dns_seconds,
            socket_factory=None if is_address_allowed is None else _guarded(is_address_allowed),
        )
        headers = {"User-Agent": USER_AGENT}
        if not accepts_compressed:
            headers["Accept-Encoding"] = "identity"
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            auto_decompress=accepts_compressed,
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    async def request(
        self,
        method: str,
        url: Any,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        timeout_seconds: float | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
        body_statuses: Container[int] | None = None,
    ) -> HttpResponse:
        """
        Send one request and read the response.

        *timeout_seconds* bounds the request with its response, and the connection attempt by half of that; without
        one the caller bounds it. *url* is a text or `HttpResponse.url`. The body is read where the
        status is one of *body_statuses*, or always where that is None.

        :raises HttpFailure: if there is no complete response within the limits.
        """
        timeout = _UNBOUNDED
        if timeout_seconds is not None:
            # A server that does not even accept the connection in half the time received nothing.
            timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=timeout_seconds / 2)
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                params=params,
                data=data,
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                body = b""
                if body_statuses is None or response.status in body_statuses:
                    body = await self._read_body(response, body_bytes_max)
                return HttpResponse(response.status, response.headers, body, response.url)
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise _failure(error) from error

    async def _read_body(self, response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
        is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
        if not is_plain and not self._accepts_compressed:
            raise _refuse(response, "unexpected compressed response")
        length = response.content_length if is_plain else None
        if length is not None and length <= bytes_max:
            return await response.read()
        parts: list[bytes] = []
        size = 0
        while length is None:
            part = await response.content.readany()
            if not part:
                return b"".join(parts)
            size += len(part)
            if size > bytes_max:
                break
            parts.append(part)
        raise _refuse(response, f"response larger than {bytes_max:,} bytes")

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn


def _guarded(is_allowed: IsAddressAllowed) -> Callable[[_AddressInfo], socket.socket]:
    def create(info: _AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(str(address[0])):
            raise _AddressRefused("not allowed")
        return socket.socket(family, kind, protocol)

    return create


def _refuse(response: aiohttp.ClientResponse, why: str) -> HttpFailure:
    response.close()  # discards the rest of the body
    return HttpFailure(why, is_sent=True, is_permanent=True, is_answered=True)


def _failure(error: Exception) -> HttpFailure:
    """Convert an error of the library; its text is dropped, it may hold secrets."""
    why, is_sent, is_permanent = "connection lost", True, False
    match error:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            why, is_sent, is_permanent = "invalid URL", False, True
        case aiohttp.ClientConnectorDNSError():
            why, is_sent = "host name cannot be resolved", False
        case aiohttp.ClientConnectorCertificateError():
            detail = getattr(error.certificate_error, "verify_message", "") or "not trusted"
            why, is_sent, is_permanent = f"certificate rejected: {detail}", False, True
        case aiohttp.ClientSSLError():
            why, is_sent, is_permanent = "TLS handshake failed", False, True
        case aiohttp.ClientConnectorError(os_error=_AddressRefused()):
            why, is_sent, is_permanent = "address not allowed", False, True
        case aiohttp.ClientConnectorError():
            code = error.os_error.errno
            why, is_sent = f"connection failed ({os.strerror(code) if code else 'refused'})", False
        case aiohttp.ConnectionTimeoutError():
            why, is_sent = "connection timed out", False
        case aiohttp.ClientResponseError():
            why, is_permanent = "invalid HTTP response", True
        case TimeoutError():
            why = "no response in time"
    return HttpFailure(why, is_sent=is_sent, is_permanent=is_permanent)


def retry_after_seconds(text: str, now: datetime) -> float | None:
    """
    Read a `Retry-After` header (RFC 9110 section 10.2.3: seconds, or a date).

    Between 0 and `RETRY_AFTER_SECONDS_MAX`; None where it is missing or cannot be read.
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
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
