"""A value is computed once, kept for its time, and never returned for anything else."""

import asyncio
import gc
import io
import math
import subprocess
import sys
import threading
from collections import OrderedDict

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bursar import logs
from bursar.decorators import cache, cache_decorator, cache_of


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


def counting(**options):
    """A cached function that returns how often it was called, its clock, and its calls."""
    clock, calls = Clock(), []

    @cache(options.pop("maxsize", 100), options.pop("ttl_seconds", 60.0), clock=clock, **options)
    def count(a=0):
        calls.append(a)
        return len(calls)

    return count, clock, calls


def test_a_value_is_kept_for_its_time():
    count, clock, _ = counting()
    assert [count(1), count(1), count(2)] == [1, 1, 2]
    clock.now += 59.999
    assert count(1) == 1
    clock.now += 0.001
    assert count(1) == 3
    told = cache_of(count).statistics()
    assert (told.hits, told.misses, told.size, told.maxsize) == (2, 3, 2, 100)


def test_for_ever_is_for_ever():
    count, clock, _ = counting(ttl_seconds=math.inf)
    count()
    clock.now = 1e18
    assert count() == 1


def test_none_is_a_value():
    calls = []

    @cache(10, 60.0)
    def nothing():
        calls.append(1)

    assert [nothing(), nothing()] == [None, None]
    assert len(calls) == 1


class AgainstAModel(RuleBasedStateMachine):
    """Hits, order and age against a plain dict with times."""

    @initialize(maxsize=st.integers(1, 4), ttl=st.sampled_from([1.0, 5.0, math.inf]))
    def start(self, maxsize, ttl):
        self.maxsize, self.ttl, self.clock, self.calls = maxsize, ttl, Clock(), 0
        self.model: OrderedDict[object, tuple[int, float]] = OrderedDict()
        self.hits = self.evicted = 0

        @cache(maxsize, ttl, clock=self.clock)
        def function(a):
            self.calls += 1
            return self.calls

        self.function = function

    @rule(key=st.sampled_from([1, True, 1.0, "1", None, (1,), (True,)]))
    def call(self, key):
        place = repr(key)
        known = self.model.get(place)
        if known is not None and self.clock.now < known[1]:
            expected = known[0]
            self.hits += 1
            self.model.move_to_end(place)
        else:
            expected = self.calls + 1
            self.model.pop(place, None)
            while len(self.model) >= self.maxsize:
                self.model.popitem(last=False)
                self.evicted += 1
            self.model[place] = (expected, self.clock.now + self.ttl)
        assert self.function(key) == expected

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.5]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(key=st.sampled_from([1, True, "1"]))
    def invalidate(self, key):
        there = self.model.pop(repr(key), None) is not None
        assert cache_of(self.function).invalidate(key) is there

    @rule()
    def clear(self):
        self.model.clear()
        cache_of(self.function).clear()

    @invariant()
    def counts_agree(self):
        told = cache_of(self.function).statistics()
        assert (told.size, told.hits, told.misses, told.evictions) == (
            len(self.model),
            self.hits,
            self.calls,
            self.evicted,
        )
        assert told.size <= self.maxsize


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- threads ------------------------------------------------------------------------------------


def in_threads(count, work):
    """What *count* threads get that run *work* at the same time: a value or an exception."""
    barrier, results = threading.Barrier(count), []

    def one():
        barrier.wait(10)
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001  (what was raised is under test)
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


@pytest.mark.parametrize("raises", [False, True])
def test_fifty_threads_at_once_are_one_call(raises):
    calls, all_wait = [], threading.Event()

    @cache(10, 60.0)
    def slow(a):
        calls.append(a)
        assert all_wait.wait(10)
        if raises:
            raise LookupError("told")
        return object()

    def release():
        while cache_of(slow).statistics().coalesced < 49:
            pass
        all_wait.set()

    releaser = threading.Thread(target=release)
    releaser.start()
    results = in_threads(50, lambda: slow(1))
    releaser.join()
    assert len(calls) == 1
    assert len({id(result) for result in results}) == 1
    assert isinstance(results[0], LookupError) is raises
    assert cache_of(slow).statistics().size == (not raises)
    assert cache_of(slow).statistics().errors == raises


