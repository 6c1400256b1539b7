"""Errors as the API tells them: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors, logs

MEDIA_TYPE = "application/problem+json"
#: Each code has a heading in docs/reference/errors.md.
TYPE_PREFIX = "urn:bursar:problem:"

_FALLBACK_AFTER_SECONDS = 1

log = logs.get(__name__)


class TooManyRequests(errors.Unavailable):
    """The caller has used up what it may ask for in this minute."""

    code = "rate_limited"
    status = 429


class UriTooLong(errors.Invalid):
    """The request's path and query are longer than any of ours (RFC 9110 section 15.5.15)."""

    code = "uri_too_long"
    status = 414


class MethodNotAllowed(errors.Invalid):
    """The path does not take this method; `Allow` lists those that it does."""

    code = "method_not_allowed"
    status = 405


class RequestHeaderFieldsTooLarge(errors.Invalid):
    """The request has too many headers, or too long ones."""

    code = "request_header_fields_too_large"
    status = 431


class RequestTimeout(errors.Invalid):
    """The request's body did not arrive in time."""

    code = "request_timeout"
    status = 408


class InvalidJson(errors.Invalid):
    """The body is not JSON as we take it: no duplicate keys, NaN, lone surrogates, deep nesting."""

    code = "invalid_json"
    status = 400


class MisdirectedRequest(errors.Invalid):
    """The request is for a host this installation does not answer to."""

    code = "misdirected_request"
    status = 421


class PreconditionFailed(errors.Conflict):
    """The thing was changed since you read it (`If-Match`)."""

    code = "precondition_failed"
    status = 412


class InternalServerError(errors.OutcomeUnknown):
    """A bug of ours, or an answer that took too long; the log has it under the request's id."""

    code = "internal_error"
    status = 500


#: What the router refuses, by its status.
_BY_ROUTER: Mapping[int, type[errors.BursarError]] = {
    400: InvalidJson,
    404: errors.NotFound,
    405: MethodNotAllowed,
}


def to_json(
    *,
    status: int,
    code: str,
    detail: str,
    param: str | None = None,
    problems: Sequence[Mapping[str, str]] = (),
) -> bytes:
    """The JSON of one problem."""
    told: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": logs.bound_values().get("request_id", ""),
    }
    if param:
        told["param"] = param
    if problems:
        told["errors"] = list(problems)
    return orjson.dumps(told)


def to_response(error: errors.BursarError) -> Response:
    """
    The answer to a request that ended in *error*.

    One without an HTTP status is a bug of ours: its text, which may name files of this machine, is
    logged and not sent.
    """
    headers = {}
    if error.status is None:
        log.error("request_failed", error=error)
        return to_response(InternalServerError("something broke on our side"))
    if isinstance(error, errors.Unavailable):
        seconds = error.after_seconds or _FALLBACK_AFTER_SECONDS
        headers["Retry-After"] = str(math.ceil(seconds))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="bursar"'
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(
        error, InternalServerError
    ):
        log.error("request_failed", error=error)
    body = to_json(
        status=error.status,
        code=error.code,
        detail=error.message,
        param=getattr(error, "param", None),
    )
    return Response(body, error.status, headers, MEDIA_TYPE)


async def handle_bursar_error(_: Request, error: Exception) -> Response:
    """FastAPI's handler of our own errors."""
    assert isinstance(error, errors.BursarError)
    return to_response(error)


async def handle_validation_error(_: Request, error: Exception) -> Response:
    """FastAPI's handler of what does not fit a shape: all of it at once, the input not shown."""
    assert isinstance(error, RequestValidationError)
    found = [{"param": _param(one["loc"]), "detail": str(one["msg"])} for one in error.errors()]
    first = found[0]
    body = to_json(
        status=422,
        code="validation_error",
        detail=f"{first['param']}: {first['detail']}",
        param=first["param"],
        problems=found[:20],
    )
    return Response(body, 422, media_type=MEDIA_TYPE)


def _param(where: Sequence[str | int]) -> str:
    """`("body", "lines", 0, "sku")` as `lines[0].sku`."""
    path = ""
    for part in where[1:] if len(where) > 1 else where:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


async def handle_http_exception(_: Request, error: Exception) -> Response:
    """FastAPI's handler of what the router itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code = _BY_ROUTER.get(error.status_code, errors.Invalid).code
    body = to_json(status=error.status_code, code=code, detail=str(error.detail))
    headers = dict(error.headers or {})
    return Response(body, error.status_code, headers, MEDIA_TYPE)
