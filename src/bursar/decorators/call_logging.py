"""
`@log_call`: logs each call with outcome, duration and selected arguments.

    @log_call(show=("order_id",), slow_seconds=0.5)
    def place(*, order_id: str, method: str) -> None: ...

Only the arguments named in *show* are logged; `logs` masks secrets among them. A failure of logging
never affects the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, overload

from bursar import errors, logs
from bursar.decorators import decorator_order

P = ParamSpec("P")
R = TypeVar("R")

Level = Literal["debug", "info", "warning"]


@overload
def log_call(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def log_call(
    *,
    show: Sequence[str] | Mapping[str, str] = (),
    level: Level = "info",
    slow_seconds: float | None = None,
    outcome: Callable[[Any], str] | None = None,
    event: str = "call_finished",
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def log_call(
    function: Callable[..., Any] | None = None,
    /,
    *,
    show: Sequence[str] | Mapping[str, str] = (),
    level: Level = "info",
    slow_seconds: float | None = None,
    outcome: Callable[[Any], str] | None = None,
    event: str = "call_finished",
    clock: Callable[[], float] = time.perf_counter,
) -> Any:
    """
    Log each call when it ends, with `function`, `outcome`, `duration_ms` and `arguments`.

    *show* lists the parameters to log, with attributes (`"request.key"`), or maps log names to such
    paths. The level is *level*, or WARNING if the call raised or took longer than *slow_seconds*
    (with `slow` true). `outcome` is "returned" or *outcome(result)*; for an exception the code of a
    `BursarError` or the class name; or "cancelled". *clock* returns seconds.

    :raises TypeError: when decorating, if there is no such parameter, or on a generator.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        decorator_order.check_order("log_call", function)
        decorator_order.refuse_generators("log_call", function)
        named = show if isinstance(show, Mapping) else {path: path for path in show}
        line = _CallLogger(
            function,
            event,
            level,
            slow_seconds,
            outcome,
            {name: decorator_order.getter(function, path) for name, path in named.items()},
        )
        make = _async if inspect.iscoroutinefunction(function) else _sync
        wrapper = make(function, line, clock)
        decorator_order.mark("log_call", wrapper, function)
        return wrapper

    return decorate if function is None else decorate(function)


class _CallLogger:
    """The options of one decorated function, and writing its log lines."""

    __slots__ = ("_getters", "_level", "_log", "_outcome", "_slow", "_title", "event")

    def __init__(
        self,
        function: Callable[..., Any],
        event: str,
        level: Level,
        slow_seconds: float | None,
        outcome: Callable[[Any], str] | None,
        getters: Mapping[str, decorator_order.Getter],
    ) -> None:
        self.event = event
        self._title = decorator_order.title(function)
        self._log = logs.get(function.__module__)
        self._level = level
        self._slow = slow_seconds
        self._outcome = outcome
        self._getters = getters

    def log_return(
        self, seconds: float, result: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Log a call that returned *result*."""
        slow = self._slow is not None and seconds > self._slow
        level = "warning" if slow else self._level
        if not logs.enabled(level):
            return
        with contextlib.suppress(Exception):
            outcome = "returned" if self._outcome is None else _outcome_label(self._outcome, result)
            self._write(level, outcome, seconds, args, kwargs, slow=slow)

    def log_error(
        self, seconds: float, error: BaseException, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Log a call that raised *error*."""
        with contextlib.suppress(Exception):
            level, outcome = "warning", type(error).__name__
            if isinstance(error, errors.BursarError):
                outcome = error.code
            elif isinstance(error, asyncio.CancelledError):
                level, outcome = self._level, "cancelled"
            if logs.enabled(level):
                slow = self._slow is not None and seconds > self._slow
                self._write(level, outcome, seconds, args, kwargs, slow=slow)

    def _write(
        self,
        level: str,
        outcome: str,
        seconds: float,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        slow: bool,
    ) -> None:
        facts: dict[str, object] = {"function": self._title, "outcome": outcome}
        facts["duration_ms"] = round(seconds * 1_000, 3)
        if self._getters:
            facts["arguments"] = {
                n: _argument(get, args, kwargs) for n, get in self._getters.items()
            }
        if slow:
            facts["slow"] = True
        getattr(self._log, level)(self.event, **facts)


def _outcome_label(outcome: Callable[[Any], str], result: object) -> str:
    try:
        return str(outcome(result))
    except Exception as error:  # noqa: BLE001  (affects the log line only)
        return f"returned ({type(error).__name__} while labelling the result)"


def _argument(get: decorator_order.Getter, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    try:
        return get(args, kwargs)
    except Exception as error:  # noqa: BLE001  (an attribute may be a property that raises)
        return f"<{type(error).__name__} while read>"


def _sync(
    function: Callable[..., Any], line: _CallLogger, clock: Callable[[], float]
) -> Callable[..., Any]:
    returned, raised = line.log_return, line.log_error

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            raised(clock() - began, error, args, kwargs)
            raise
        returned(clock() - began, result, args, kwargs)
        return result

    return wrapper


def _async(
    function: Callable[..., Any], line: _CallLogger, clock: Callable[[], float]
) -> Callable[..., Any]:
    returned, raised = line.log_return, line.log_error

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            raised(clock() - began, error, args, kwargs)
            raise
        returned(clock() - began, result, args, kwargs)
        return result

    return wrapper
