"""
JSON over HTTP for all providers: one table from failures of `http_client` to our errors.

Before a byte left us, or when the provider turned the call away, nothing happened: `Unavailable`.
After that, whatever is no clear answer is `OutcomeUnknown`. A circuit (`breaking`) spares an
account whose provider fails all the time, or refuses our key.
"""

from __future__ import annotations

import asyncio
import json as json_module
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import msgspec
import orjson

from bursar import clock, errors
from bursar.http_client import HttpClient, HttpFailure, HttpResponse, retry_after_seconds
from bursar.providers import circuit_breaker
from bursar.providers.interface import PaymentProvider, Secret

T = TypeVar("T")


class JsonResponse(NamedTuple):
    """
    A provider's clear answer: 2xx, or another status that it gives its own meaning.

    *date* is the time of the provider's clock, as its header tells it.
    """

    status: int
    body: Any
    date: str = ""


class CredentialsRejected(errors.Unavailable):
    """The provider refused our API key (401, 403): nothing happened, and nothing will."""

    code = "provider_credentials_rejected"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """What most providers' APIs need: an address, a key, and a deadline for each call."""

    url: str
    api_key: Secret
    timeout_seconds: float = 10.0


class HttpProvider(PaymentProvider):
    """
    One way to ask a provider by HTTP and to tell what its failures mean.

    Needs `config.url` and `config.timeout_seconds` (the deadline of a whole call), and sends
    `config.api_key`, a Secret, as a bearer token where the config has one: so `HttpConfig` will
    do, or a provider's own.
    """

    __slots__ = ()

    Config: ClassVar[type[Any]] = HttpConfig
    #: Statuses beside 2xx whose JSON the provider's own class reads.
    readable_statuses: ClassVar[frozenset[int]] = frozenset({402, 404})
    #: Statuses with which the provider says that it did nothing, and may when asked later.
    unavailable_statuses: ClassVar[frozenset[int]] = frozenset({429, 503})

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> JsonResponse:
        """
        Send one request with *json* or *form* as its body, and return its answer if it is JSON
        with 2xx or a status of `clear`.

        *key* goes into the `Idempotency-Key` header; a *form* is written as `flattened` says.
        Redirects are not followed.

        :raises Unavailable: if nothing was sent, or it was turned away;
        :raises KeyRefused: if it answered 401 or 403. :raises Conflict: if 409.
        :raises Invalid: if another 4xx: the request was read and refused.
        :raises OutcomeUnknown: if it may have been carried out: no answer in time, a broken
            connection, another status, or an answer that cannot be read.
        """
        call_name = f"{method} {path}"
        sent = {**self.headers(), **({"Idempotency-Key": key} if key else {}), **(headers or {})}
        data = None
        if json is not None:
            data, sent["Content-Type"] = orjson.dumps(json), "application/json"
        elif form is not None:
            data = urlencode(list(form_encode(form))).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        circuit = circuit_of(self)
        circuit.before_call()
        try:
            response = await self._send(
                call_name, method, path, data=data, params=params, headers=sent
            )
        except CredentialsRejected as error:
            circuit.record_failure(str(error), open_now=True)
            raise
        except (errors.Unavailable, errors.OutcomeUnknown) as error:
            circuit.record_failure(str(error))
            raise
        except errors.BursarError:
            circuit.record_success()  # read and refused: the provider is well
            raise
        except BaseException:
            circuit.record_cancelled()
            raise
        circuit.record_success()
        return response

    async def _send(
        self,
        call_name: str,
        method: str,
        path: str,
        *,
        data: bytes | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> JsonResponse:
        try:
            response = await _client(self).request(
                method,
                self.config.url.rstrip("/") + path,
                data=data,
                params=params,
                headers=headers,
                timeout_seconds=self.config.timeout_seconds,
            )
        except HttpFailure as failure:
            if not failure.is_sent:
                raise errors.ExternalAPIError(f"{call_name} was not sent: {failure}") from failure
            raise errors.OutcomeUnknown(f"{call_name} was sent, but {failure}") from failure
        return self._read(call_name, response)

    def _read(self, call_name: str, response: HttpResponse) -> JsonResponse:
        status, headers = response.status, response.headers
        if status in self.unavailable_statuses:
            raise errors.ExternalAPIError(
                f"{call_name} was turned away with {status}",
                after_seconds=retry_after_seconds(headers.get("Retry-After", ""), clock.now()),
            )
        if not 200 <= status < 300 and status not in self.readable_statuses:
            raise _status_error(call_name, status)
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            described = kind or "without a content type"
            raise errors.OutcomeUnknown(
                f"{call_name} answered {described}, not JSON", http_status=status
            )
        try:
            return JsonResponse(status, read_json(response.body), headers.get("Date", ""))
        except ValueError as error:
            raise errors.OutcomeUnknown(
                f"{call_name} answered broken JSON", http_status=status
            ) from error

    def headers(self) -> dict[str, str]:
        """The headers of every request; override it where the provider has its own way."""
        api_key = getattr(self.config, "api_key", None)
        if not isinstance(api_key, Secret):
            return {}
        return {"Authorization": f"Bearer {api_key.reveal()}"}

    async def disconnect(self) -> None:
        """Close the connections of the running event loop."""
        client = _CLIENTS.get(self, WeakKeyDictionary()).pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        await super().disconnect()

    async def close(self) -> None:
        """Close this provider's connections, those of other event loops too."""
        for client in _CLIENTS.pop(self, {}).values():
            await client.close()
        await super().close()


_CIRCUITS: WeakKeyDictionary[HttpProvider, circuit_breaker.CircuitBreaker] = WeakKeyDictionary()


def circuit_of(provider: HttpProvider) -> circuit_breaker.CircuitBreaker:
    """The circuit of one provider object, which acts for one account."""
    circuit = _CIRCUITS.get(provider)
    if circuit is None:
        circuit = _CIRCUITS[provider] = circuit_breaker.CircuitBreaker(provider.name)
    return circuit


#: Connections belong to one event loop and one provider instance, and die with either.
_CLIENTS: WeakKeyDictionary[
    HttpProvider, WeakKeyDictionary[asyncio.AbstractEventLoop, HttpClient]
] = WeakKeyDictionary()


def _client(provider: HttpProvider) -> HttpClient:
    loop = asyncio.get_running_loop()
    clients = _CLIENTS.setdefault(provider, WeakKeyDictionary())
    client = clients.get(loop)
    if client is None or client.is_closed:
        client = clients[loop] = HttpClient(accepts_compressed=True)
    return client


def _status_error(call_name: str, status: int) -> errors.BursarError:
    # The body is not shown: it may tell who paid.
    kind: type[errors.BursarError] = errors.OutcomeUnknown
    if 400 <= status < 500 and status != 408:  # 408: the server gave up reading, or a proxy did
        kind = {401: CredentialsRejected, 403: CredentialsRejected, 409: errors.Conflict}.get(
            status, errors.Invalid
        )
    return kind(f"{call_name} answered {status}", http_status=status)


def read_json(body: bytes) -> Any:
    """
    Read JSON as one parser and another would read it alike (RFC 8259, narrowed as RFC 7493 says).

    Numbers with a point are `Decimal`: no float comes near money.

    :raises ValueError: for bad UTF-8, NaN, infinities, lone surrogates, or a key that is twice in
        one object.
    """
    orjson.loads(body)  # refuses all but the twice given key
    return json_module.loads(body, object_pairs_hook=_unique_members, parse_float=Decimal)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is there twice")
    return members


def decode(body: object, kind: type[T], label: str) -> T:
    """
    What `read_json` gave, as a message of *kind* (a `msgspec.Struct`).

    :raises OutcomeUnknown: if it is none: what the provider meant cannot be known.
    """
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise errors.OutcomeUnknown(f"{label} is told in another form: {error}") from error


def form_encode(form: Mapping[str, object], inside: str = "") -> Iterator[tuple[str, str]]:
    """
    Write a nested *form* as pairs: `a[b]` for mappings, `a[0]` for sequences of mappings, `a[]`
    for other sequences, `true` and `false`; what is None or an empty text is left out.
    """
    for name, value in form.items():
        full = f"{inside}[{name}]" if inside else name
        if isinstance(value, Mapping):
            yield from form_encode(value, full)
        elif isinstance(value, list | tuple):
            if value and isinstance(value[0], Mapping):
                yield from form_encode({str(n): one for n, one in enumerate(value)}, full)
            else:
                yield from ((f"{full}[]", str(one)) for one in value)
        elif isinstance(value, bool):
            yield full, "true" if value else "false"
        elif value is not None and value != "":
            yield full, str(value)
