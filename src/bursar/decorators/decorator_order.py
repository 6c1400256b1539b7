"""
The order of the decorators on one function, checked when the function is decorated.

Outermost first, each at most once (`log_call` twice, to log calls and attempts):

    @log_call        anywhere: outside it logs every call, further in only calls that get there
    @require_auth    outside @cache and @retry: a cached value does not replace authorization
    @cache           outside @retry: a cached value needs no retry
    @retry           next to the function

`functools.wraps` copies the marks of inner decorators to the outer wrapper, also through decorators
of other libraries.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

#: Outermost first. `log_call` may be anywhere.
ORDER: Final = ("require_auth", "cache", "retry")
LOGS_MAX: Final = 2

_MARK: Final = "__bursar_decorators__"


def decorators_on(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of our decorators on *function*, outermost first."""
    names: tuple[str, ...] = getattr(function, _MARK, ())
    return names


def check_order(name: str, function: object) -> None:
    """
    Check that the decorator *name* may be applied to *function*.

    :raises TypeError: if *function* is not callable, is a class, a `staticmethod`, `classmethod`
        or `property`, or if the order is wrong.
    """
    if isinstance(function, staticmethod | classmethod | property):
        kind = type(function).__name__
        raise TypeError(f"@{name} cannot wrap @{kind}: put @{kind} outermost")
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"@{name} is for functions and methods, not for {function!r}")
    below = decorators_on(function)
    if name == "log_call":
        if below.count(name) == LOGS_MAX:
            raise TypeError(f"{title(function)} already has @log_call {LOGS_MAX} times")
        return
    if name in below:
        raise TypeError(f"{title(function)} already has @{name}")
    for other in below:
        if other in ORDER and ORDER.index(other) < ORDER.index(name):
            raise TypeError(
                f"@{name} must be below @{other} on {title(function)}; "
                f"outermost first: {', '.join(f'@{each}' for each in ORDER)}"
            )


def mark(name: str, wrapper: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Mark *wrapper* as the decorator *name* around *function*."""
    setattr(wrapper, _MARK, (name, *decorators_on(function)))


def refuse_generators(name: str, function: Callable[..., Any]) -> None:
    """:raises TypeError: if *function* is a generator: its body runs after the call returned."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"@{name} does not support the generator {title(function)}")


def title(function: Callable[..., Any]) -> str:
    """Return the dotted name of *function*, as logs and statistics show it."""
    module = getattr(function, "__module__", "?")
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"


# --- Arguments ------------------------------------------------------------------------------------

Getter = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def getter(function: Callable[..., Any], path: str) -> Getter:
    """
    Return a function that reads *path* (a parameter, then attributes) from (args, kwargs).

    It returns the parameter's default if the call omits it, and None for a missing attribute.

    :raises TypeError: if *function* has no such parameter.
    """
    name, *attributes = path.split(".")
    parameters = list(inspect.signature(function).parameters.values())
    matches = [p for p in parameters if p.name == name and p.kind not in _VARIADIC]
    if not matches:
        raise TypeError(f"{title(function)} has no parameter {name!r}")
    [parameter] = matches
    default = None if parameter.default is parameter.empty else parameter.default
    position = parameters.index(parameter)
    if parameter.kind is parameter.KEYWORD_ONLY:
        position = len(parameters) + 1_000  # beyond any positional argument

    def get(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = args[position] if position < len(args) else kwargs.get(name, default)
        for attribute in attributes:
            value = getattr(value, attribute, None)
        return value

    return get


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