def test_many_keys_in_many_threads_stay_within_the_bound():
    @cache(5, 60.0)
    def double(a):
        return 2 * a

    sizes, wrong = [], []

    def work():
        for number in range(3_000):
            key = number * 7 % 23
            if double(key) != 2 * key:
                wrong.append(key)
            sizes.append(cache_of(double).statistics().size)

    in_threads(8, work)
    assert wrong == []
    assert max(sizes) == 5
    told = cache_of(double).statistics()
    assert told.hits + told.misses + told.coalesced == 8 * 3_000


def test_when_the_thread_that_calls_dies_another_one_calls():
    calls, joined = [], threading.Event()

    @cache(10, 60.0)
    def slow():
        calls.append(threading.get_ident())
        if len(calls) == 1:
            assert joined.wait(10)
            raise KeyboardInterrupt
        return "fine"

    def dies():
        with pytest.raises(KeyboardInterrupt):
            slow()

    first = threading.Thread(target=dies)
    first.start()
    while not calls:
        pass
    results = []
    second = threading.Thread(target=lambda: results.append(slow()))
    second.start()
    while not cache_of(slow).statistics().coalesced:
        pass
    joined.set()
    first.join(10)
    second.join(10)
    assert results == ["fine"]
    assert len(calls) == 2


def test_a_waiter_calls_itself_when_it_waited_too_long():
    release, calls = threading.Event(), []

    @cache(10, 60.0, wait_seconds_max=0.01)
    def slow():
        calls.append(1)
        if len(calls) == 1:
            assert release.wait(10)
        return len(calls)

    first = threading.Thread(target=slow)
    first.start()
    while not calls:
        pass
    assert slow() == 2
    release.set()
    first.join(10)


def test_recursion_calls_through_and_cannot_block():
    @cache(10, 60.0)
    def factorial(n):
        return 1 if n <= 1 else n * factorial(n - 1)

    depth = []

    @cache(10, 60.0)
    def same():
        depth.append(1)
        return "deep" if len(depth) == 3 else same()

    assert factorial(10) == 3_628_800
    assert same() == "deep"


def test_what_is_invalidated_while_it_is_computed_is_not_kept():
    calls = []

    @cache(10, 60.0)
    def value():
        calls.append(1)
        if len(calls) == 1:
            cache_of(value).invalidate()
        return len(calls)

    assert [value(), value(), value()] == [1, 2, 2]
    calls.clear()
    cache_of(value).clear()
    assert [value(), value()] == [1, 2]


# --- coroutines ---------------------------------------------------------------------------------


def waiting(**options):
    """A cached coroutine function that waits for *gate*, and its calls."""
    calls, gates = [], []

    @cache(options.pop("maxsize", 10), options.pop("ttl_seconds", 60.0), **options)
    async def slow(a=1):
        calls.append(a)
        gates.append(asyncio.Event())
        number = len(calls)
        await gates[-1].wait()
        if a == "raise":
            raise LookupError("told")
        return number

    return slow, calls, gates


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("key", ["fine", "raise"])
def test_fifty_coroutines_at_once_are_one_call(key):
    async def run():
        slow, calls, gates = waiting()
        tasks = [asyncio.create_task(slow(key)) for _ in range(50)]
        await turns()
        gates[0].set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return calls, results, cache_of(slow).statistics()

    calls, results, told = asyncio.run(run())
    assert calls == [key]
    assert len({id(result) for result in results}) == 1
    assert (results[0] == 1) is (key == "fine")
    assert (told.misses, told.coalesced, told.size) == (1, 49, int(key == "fine"))


