"""What may be called again is, on an exact schedule; everything else surfaces at once."""

import asyncio
import io
import math
import operator
import threading
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import errors, logs
from bursar.decorators import ExponentialBackoff, RetryBudget, exponential, retry, retry_budget
from bursar.decorators.retry_decorator import FINAL, all_retry_statistics, retry_statistics


class Time:
    """A clock that only sleeping moves; *work* is what a call takes."""

    def __init__(self, work=0.0):
        self.now, self.slept, self.work = 1_000.0, [], work

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds):
        self.sleep(seconds)


def failing(time, *told):
    """A function that raises or returns what it was told, one after the other."""
    left = list(told)

    def call(*args, **kwargs):
        time.now += time.work
        one = left.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    call.left = left  # type: ignore[attr-defined]
    return call


def run(*told, kind="sync", work=0.0, args=(), **options):
    """Result or exception, the waits, and how many calls were left, of one decorated call."""
    time = Time(work)
    call = failing(time, *told)
    options = {"idempotent": True, "random": lambda: 0.5, "clock": time.clock, **options}
    if kind == "sync":
        decorated = retry(sleep=time.sleep, **options)(call)
    else:

        async def acall(*args, **kwargs):
            return call(*args, **kwargs)

        decorated = retry(sleep=time.asleep, **options)(acall)
    try:
        result = decorated(*args)
        result = asyncio.run(result) if kind == "async" else result
    except Exception as error:  # noqa: BLE001  (what was raised is under test)
        result = error
    return result, time.slept, len(call.left), decorated


both = pytest.mark.parametrize("kind", ["sync", "async"])
AWAY = errors.Unavailable("busy")


@both
def test_a_call_that_goes_well_is_made_once(kind):
    assert run("fine", "again", kind=kind)[:3] == ("fine", [], 1)


@both
def test_waits_are_half_of_the_bound_where_the_dice_say_so(kind):
    told = run(AWAY, AWAY, AWAY, "fine", kind=kind, max_attempts=4)
    assert told[:3] == ("fine", [0.05, 0.1, 0.2], 0)
    assert retry_statistics(told[3]).recovered == 1
    assert retry_statistics(told[3]).retries == 3


@both
def test_the_last_error_surfaces_as_it_was_raised(kind):
    last = errors.Unavailable("still busy")
    result, slept, left, function = run(AWAY, AWAY, last, "never", kind=kind)
    assert result is last
    assert result.__context__ is None
    assert (slept, left) == ([0.05, 0.1], 1)
    assert retry_statistics(function).attempts_exhausted == 1


@both
@pytest.mark.parametrize("kind_of_error", FINAL)
def test_what_is_final_surfaces_at_once(kind, kind_of_error):
    final = kind_of_error("no")
    assert run(final, "never", kind=kind, exceptions=Exception)[:3] == (final, [], 1)


@both
@pytest.mark.parametrize("error", [errors.OutcomeUnknown("?"), KeyError("x"), TimeoutError()])
def test_what_is_not_named_surfaces_at_once(kind, error):
    assert run(error, "never", kind=kind)[:3] == (error, [], 1)


@both
@pytest.mark.parametrize(
    ("after", "waits"),
    [
        (None, [0.05]),
        (0.0, [0.05]),
        (-5.0, [0.05]),
        (math.nan, [0.05]),
        ("7", [0.05]),
        (1.5, [1.55]),
        (29.9, [29.95]),
        (29.95, None),
        (1e300, None),
        (math.inf, None),
    ],
)
def test_the_other_sides_wait_is_honoured_up_to_the_deadline(kind, after, waits):
    error = errors.Unavailable("busy", after_seconds=after)
    result, slept, _, function = run(error, "fine", kind=kind)
    assert (result, slept) == (("fine", waits) if waits else (error, []))
    assert retry_statistics(function).deadline_exceeded == (waits is None)


