"""
`@retry`: retries calls with exponential backoff and jitter, within a deadline.

    @retry(3, errors.Unavailable, exponential, idempotent=True)
    def rates() -> Rates: ...

    @retry(key="request.key", dependency=operator.attrgetter("name"))
    async def charge(self, request: ChargeRequest) -> Result: ...

Only functions declared as repeatable are retried: `idempotent=True`, or `key=`, the argument with
the idempotency key of the call. Errors in `FINAL` are never retried, whatever *exceptions* says.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import random as draw
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from bursar import errors, logs
from bursar.decorators import decorator_order
from bursar.decorators.retry_budget import RetryBudget, budget_of

P = ParamSpec("P")
R = TypeVar("R")

log = logs.get(__name__)

#: Errors that the same call would meet again; the caller has to correct or accept them.
FINAL: Final = (
    errors.Invalid,
    errors.Denied,
    errors.NotFound,
    errors.Conflict,
    errors.Declined,
)

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Errors = type[Exception] | tuple[type[Exception], ...]
Backoff = Callable[[int], float]
Dependency = str | Callable[[Any], str] | RetryBudget


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """The longest wait after attempt n: first_seconds * factor^(n - 1), at most cap_seconds."""

    first_seconds: float = 0.1
    factor: float = 2.0
    cap_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not (0 <= self.first_seconds < math.inf and 1 <= self.factor < math.inf):
            raise ValueError("first_seconds must be at least 0, factor at least 1")
        if not 0 <= self.cap_seconds < math.inf:
            raise ValueError("cap_seconds must be finite and at least 0")

    def __call__(self, attempt: int) -> float:
        """Return seconds; *attempt* counts from 1."""
        try:
            return min(self.first_seconds * self.factor ** (attempt - 1), self.cap_seconds)
        except OverflowError:
            return self.cap_seconds


exponential: Final = ExponentialBackoff()


@dataclass(frozen=True, slots=True)
class RetryStatistics:
    """
    Counts of one function since the process started; calls without a failure are not counted.

    *retries* counts further attempts, *recovered* calls that succeeded after one. Failed calls:
    *attempts_exhausted*, *deadline_exceeded*, *budget_exhausted* (retry budget), *key_missing*
    (called without the idempotency key).
    """

    retries: int = 0
    recovered: int = 0
    attempts_exhausted: int = 0
    deadline_exceeded: int = 0
    budget_exhausted: int = 0
    key_missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """The options of one decorated function, and the decision whether to retry."""

    title: str
    max_attempts: int
    exceptions: Errors
    backoff: Backoff
    deadline_seconds: float
    key_of: Callable[[Args, Kwargs], object] | None
    clock: Callable[[], float]
    random: Callable[[], float]
    counts: dict[str, int]

    def wait_after(
        self,
        error: Exception,
        attempt: int,
        began: float,
        args: Args,
        kwargs: Kwargs,
        budget: RetryBudget | None,
    ) -> float | None:
        """Return the seconds to wait after a failed attempt, or None if *error* is raised."""
        if isinstance(error, FINAL):
            return None
        allowed = budget is None or budget.record_failure()
        wait = _retry_after(error) + self.random() * self.backoff(attempt)
        reason = ""
        if attempt >= self.max_attempts:
            reason = "attempts_exhausted"
        elif self.key_of is not None and not self.key_of(args, kwargs):
            reason = "key_missing"
            error.add_note(f"not retried: {self.title} was called without an idempotency key")
        elif not self.clock() - began + wait < self.deadline_seconds:
            reason = "deadline_exceeded"
        elif not allowed:
            reason = "budget_exhausted"
        self.counts[reason or "retries"] += 1
        fields = {"function": self.title, "attempt": attempt, "error": _error_label(error)}
        if reason:
            log.warning("retry_exhausted", reason=reason, **fields)
            return None
        log.warning("retry_scheduled", wait_seconds=round(wait, 3), **fields)
        return wait

    def record_recovery(self, budget: RetryBudget | None) -> None:
        """Count a call that succeeded after a retry."""
        self.counts["recovered"] += 1
        if budget is not None:
            budget.record_success()


def _retry_after(error: Exception) -> float:
    """Return the error's Retry-After in seconds (RFC 9110 section 10.2.3); 0 if none."""
    after = getattr(error, "after_seconds", None)
    if not isinstance(after, int | float) or math.isnan(after):
        return 0.0
    return max(float(after), 0.0)