@pytest.mark.parametrize("cancelled", [[0], [3], [0, 1, 2, 3, 4, 5, 6, 7, 8]])
def test_the_call_goes_on_while_one_waits(cancelled):
    async def run():
        slow, calls, gates = waiting()
        tasks = [asyncio.create_task(slow()) for _ in range(10)]
        await turns()
        for number in cancelled:
            tasks[number].cancel()
        await turns()
        gates[0].set()
        return calls, await asyncio.gather(*tasks, return_exceptions=True)

    calls, results = asyncio.run(run())
    assert calls == [1]
    assert [r for r in results if not isinstance(r, asyncio.CancelledError)] == [1] * (
        10 - len(cancelled)
    )


def test_with_the_last_who_waits_the_call_is_cancelled_and_the_next_is_a_new_one():
    async def run():
        slow, calls, gates = waiting()
        tasks = [asyncio.create_task(slow()) for _ in range(3)]
        await turns()
        for task in tasks:
            task.cancel()
        await turns()
        again = asyncio.create_task(slow())
        await turns()
        gates[1].set()
        return calls, await again, cache_of(slow).statistics().size, len(asyncio.all_tasks())

    assert asyncio.run(run()) == ([1, 1], 2, 1, 1)


def test_each_event_loop_has_calls_of_its_own_and_shares_the_values():
    calls = []

    @cache(10, 60.0)
    async def value():
        calls.append(1)
        return len(calls)

    assert [asyncio.run(value()), asyncio.run(value())] == [1, 1]


def test_async_recursion_and_invalidation():
    calls = []

    @cache(10, 60.0)
    async def same():
        calls.append(1)
        if len(calls) == 1:
            cache_of(same).invalidate()
        return "deep" if len(calls) == 3 else await same()

    assert asyncio.run(asyncio.wait_for(same(), 5)) == "deep"


# --- old values ---------------------------------------------------------------------------------


def test_an_old_value_is_returned_while_one_thread_fetches_the_new_one():
    clock, calls, release = Clock(), [], threading.Event()

    @cache(10, 60.0, stale_seconds=30.0, clock=clock)
    def value():
        calls.append(threading.get_ident())
        if len(calls) == 2:
            assert release.wait(10)
        return len(calls)

    assert value() == 1
    clock.now += 60
    assert [value(), value(), value()] == [1, 1, 1]
    while len(calls) < 2:
        pass
    assert calls[1] != calls[0]
    release.set()
    while value() != 2:
        pass
    clock.now += 90
    assert value() == 3
    assert calls[2] == calls[0]
    assert cache_of(value).statistics().misses == 2


@pytest.fixture
def lines():
    stream = io.BytesIO()
    logs.configure(level="INFO", stream=stream)
    yield lambda: [
        line
        for line in map(orjson.loads, stream.getvalue().splitlines())
        if line["event"] == "cache_refresh_failed"
    ]
    logs.configure()


def test_an_old_value_stays_when_fetching_fails(lines):
    async def run():
        clock = Clock()
        fail: list[int] = []

        @cache(10, 60.0, stale_seconds=30.0, clock=clock)
        async def value():
            if fail:
                raise OSError("away")
            return "old"

        assert await value() == "old"
        fail.append(1)
        clock.now += 70
        assert await value() == "old"
        await turns()
        assert await value() == "old"
        await turns()
        clock.now += 20
        with pytest.raises(OSError, match="away"):
            await value()
        return cache_of(value).statistics()

    told = asyncio.run(run())
    assert (told.stale_hits, told.errors, told.misses) == (2, 3, 2)
    assert len(lines()) == 2


def test_a_refresh_is_not_cancelled_with_the_caller_who_began_it():
    async def run():
        clock = Clock()
        slow, calls, gates = waiting(clock=clock, stale_seconds=30.0)
        first = asyncio.create_task(slow())
        await turns()
        gates[0].set()
        assert await first == 1
        clock.now += 60
        caller = asyncio.create_task(slow())
        await turns()
        assert await caller == 1
        gates[1].set()
        await turns()
        return await slow(), calls

    assert asyncio.run(run()) == (2, [1, 1])


