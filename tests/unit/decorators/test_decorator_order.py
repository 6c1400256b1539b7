"""The decorators stand in the documented order, or the function is not made."""

import asyncio
import functools
import inspect
import itertools
import time

import pytest

from bursar import errors
from bursar.decorators import (
    Principal,
    acting_as,
    cache,
    cache_of,
    decorator_order,
    log_call,
    require_auth,
    retry,
)
from bursar.decorators.retry_decorator import retry_statistics

READER = Principal("key:reader", frozenset({"x"}))
MAKERS = {
    "log_call": lambda: log_call,
    "require_auth": lambda: require_auth("x"),
    "cache": lambda: cache(10, 60.0),
    "retry": lambda: retry(idempotent=True, sleep=lambda seconds: None),
}


def foreign(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def stack(function, names):
    """Put the named decorators on *function*, the first outermost."""
    for name in reversed(names):
        function = MAKERS[name]()(function)
    return function


def documented(names):
    order = [name for name in names if name != "log_call"]
    return order == sorted(order, key=decorator_order.ORDER.index)


PERMUTATIONS = [p for n in range(1, 5) for p in itertools.permutations(MAKERS, n)]


@pytest.mark.parametrize("names", PERMUTATIONS, ids="+".join)
def test_every_order_works_or_is_refused(names):
    calls = []

    def function(a):
        calls.append(a)
        return a

    if not documented(names):
        with pytest.raises(TypeError, match="must be below"):
            stack(function, names)
        return
    decorated = stack(function, names)
    assert decorator_order.decorators_on(decorated) == names
    with acting_as(READER):
        assert [decorated(1), decorated(1)] == [1, 1]
    assert len(calls) == (1 if "cache" in names else 2)


def test_all_four_on_a_coroutine_function():
    calls = []

    @log_call
    @require_auth("x")
    @cache(10, 60.0)
    @retry(idempotent=True, sleep=lambda seconds: asyncio.sleep(0))
    async def flaky(a):
        """Told."""
        calls.append(a)
        if len(calls) == 1:
            raise errors.Unavailable("busy")
        return a

    async def run():
        with acting_as(READER):
            return await asyncio.gather(*[flaky(1) for _ in range(20)])

    assert asyncio.run(run()) == [1] * 20
    assert len(calls) == 2
    assert (flaky.__name__, flaky.__doc__) == ("flaky", "Told.")
    assert cache_of(flaky).statistics().coalesced == 19
    assert retry_statistics(flaky).recovered == 1


@pytest.mark.parametrize("name", MAKERS)
def test_twice_is_refused_but_for_the_log(name):
    once = stack(lambda: 1, [name])
    if name == "log_call":
        once = MAKERS[name]()(once)
    with pytest.raises(TypeError, match="already"):
        MAKERS[name]()(once)


def test_the_order_is_seen_through_other_decorators():
    with pytest.raises(TypeError, match="@retry must be below @cache"):
        stack(foreign(stack(lambda: 1, ["cache"])), ["retry"])


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (staticmethod(lambda: 1), "staticmethod outermost"),
        (classmethod(lambda c: 1), "classmethod outermost"),
        (property(lambda s: 1), "property outermost"),
        (int, "functions and methods"),
        (3, "functions and methods"),
    ],
)
def test_what_is_no_function_is_refused(name, thing, words):
    if name == "log_call" and isinstance(thing, int) and not callable(thing):
        with pytest.raises(TypeError):
            log_call(thing)  # type: ignore[call-overload]
        return
    with pytest.raises(TypeError, match=words):
        MAKERS[name]()(thing)


@pytest.mark.parametrize("decorator", [cache, retry])
def test_ages_and_deadlines_are_measured_on_a_clock_that_nobody_sets_back(decorator):
    assert inspect.signature(decorator).parameters["clock"].default is time.monotonic