def _error_label(error: Exception) -> str:
    return error.code if isinstance(error, errors.BursarError) else type(error).__name__


#: Statistics of all decorated functions, for the metrics.
_counts: WeakKeyDictionary[Callable[..., Any], dict[str, int]] = WeakKeyDictionary()


def retry_statistics(function: Callable[..., Any]) -> RetryStatistics:
    """Return the counts of *function*. :raises TypeError: if it has no `@retry`."""
    candidate: Any = function
    while candidate is not None:
        if candidate in _counts:
            return RetryStatistics(**_counts[candidate])
        candidate = getattr(candidate, "__wrapped__", None)
    raise TypeError(f"@retry is not on {decorator_order.title(function)}")


def all_retry_statistics() -> dict[str, RetryStatistics]:
    """Return statistics by dotted name of all functions with `@retry` in this process."""
    return {decorator_order.title(f): RetryStatistics(**counts) for f, counts in _counts.items()}


@overload
def retry(
    max_attempts: int = 3,
    exceptions: Errors = errors.Unavailable,
    backoff: Backoff = exponential,
    *,
    idempotent: Literal[True],
    deadline_seconds: float = 30.0,
    dependency: Dependency = "",
    sleep: Callable[[float], Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = draw,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


@overload
def retry(
    max_attempts: int = 3,
    exceptions: Errors = errors.Unavailable,
    backoff: Backoff = exponential,
    *,
    key: str,
    deadline_seconds: float = 30.0,
    dependency: Dependency = "",
    sleep: Callable[[float], Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = draw,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def retry(  # noqa: PLR0913  (the decorator's options)
    max_attempts: int = 3,
    exceptions: Errors = errors.Unavailable,
    backoff: Backoff = exponential,
    *,
    idempotent: bool = False,
    key: str = "",
    deadline_seconds: float = 30.0,
    dependency: Dependency = "",
    sleep: Callable[[float], Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = draw,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Call a function up to *max_attempts* times while it raises one of *exceptions*.

    After failed attempt n it waits `random() * backoff(n)` seconds (full jitter, "Exponential
    Backoff And Jitter", AWS Architecture Blog 2015), plus the error's `after_seconds` if it has
    one. *deadline_seconds* counts from the first attempt: no attempt starts after it, and if the
    wait would reach it the error is raised at once. An attempt in progress is not interrupted; it
    needs a time-out of its own.

    One of *idempotent* and *key* is required: *idempotent* declares that the call may be repeated;
    *key* is the path to the idempotency key of the call, from a parameter (`"request.key"`).

    *dependency* is the name of the called service. Its functions share one `RetryBudget`, which
    stops retries while most calls fail. It may be a function of the first argument, such as
    `operator.attrgetter("name")` for a method, or a `RetryBudget`.

    The last error is raised unchanged. *clock* and *sleep* use seconds; *random* returns numbers
    from 0 to 1.

    :raises TypeError: when decorating, without *idempotent* or *key*, if *exceptions* are final or
        no subclass of `Exception`, if there is no such parameter, or on a generator.
    :raises ValueError: when decorating, if a number is out of bounds.
    """
    if callable(max_attempts):
        raise TypeError(
            "@retry requires a declaration that retries are safe: @retry(idempotent=True)"
        )
    if max_attempts < 1 or not deadline_seconds > 0:
        raise ValueError("max_attempts must be at least 1, deadline_seconds above 0")
    _validate(exceptions, idempotent=idempotent, key=key)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        decorator_order.check_order("retry", function)
        decorator_order.refuse_generators("retry", function)
        counts = dict.fromkeys(RetryStatistics.__dataclass_fields__, 0)
        policy = _Policy(
            title=decorator_order.title(function),
            max_attempts=max_attempts,
            exceptions=exceptions,
            backoff=backoff,
            deadline_seconds=deadline_seconds,
            counts=counts,
            key_of=decorator_order.getter(function, key) if key else None,
            clock=clock,
            random=random,
        )
        make = _async if inspect.iscoroutinefunction(function) else _sync
        wrapper = make(function, policy, _budget_finder(dependency), sleep)
        decorator_order.mark("retry", wrapper, function)
        _counts[wrapper] = counts
        return cast("Callable[P, R]", wrapper)

    return decorate


def _validate(exceptions: Errors, *, idempotent: bool, key: str) -> None:
    """:raises TypeError: if the options do not allow safe retries."""
    if idempotent is bool(key):
        raise TypeError("@retry requires exactly one of idempotent=True and key=")
    named: tuple[object, ...] = exceptions if isinstance(exceptions, tuple) else (exceptions,)
    for each in named:
        if not (isinstance(each, type) and issubclass(each, Exception)):
            raise TypeError(f"@retry requires subclasses of Exception, not {each!r}")
        if issubclass(each, FINAL):
            raise TypeError(f"{each.__name__} is final: a retry would fail in the same way")


_Finder = Callable[[Args], RetryBudget]


def _budget_finder(dependency: Dependency) -> _Finder | None:
    """Return a function from the positional arguments of a call to its retry budget."""
    if isinstance(dependency, str):
        if not dependency:
            return None
        dependency = budget_of(dependency)
    if isinstance(dependency, RetryBudget):
        shared = dependency
        return lambda _: shared
    name_of = dependency
    return lambda args: budget_of(name_of(args[0]))


def _sync(  # noqa: C901  (two short closures over one policy)
    function: Callable[..., Any],
    policy: _Policy,
    find_budget: _Finder | None,
    sleep: Callable[[float], Any] | None,
) -> Callable[..., Any]:
    sleep_for = sleep or time.sleep
    # Fast path of a successful call: the clock is read once.
    exceptions, clock = policy.exceptions, policy.clock

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            result = function(*args, **kwargs)
        except exceptions as error:
            budget = None if find_budget is None else find_budget(args)
            wait = policy.wait_after(error, 1, began, args, kwargs, budget)
            if wait is None:
                raise
        else:
            if find_budget is not None:
                find_budget(args).record_success()
            return result
        # Outside the handler, so that a later error does not have this one as its context.
        return retry_loop(args, kwargs, began, wait, budget)

    def retry_loop(
        args: Args, kwargs: Kwargs, began: float, wait: float, budget: RetryBudget | None
    ) -> Any:
        attempt = 1
        while True:
            attempt += 1
            sleep_for(wait)
            try:
                result = function(*args, **kwargs)
            except exceptions as error:
                next_wait = policy.wait_after(error, attempt, began, args, kwargs, budget)
                if next_wait is None:
                    raise
                wait = next_wait
            else:
                policy.record_recovery(budget)
                return result

    return wrapper


def _async(  # noqa: C901  (as above)
    function: Callable[..., Any],
    policy: _Policy,
    find_budget: _Finder | None,
    sleep: Callable[[float], Awaitable[Any]] | None,
) -> Callable[..., Any]:
    sleep_for = sleep or asyncio.sleep
    exceptions, clock = policy.exceptions, policy.clock

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            result = await function(*args, **kwargs)
        except exceptions as error:
            budget = None if find_budget is None else find_budget(args)
            wait = policy.wait_after(error, 1, began, args, kwargs, budget)
            if wait is None:
                raise
        else:
            if find_budget is not None:
                find_budget(args).record_success()
            return result
        return await retry_loop(args, kwargs, began, wait, budget)

    async def retry_loop(
        args: Args, kwargs: Kwargs, began: float, wait: float, budget: RetryBudget | None
    ) -> Any:
        attempt = 1
        while True:
            attempt += 1
            await sleep_for(wait)
            try:
                result = await function(*args, **kwargs)
            except exceptions as error:
                next_wait = policy.wait_after(error, attempt, began, args, kwargs, budget)
                if next_wait is None:
                    raise
                wait = next_wait
            else:
                policy.record_recovery(budget)
                return result

    return wrapper