@given(
    first=st.floats(0, 5),
    factor=st.floats(1, 5),
    cap=st.floats(0, 20),
    dice=st.lists(st.floats(0, 1, exclude_max=True), min_size=12, max_size=12),
    attempts=st.integers(1, 12),
    failures=st.integers(0, 12),
    deadline=st.floats(0.1, 60),
    work=st.floats(0, 10),
)
def test_the_schedule_is_the_formula(first, factor, cap, dice, attempts, failures, deadline, work):
    rolls = iter(dice)
    _, slept, left, _ = run(
        *[AWAY] * failures,
        *["fine"] * (13 - failures),
        max_attempts=attempts,
        work=work,
        backoff=ExponentialBackoff(first, factor, cap),
        deadline_seconds=deadline,
        random=lambda: next(rolls),
    )
    expected, now = [], 1_000.0
    for number in range(1, failures + 1):
        now += work
        wait = dice[number - 1] * min(first * factor ** (number - 1), cap)
        if number >= attempts or now - 1_000.0 + wait >= deadline:
            break
        expected.append(wait)
        now += wait
    assert slept == expected
    assert 13 - left == len(expected) + 1


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 0.1), (2, 0.2), (7, 6.4), (8, 10.0), (10**6, 10.0)]
)
def test_the_bound_doubles_up_to_its_cap(attempt, seconds):
    assert exponential(attempt) == seconds


# --- keys ---------------------------------------------------------------------------------------


class Bank:
    name = "bank"

    def __init__(self, time, *told):
        self.told, self.time = list(told), time

    def decorated(self, **options):
        @retry(sleep=self.time.sleep, clock=self.time.clock, random=lambda: 0.0, **options)
        def charge(bank, request=None, *, note=""):
            one = bank.told.pop(0)
            if isinstance(one, Exception):
                raise one
            return one

        return charge


@pytest.mark.parametrize(
    ("path", "request_", "tries"),
    [
        ("request.key", SimpleNamespace(key="att_1"), 2),
        ("request.key", SimpleNamespace(key=""), 1),
        ("request.key", SimpleNamespace(), 1),
        ("request.key", None, 1),
        ("request", "key", 2),
    ],
)
def test_only_a_call_with_its_key_is_repeated(path, request_, tries):
    bank = Bank(Time(), AWAY, "fine")
    charge = bank.decorated(key=path)
    try:
        assert charge(bank, request_) == "fine"
    except errors.Unavailable as error:
        assert "without an idempotency key" in "".join(error.__notes__)
    assert 2 - len(bank.told) == tries
    assert retry_statistics(charge).key_missing == (tries == 1)


def test_a_key_may_be_given_by_name():
    bank = Bank(Time(), AWAY, "fine")
    assert bank.decorated(key="note")(bank, note="key") == "fine"


# --- refused when decorating --------------------------------------------------------------------


def fine():
    return 1


def generator():
    yield 1


async def agenerator():
    yield 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: retry(fine), "idempotent=True"),  # type: ignore[call-overload]
        (lambda: retry(max_attempts=3), "exactly one of"),  # type: ignore[call-overload]
        (lambda: retry(idempotent=True, key="x"), "exactly one of"),  # type: ignore[call-overload]
        (lambda: retry(key="request.key")(fine), "no parameter"),
        (lambda: retry(idempotent=True)(generator), "generator"),
        (lambda: retry(idempotent=True)(agenerator), "generator"),
        (lambda: retry(idempotent=True)(int), "functions and methods"),
        (lambda: retry(exceptions=errors.Declined, idempotent=True), "final"),
        (lambda: retry(exceptions=(OSError, errors.ValidationError), idempotent=True), "final"),
        (lambda: retry(exceptions=BaseException, idempotent=True), "classes of Exception"),  # type: ignore[call-overload]
        (lambda: retry(exceptions=KeyboardInterrupt, idempotent=True), "classes of Exception"),  # type: ignore[call-overload]
        (lambda: retry(exceptions=asyncio.CancelledError, idempotent=True), "classes of Exc"),  # type: ignore[call-overload]
    ],
)
def test_what_would_go_wrong_later_is_refused_now(make, words):
    with pytest.raises(TypeError, match=words):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: retry(0, idempotent=True),
        lambda: retry(idempotent=True, deadline_seconds=0),
        lambda: retry(idempotent=True, deadline_seconds=math.nan),
        lambda: ExponentialBackoff(-1),
        lambda: ExponentialBackoff(factor=0.5),
        lambda: ExponentialBackoff(cap_seconds=math.inf),
        lambda: RetryBudget(0),
        lambda: RetryBudget(10, 1.5),
    ],
)
def test_numbers_out_of_bounds_are_refused(make):
    with pytest.raises(ValueError, match=r"above|at least|finite"):
        make()


