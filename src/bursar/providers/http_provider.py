"""
JSON over HTTP for all providers, and one mapping of HTTP failures to errors.

A request that was not sent, or that the provider rejected as unavailable, was not carried out:
`Unavailable`. After that every response that is not clear is `OutcomeUnknown`. A circuit breaker
stops calls of an account whose provider keeps failing or rejects its credentials.
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
    A response with status 2xx or one of `readable_statuses`, and its JSON.

    *date* is the `Date` header: the provider's clock.
    """

    status: int
    body: Any
    date: str = ""


class ProviderCredentialsRejected(errors.Unavailable):
    """The provider rejected the API key (401, 403); nothing was carried out."""

    code = "provider_credentials_rejected"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """What most APIs need: a URL, an API key, and a deadline for each request in seconds."""

    url: str
    api_key: Secret
    timeout_seconds: float = 10.0


class HttpProvider(PaymentProvider):
    """
    Base class for providers with an HTTP API: sends requests and maps failures to errors.

    The config needs `url` and `timeout_seconds` (the deadline of a request, including its
    response). Its `api_key`, a `Secret`, is sent as a bearer token if there is one. A provider uses
    `HttpConfig` or declares a config of its own.
    """

    __slots__ = ()

    Config: ClassVar[type[Any]] = HttpConfig
    #: Statuses other than 2xx whose JSON `call` returns to the provider's class.
    readable_statuses: ClassVar[frozenset[int]] = frozenset({402, 404})
    #: Statuses that mean: not carried out, retry later.
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
        Send one request with *json* or *form* as its body and return the JSON of the response.

        *key* is sent as `Idempotency-Key`; a *form* is encoded by `form_encode`. Redirects are not
        followed. Errors name the provider, method and path, never the body: it may have personal
        data.

        :raises Unavailable: if the request was not sent, or rejected as unavailable
            (`unavailable_statuses`, with the seconds of Retry-After).
        :raises ProviderCredentialsRejected: on status 401 or 403. :raises Conflict: on 409.
        :raises Invalid: on another 4xx status: the request was read and rejected.
        :raises OutcomeUnknown: if it may have been carried out: no response within the deadline, a
            broken connection, another status, or a response that is not valid JSON.
        """
        call_name = f"{self.name}: {method} {path}"
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
        except ProviderCredentialsRejected as error:
            circuit.record_failure(str(error), open_now=True)
            raise
        except (errors.Unavailable, errors.OutcomeUnknown) as error:
            circuit.record_failure(str(error))
            raise
        except errors.BursarError:
            circuit.record_success()  # the provider works: it read and rejected the request
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
                raise errors.ExternalAPIError(
                    f"{call_name} was not sent: {failure}. It can be retried."
                ) from failure
            raise errors.OutcomeUnknown(
                f"{call_name} was sent, but {failure}. Look up its status."
            ) from failure
        return self._read(call_name, response)

    def _read(self, call_name: str, response: HttpResponse) -> JsonResponse:
        status, headers = response.status, response.headers
        if status in self.unavailable_statuses:
            raise errors.ExternalAPIError(
                f"{call_name} was rejected with {status}. Retry later.",
                after_seconds=retry_after_seconds(headers.get("Retry-After", ""), clock.now()),
            )
        if not 200 <= status < 300 and status not in self.readable_statuses:
            raise _status_error(call_name, status)
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            described = kind or "no content type"
            raise errors.OutcomeUnknown(
                f"{call_name} returned {described} instead of JSON. Look up its status.",
                http_status=status,
            )
        try:
            return JsonResponse(status, read_json(response.body), headers.get("Date", ""))
        except ValueError as error:
            raise errors.OutcomeUnknown(
                f"{call_name} returned invalid JSON. Look up its status.", http_status=status
            ) from error

    def headers(self) -> dict[str, str]:
        """Return the headers of every request; override for another way of authentication."""
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
        """Close all connections, including those of other event loops."""
        for client in _CLIENTS.pop(self, {}).values():
            await client.close()
        await super().close()


_CIRCUITS: WeakKeyDictionary[HttpProvider, circuit_breaker.CircuitBreaker] = WeakKeyDictionary()


def circuit_of(provider: HttpProvider) -> circuit_breaker.CircuitBreaker:
    """Return the circuit breaker of a provider instance, which acts for one account."""
    circuit = _CIRCUITS.get(provider)
    if circuit is None:
        circuit = _CIRCUITS[provider] = circuit_breaker.CircuitBreaker(provider.name)
    return circuit


#: HTTP clients by provider instance and event loop; each ends with either of them.
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
    # The body is left out: it may have personal data.
    kind: type[errors.BursarError] = errors.OutcomeUnknown
    if 400 <= status < 500 and status != 408:  # 408: a server or proxy timed out
        kind = {
            401: ProviderCredentialsRejected,
            403: ProviderCredentialsRejected,
            409: errors.Conflict,
        }.get(status, errors.Invalid)
    advice = {
        errors.OutcomeUnknown: "Look up its status.",
        ProviderCredentialsRejected: "Check the API key and its permissions.",
        errors.Conflict: "The idempotency key is in use for another request.",
    }.get(kind, "The request was not carried out; correct it.")
    return kind(f"{call_name} returned status {status}. {advice}", http_status=status)


def read_json(body: bytes) -> Any:
    """
    Parse JSON that every parser reads alike (RFC 8259 with the limits of I-JSON, RFC 7493).

    Numbers with a fraction are `Decimal`, never float.

    :raises ValueError: for invalid UTF-8, NaN, infinities, lone surrogates, or a duplicate member
        of an object.
    """
    orjson.loads(body)  # rejects all of these except duplicate members
    return json_module.loads(body, object_pairs_hook=_unique_members, parse_float=Decimal)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member of an object")
    return members


def decode(body: object, kind: type[T], label: str) -> T:
    """
    Convert *body*, parsed by `read_json`, to *kind*, a `msgspec.Struct`.

    :raises OutcomeUnknown: if it does not match; *label* names the object.
    """
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise errors.OutcomeUnknown(
            f"{label} does not have the expected schema: {error}"
        ) from error


def form_encode(form: Mapping[str, object], inside: str = "") -> Iterator[tuple[str, str]]:
    """
    Encode a nested *form* as pairs of name and text.

    Mappings become `a[b]`, sequences of mappings `a[0][b]`, other sequences `a[]`, booleans `true`
    and `false`. Values that are None or an empty text are omitted.
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
