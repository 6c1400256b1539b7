"""
Cache keys: hashable values that are equal only for the same arguments.

`str(args)` is no key: different values print the same (`1` and a class that prints "1"), equal
dicts print in insertion order, default reprs have addresses that are reused, and a password among
the arguments would be stored in plain text. Neither are the arguments: 1, 1.0 and True are equal in
Python, as are 0.0 and -0.0, Decimal("1.0") and Decimal("1.00"), and one instant in two time zones,
but a function may return different values for them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Hashable, Mapping, Set
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final

Keyer = Callable[[tuple[Any, ...], dict[str, Any]], Hashable]

#: Types whose values, within one type, are equal only if identical.
_PLAIN_TYPES: Final = frozenset({str, int, bool, bytes, type(None)})
#: A value of these types is its own key: no composite key has one of them.
BARE_TYPES: Final = frozenset({str, int})
#: Greatest number of argument type combinations that are remembered for one function.
TYPE_TUPLES_MAX: Final = 1_000


def exact_key(value: Any) -> Hashable:
    """
    Return a key for one value: its type and its exact content.

    Lists, tuples, sets, dicts (in any order), bytearrays and dataclasses are keyed by their items;
    other hashable values by their own equality.

    :raises TypeError: if a part of *value* is neither hashable nor one of these.
    """
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return (kind, value)
    content = _scalar(value)
    if content is None:
        content = _parts(value)
    return _of_object(value, kind) if content is None else (kind, content)


def _scalar(value: Any) -> Hashable | None:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, complex):
        return (value.real.hex(), value.imag.hex())
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | time):
        return (value.isoformat(), str(value.tzinfo), value.fold)
    return None


def _parts(value: Any) -> Hashable | None:
    if isinstance(value, list | tuple):
        return tuple(map(exact_key, value))
    if isinstance(value, Set):
        return frozenset(map(exact_key, value))
    if isinstance(value, Mapping):
        return frozenset((exact_key(k), exact_key(v)) for k, v in value.items())
    return bytes(value) if isinstance(value, bytearray) else None


def _of_object(value: Any, kind: type) -> Hashable:
    try:
        hash(value)
    except TypeError:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return (kind, *(exact_key(getattr(value, field.name)) for field in fields))
        raise TypeError(
            f"@cache cannot build a key from a {kind.__name__}; pass key=, a function of the same "
            "arguments"
        ) from None
    return (kind, value)


def keyer(function: Callable[..., Any]) -> Keyer:
    """
    Return a function from (args, kwargs) to the key of a call of *function*.

    `f(1)`, `f(a=1)` and an explicit default have the same key. Arguments that *function* does not
    accept raise the same TypeError.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    names, missing = [p.name for p in parameters], inspect.Parameter.empty
    defaults = {p.name: p.default for p in parameters}
    simple = all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    count = len(parameters)
    type_marks: dict[tuple[type, ...], object] = {}

    def of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        if kwargs or len(args) != count or not simple:
            args = complete(args, kwargs)
        if count == 1 and simple and type(args[0]) in BARE_TYPES:
            bare: Hashable = args[0]
            return bare  # the same key as the fast path of a hit
        kinds = tuple(map(type, args))
        mark = type_marks.get(kinds)  # one object for a combination of types: faster to compare
        if mark is not None:
            return (*args, mark)
        if all(map(_is_plain, kinds)):
            if len(type_marks) >= TYPE_TUPLES_MAX:
                type_marks.clear()
            return (*args, type_marks.setdefault(kinds, object()))
        return tuple(map(exact_key, args))

    def complete(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        if simple and len(args) <= count:
            remaining = names[len(args) :]
            filled = [kwargs.get(name, defaults[name]) for name in remaining]
            if kwargs.keys() <= {*remaining} and not any(each is missing for each in filled):
                return (*args, *filled)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    return of


def _is_plain(kind: type) -> bool:
    # A class without its own equality is compared by identity.
    own = {name for each in kind.__mro__[:-1] for name in vars(each)}
    return kind in _PLAIN_TYPES or own.isdisjoint({"__eq__", "__hash__"})
