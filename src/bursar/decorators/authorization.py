"""
`@require_auth`: calls a function only for an authenticated caller with the required scope.

    @require_auth("orders:read")
    def orders() -> list[Order]: ...

The caller is the principal of the current context, set by `acting_as`. Without one, `authenticate=`
resolves the bearer token (RFC 6750) in the `Authorization` header of a request among the arguments
(Starlette, FastAPI or Django).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

from bursar import errors
from bursar.decorators import decorator_order

P = ParamSpec("P")
R = TypeVar("R")

TOKEN_LETTERS_MAX: Final = 4_096
#: RFC 6750 section 2.1: the scheme, one blank, and a b64token.
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9._~+/-]+=*)")


class Unauthenticated(errors.Denied):
    """The caller is not authenticated."""

    code = "unauthenticated"
    status = 401


class Forbidden(errors.Denied):
    """The caller lacks the required scope."""

    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Principal:
    """
    An authenticated caller, a user or an API key, with its scopes.

    *owner* is the user that owns a key; "" if that is *id*. *lineage* is the first key of a chain
    of rotations; "" if that is *id*.
    """

    id: str
    scopes: frozenset[str]
    owner: str = ""
    lineage: str = ""


#: Returns the principal of a bearer token, or None if the token is not valid.
Authenticator = Callable[[str], Principal | None]

_principal: ContextVar[Principal | None] = ContextVar("bursar_principal", default=None)


@contextlib.contextmanager
def acting_as(principal: Principal | None) -> Iterator[None]:
    """Set the principal of the current context, also for tasks started inside."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


def current_principal() -> Principal:
    """Return the principal of the context. :raises Unauthenticated: if there is none."""
    principal = _principal.get()
    if type(principal) is not Principal:
        raise Unauthenticated("authentication is required")
    return principal


class BearerTokens:
    """
    A fixed set of tokens, stored as SHA-256 digests.

    A token is compared with all of them, each in constant time, so that timing reveals neither a
    matching prefix nor the principal. Tokens must be random: a digest does not protect a guessable
    token.
    """

    __slots__ = ("_principals",)

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        """*principals* maps the hexadecimal SHA-256 of each token to its principal."""
        for digest in principals:
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ValueError("keys must be SHA-256 digests in lower-case hexadecimal")
        self._principals = [(digest.encode("ascii"), whose) for digest, whose in principals.items()]

    def __call__(self, token: str) -> Principal | None:
        """Return the principal of *token*, or None."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest().encode("ascii")
        match = None
        for stored_digest, principal in self._principals:
            if hmac.compare_digest(stored_digest, digest):
                match = principal
        return match


def require_auth(
    scope: str, *, authenticate: Authenticator | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Allow only callers with *scope*.

    Scopes are compared exactly; no scope includes another. The decorated function raises
    `Unauthenticated` (401) without an authenticated caller and `Forbidden` (403) without the scope;
    its body does not run.

    :raises TypeError: when decorating, without a scope or on anything but a function.
    """
    if callable(scope) or not scope:
        raise TypeError('@require_auth needs a scope: @require_auth("orders:read")')

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        decorator_order.check_order("require_auth", function)
        make = _async if inspect.iscoroutinefunction(function) else _sync
        wrapper = make(function, scope, authenticate)
        decorator_order.mark("require_auth", wrapper, function)
        return cast("Callable[P, R]", wrapper)

    return decorate


def _sync(
    function: Callable[..., Any], scope: str, authenticate: Authenticator | None
) -> Callable[..., Any]:
    current = _principal.get

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        principal = current()
        if type(principal) is Principal and scope in principal.scopes:
            return function(*args, **kwargs)
        with acting_as(_authorize(principal, scope, authenticate, args, kwargs)):
            return function(*args, **kwargs)

    return wrapper


def _async(
    function: Callable[..., Any], scope: str, authenticate: Authenticator | None
) -> Callable[..., Any]:
    current = _principal.get

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        principal = current()
        if type(principal) is Principal and scope in principal.scopes:
            return await function(*args, **kwargs)
        with acting_as(_authorize(principal, scope, authenticate, args, kwargs)):
            return await function(*args, **kwargs)

    return wrapper


def _authorize(
    principal: object,
    scope: str,
    authenticate: Authenticator | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Principal:
    """Return the caller. :raises Unauthenticated: :raises Forbidden: without *scope*."""
    if principal is None and authenticate is not None:
        principal = authenticate(_request_token(args, kwargs))
    if type(principal) is not Principal:
        raise Unauthenticated("a valid bearer token is required")
    if scope not in principal.scopes:
        raise Forbidden(f"the scope {scope} is required", scope=scope, principal=principal.id)
    return principal


def _request_token(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    for argument in (*args, *kwargs.values()):
        headers = getattr(argument, "headers", None)
        if isinstance(headers, Mapping):
            return bearer_token(headers)
    raise Unauthenticated("no request with an Authorization header among the arguments")


def bearer_token(headers: Mapping[str, str]) -> str:
    """
    Return the token of the `Authorization: Bearer` header.

    :raises Unauthenticated: if it is missing, repeated, too long or malformed.
    """
    get_list = getattr(headers, "getlist", None)
    values = get_list("authorization") if get_list is not None else [headers.get("Authorization")]
    if len(values) != 1 or not isinstance(values[0], str) or len(values[0]) > TOKEN_LETTERS_MAX:
        raise Unauthenticated("one Authorization header with a bearer token is required")
    match = _BEARER.fullmatch(values[0])
    if match is None:
        raise Unauthenticated("the Authorization header has no bearer token")
    return match[1]
