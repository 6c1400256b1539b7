"""Error responses: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors, logs

MEDIA_TYPE: Final = "application/problem+json"
#: Prefix of `type`; each code has a heading in docs/reference/errors.md.
TYPE_PREFIX: Final = "urn:bursar:problem:"
INTERNAL_ERROR: Final = "an internal error occurred; the log has the details under request_id"

_RETRY_AFTER_SECONDS: Final = 1

log = logs.get(__name__)


class RateLimited(errors.Unavailable):
    """Rate limit exceeded."""

    code = "rate_limited"
    status = 429


class UriTooLong(errors.Invalid):
    """The path and query exceed the limit (RFC 9110 section 15.5.15)."""

    code = "uri_too_long"
    status = 414


class MethodNotAllowed(errors.Invalid):
    """The path does not support this method; `Allow` lists those that it does."""

    code = "method_not_allowed"
    status = 405


class RequestHeaderFieldsTooLarge(errors.Invalid):
    """The request has too many headers, or they are too long (RFC 6585)."""

    code = "request_header_fields_too_large"
    status = 431


class RequestTimeout(errors.Invalid):
    """The request body did not arrive in time."""

    code = "request_timeout"
    status = 408


class InvalidJson(errors.Invalid):
    """The body is not valid JSON, or has duplicate keys, NaN, lone surrogates or deep nesting."""

    code = "invalid_json"
    status = 400


class MisdirectedRequest(errors.Invalid):
    """The `Host` of the request is not one of `BURSAR_ALLOWED_HOSTS`."""

    code = "misdirected_request"
    status = 421


class PreconditionFailed(errors.Conflict):
    """The object was changed since the `ETag` in `If-Match` was read."""

    code = "precondition_failed"
    status = 412


class InternalError(errors.OutcomeUnknown):
    """An unexpected error, or the response took too long; the log has the details."""

    code = "internal_error"
    status = 500


#: Errors of the router, by status.
_ROUTER_ERRORS: Final[Mapping[int, type[errors.BursarError]]] = {
    400: InvalidJson,
    404: errors.NotFound,
    405: MethodNotAllowed,
}


def to_dict(
    *,
    status: int,
    code: str,
    detail: str,
    request_id: str,
    param: str | None = None,
    field_errors: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Build one problem object; *param* and *field_errors* are left out where empty."""
    problem: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if param:
        problem["param"] = param
    if field_errors:
        problem["errors"] = list(field_errors)
    return problem


def to_json(
    *,
    status: int,
    code: str,
    detail: str,
    param: str | None = None,
    field_errors: Sequence[Mapping[str, str]] = (),
) -> bytes:
    """Serialize one problem of the current request."""
    return orjson.dumps(
        to_dict(
            status=status,
            code=code,
            detail=detail,
            request_id=str(logs.bound_values().get("request_id", "")),
            param=param,
            field_errors=field_errors,
        )
    )


def to_response(error: errors.BursarError) -> Response:
    """
    Build the response for *error*.

    An error without an HTTP status is a bug: it is logged, and its text, which may name files of
    this machine, is not sent.
    """
    headers = {}
    if error.status is None:
        log.error("request_failed", error=error)
        return to_response(InternalError(INTERNAL_ERROR))
    if isinstance(error, errors.Unavailable):
        seconds = error.after_seconds or _RETRY_AFTER_SECONDS
        headers["Retry-After"] = str(math.ceil(seconds))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="bursar"'
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, InternalError):
        log.error("request_failed", error=error)
    body = to_json(
        status=error.status,
        code=error.code,
        detail=error.message,
        param=getattr(error, "param", None),
    )
    return Response(body, error.status, headers, MEDIA_TYPE)


async def handle_bursar_error(_: Request, error: Exception) -> Response:
    """Exception handler for `BursarError`."""
    assert isinstance(error, errors.BursarError)
    return to_response(error)


async def handle_http_exception(_: Request, error: Exception) -> Response:
    """Exception handler for errors of the router: unknown path or unsupported method."""
    assert isinstance(error, HTTPException)
    code = _ROUTER_ERRORS.get(error.status_code, errors.Invalid).code
    body = to_json(status=error.status_code, code=code, detail=str(error.detail))
    headers = dict(error.headers or {})
    return Response(body, error.status_code, headers, MEDIA_TYPE)
