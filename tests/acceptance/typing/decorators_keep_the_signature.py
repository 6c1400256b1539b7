"""What is decorated has the type it had; wrong calls and wrong decorators are refused."""

from collections.abc import Callable, Coroutine
from typing import Any, assert_type, reveal_type

from bursar import errors
from bursar.decorators import cache, log_call, require_auth, retry


@log_call
@require_auth("rates:read")
@cache(100, 60.0)
@retry(idempotent=True)
def rate(base: str, other: str = "EUR") -> float:
    return 1.0


@log_call(show=("base",))
@require_auth("rates:read")
@cache(100, 60.0)
@retry(3, errors.Unavailable, key="base")
async def arate(base: str, *, other: str = "EUR") -> float:
    return 1.0


class Rates:
    @log_call
    @cache(100, 60.0)
    def of(self, base: str) -> int:
        return 1

    @require_auth("rates:read")
    @retry(key="key")
    async def send(self, key: str) -> bytes:
        return b""


reveal_type(rate)  # E: "def (base: str, other: str =) -> float"
reveal_type(arate)  # E: "def (base: str, *, other: str =) -> typing.Coroutine[Any, Any, float]"
reveal_type(Rates().of)  # E: "def (base: str) -> int"
reveal_type(Rates().send)  # E: "def (key: str) -> typing.Coroutine[Any, Any, bytes]"

assert_type(rate("USD"), float)
told: Coroutine[Any, Any, float] = arate("USD", other="CHF")
method: Callable[[str], int] = Rates().of

rate(1)  # E: incompatible type
rate("USD", third="x")  # E: Unexpected keyword argument
Rates().of()  # E: Missing positional argument


@retry()  # E: All overload variants of "retry" require at least one argument
def neither() -> None: ...


@retry(idempotent=False)  # E: No overload variant
def not_safe() -> None: ...


@cache(10)  # E: Missing positional argument "ttl_seconds"
def no_age() -> None: ...


@require_auth()  # E: Missing positional argument "scope"
def no_scope() -> None: ...