# --- budgets ------------------------------------------------------------------------------------


@given(st.floats(1, 50), st.floats(0.01, 1), st.lists(st.booleans(), max_size=200))
def test_a_budget_counts_as_the_specification_says(tokens_max, ratio, news):
    budget, tokens = RetryBudget(tokens_max, ratio), tokens_max
    for failed in news:
        if failed:
            tokens = max(tokens - 1, 0.0)
            assert budget.record_failure() == (tokens > tokens_max / 2)
        else:
            tokens = min(tokens + ratio, tokens_max)
            budget.record_success()
        assert budget.tokens == tokens


def test_a_storm_ends_when_the_budget_is_spent():
    budget = RetryBudget(tokens_max=100)
    calls = 0
    for _ in range(1_000):
        result, _, left, _ = run(*[AWAY] * 3, dependency=budget)
        assert result is AWAY
        calls += 3 - left
    # 33 further attempts until half of the tokens are gone, instead of 2,000.
    assert calls == 1_033


def test_success_fills_the_budget_again():
    budget = RetryBudget(tokens_max=10)
    while budget.record_failure():
        pass
    assert run(AWAY, "fine", dependency=budget)[0] is AWAY
    for _ in range(30):
        run("fine", dependency=budget)
    assert run(AWAY, "fine", dependency=budget)[0] == "fine"


def test_threads_share_a_budget_without_losing_a_token():
    budget = RetryBudget(tokens_max=10_000)
    threads = [
        threading.Thread(target=lambda: [budget.record_failure() for _ in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.tokens == 6_000


def test_a_dependency_has_one_budget_however_it_is_named():
    bank = Bank(Time(), AWAY, AWAY, AWAY)
    charge = bank.decorated(idempotent=True, dependency=operator.attrgetter("name"))
    before = retry_budget.budget_of("bank").tokens
    with pytest.raises(errors.Unavailable):
        charge(bank)
    assert retry_budget.budget_of("bank").tokens == before - 3
    assert run(AWAY, "fine", dependency="bank")[0] == "fine"
    assert retry_budget.budget_of("bank").tokens == before - 4 + 0.1


def test_the_number_of_budgets_is_bounded(monkeypatch):
    monkeypatch.setattr(retry_budget, "BUDGETS_MAX", 0)
    with pytest.raises(RuntimeError):
        retry_budget.budget_of("one too many")


# --- what is seen -------------------------------------------------------------------------------


@pytest.fixture
def lines():
    stream = io.BytesIO()
    logs.configure(level="INFO", stream=stream)
    yield lambda: [
        line
        for line in map(orjson.loads, stream.getvalue().splitlines())
        if line["event"].startswith("retry_")
    ]
    logs.configure()


@both
def test_every_attempt_is_one_line(lines, kind):
    run(AWAY, KeyError("told"), "never", kind=kind, exceptions=Exception, max_attempts=2)
    told = [
        (x["event"], x["attempt"], x["error"], x.get("wait_seconds"), x.get("reason"), x["level"])
        for x in lines()
    ]
    assert told == [
        ("retry_scheduled", 1, "unavailable", 0.05, None, "warning"),
        ("retry_exhausted", 2, "KeyError", None, "attempts_exhausted", "warning"),
    ]


def test_the_function_keeps_its_name():
    @retry(idempotent=True)
    def documented(a: int) -> int:
        """Told."""
        return a

    assert (documented.__name__, documented.__doc__) == ("documented", "Told.")
    assert documented(3) == 3
    title = f"{__name__}.{documented.__qualname__}"
    assert all_retry_statistics()[title].retries == 0
    with pytest.raises(TypeError, match="not on"):
        retry_statistics(fine)


def test_cancelling_in_a_wait_surfaces():
    async def cancelled():
        async def never(seconds):
            await asyncio.get_running_loop().create_future()

        calls = []

        @retry(idempotent=True, sleep=never)
        async def call():
            calls.append(1)
            raise AWAY

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(calls)

    assert asyncio.run(cancelled()) == 1


def test_a_broken_log_breaks_no_call(monkeypatch):
    stream = io.BytesIO()
    stream.close()
    logs.configure(level="INFO", stream=stream)
    try:
        assert run(AWAY, "fine")[0] == "fine"
    finally:
        logs.configure()
