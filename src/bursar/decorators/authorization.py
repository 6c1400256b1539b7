"""
`@require_auth`: only a caller who is known and has the scope gets in; nobody does by default.

    @require_auth("orders:read")
    def orders() -> list[Order]: ...

The caller is the principal of the current context (`acting_as`), which is set at the edge, once.
Where it is not, `authenticate=` makes one of the bearer token (RFC 6750) in the `Authorization`
header of a request among the arguments, be it Starlette's, FastAPI's or Django's.
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
    """Nobody knows who is calling."""

    code = "unauthenticated"
    status = 401


class Forbidden(errors.Denied):
    """The caller is known and may not do this."""

    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who is calling: a person or a key, by *id*, and what it may do.

    *owner* is who is behind it, the same for every key of one person; "" where that is *id*.
    *lineage* is the first of the keys that this one replaced in turn; "" where that is *id*.
    """

    id: str
    scopes: frozenset[str]
    owner: str = ""
    lineage: str = ""


#: A bearer token in, whose it is out; None where it is nobody's.
Authenticator = Callable[[str], Principal | None]

_principal: ContextVar[Principal | None] = ContextVar("bursar_principal", default=None)


@contextlib.contextmanager
def acting_as(principal: Principal | None) -> Iterator[None]:
    """Make *principal* the caller of everything inside, in this task or thread and those it starts."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


def current_principal() -> Principal:
    """:raises Unauthenticated: if there is none."""
    principal = _principal.get()
    if type(principal) is not Principal:
        raise Unauthenticated("say who you are")
    return principal


class BearerTokens:
    """
    A fixed list of tokens, kept as SHA-256 digests.

    A token is compared with all of them, each in constant time, so that how long it takes tells
    neither how much of it is right nor whose it is. Tokens must be random: a digest does not
    protect what can be guessed.
    """

    __slots__ = ("_principals",)

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        """*known* maps the hexadecimal SHA-256 of each token to whose it is."""
        for digest in principals:
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ValueError("a SHA-256 in lower-case hexadecimal is expected")
        self._principals = [(digest.encode("ascii"), whose) for digest, whose in principals.items()]

    def __call__(self, token: str) -> Principal | None:
        """Whose *token* is, or None."""
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
    Let only callers in who have *scope*.

    Scopes are compared letter by letter; there is none that includes others.

    :raises TypeError: when decorating, without a scope or on anything but a function.
    The function raises `Unauthenticated` (401) where nobody knows the caller, and `Forbidden` (403)
    where the scope is missing; its body is not run.
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
    """Return the caller, who has *scope*. :raises Unauthenticated: :raises Forbidden: if not."""
    if principal is None and authenticate is not None:
        principal = authenticate(_request_token(args, kwargs))
    if type(principal) is not Principal:
        raise Unauthenticated("say who you are, with a bearer token that is valid")
    if scope not in principal.scopes:
        raise Forbidden(f"this needs the scope {scope}", scope=scope, principal=principal.id)
    return principal


def _request_token(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    for argument in (*args, *kwargs.values()):
        headers = getattr(argument, "headers", None)
        if isinstance(headers, Mapping):
            return bearer_token(headers)
    raise Unauthenticated("say who you are: there is no request to tell it")


def bearer_token(headers: Mapping[str, str]) -> str:
    """
    Read the token of an `Authorization: Bearer` header.

    :raises Unauthenticated: if it is missing, there twice, too long, or not of that form.
    """
    get_list = getattr(headers, "getlist", None)
    values = get_list("authorization") if get_list is not None else [headers.get("Authorization")]
    if len(values) != 1 or not isinstance(values[0], str) or len(values[0]) > TOKEN_LETTERS_MAX:
        raise Unauthenticated("one Authorization header with a bearer token is needed")
    match = _BEARER.fullmatch(values[0])
    if match is None:
        raise Unauthenticated("the Authorization header holds no bearer token")
    return match[1]