def test_refreshes_in_threads_are_bounded(monkeypatch):
    monkeypatch.setattr(cache_decorator, "_refreshes", threading.BoundedSemaphore(1))
    cache_decorator._refreshes.acquire()
    count, clock, calls = counting(stale_seconds=30.0)
    count()
    clock.now += 60
    assert [count(), count()] == [1, 1]
    assert len(calls) == 1
    cache_decorator._refreshes.release()


def test_a_refresh_that_hangs_does_not_hold_up_the_end():
    program = """
import threading
from bursar.decorators import cache

now, begun, calls = [0.0], threading.Event(), []

@cache(10, 60.0, stale_seconds=30.0, clock=lambda: now[0])
def value():
    calls.append(1)
    if len(calls) > 1:
        begun.set()
        threading.Event().wait()
    return "old"

value()
now[0] += 60
print(value(), begun.wait(20))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("old True\n", "", 0)


# --- weak values --------------------------------------------------------------------------------


class Thing:
    pass


def test_a_weak_value_lives_as_long_as_somebody_holds_it():
    @cache(10, math.inf, weak=True)
    def thing(a):
        return Thing()

    held = thing(1)
    assert thing(1) is held
    thing(2)
    gc.collect()
    assert cache_of(thing).statistics().size == 1
    del held
    gc.collect()
    assert cache_of(thing).statistics().size == 0
    assert isinstance(thing(1), Thing)


def test_what_cannot_be_held_weakly_is_named_and_none_passes():
    @cache(10, 60.0, weak=True)
    def told(a):
        return a

    assert told(None) is None
    with pytest.raises(TypeError, match="weakly reference the int"):
        told(1)
    assert cache_of(told).statistics().size == 0


# --- the rest -----------------------------------------------------------------------------------


def test_methods_and_arguments_that_cannot_be_hashed():
    class Shop:
        def __init__(self):
            self.calls = 0

        @cache(10, 60.0)
        def total(self, lines):
            """Told."""
            self.calls += 1
            return sum(lines.values())

    one, other = Shop(), Shop()
    assert [one.total({"a": 1, "b": 2}), one.total({"b": 2, "a": 1}), other.total({"a": 1})] == [
        3,
        3,
        1,
    ]
    assert (one.calls, other.calls) == (1, 1)
    assert Shop.total.__doc__ == "Told."
    assert cache_of(one.total) is cache_of(Shop.total)
    assert cache_of(one.total).invalidate(one, {"b": 2, "a": 1})
    assert one.total({"a": 1, "b": 2}) == 3
    assert one.calls == 2


def test_a_key_of_ones_own():
    calls = []

    @cache(10, 60.0, key=lambda request: request["id"])
    def told(request):
        calls.append(1)
        return request["id"]

    assert [told({"id": 1, "n": 1}), told({"id": 1, "n": 2}), told({"id": True})] == [1, 1, True]
    assert len(calls) == 2


def test_a_wrong_call_is_told_as_python_tells_it():
    count, *_ = counting()
    with pytest.raises(TypeError, match="argument"):
        count(1, 2)


def generator():
    yield 1


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: cache(generator), TypeError),  # type: ignore[arg-type, call-arg]
        (lambda: cache(10, 60.0)(generator), TypeError),
        (lambda: cache(10, 60.0)(int), TypeError),
        (lambda: cache_of(generator), TypeError),
        (lambda: cache(0, 60.0), ValueError),
        (lambda: cache(10, 0.0), ValueError),
        (lambda: cache(10, math.nan), ValueError),
        (lambda: cache(10, 1.0, stale_seconds=-1), ValueError),
        (lambda: cache(10, 1.0, wait_seconds_max=math.inf), ValueError),
    ],
)
def test_what_would_go_wrong_later_is_refused_now(make, error):
    with pytest.raises(error):
        make()
