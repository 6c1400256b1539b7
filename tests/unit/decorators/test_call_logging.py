"""A call is one line, with only what may be shown, and is never broken by it."""

import asyncio
import io
from types import SimpleNamespace

import orjson
import pytest

from bursar import errors, logs
from bursar.decorators import log_call
from bursar.providers.interface import Secret


@pytest.fixture
def lines():
    stream = io.BytesIO()
    logs.configure(level="INFO", stream=stream)
    yield lambda: [
        line for line in map(orjson.loads, stream.getvalue().splitlines()) if "duration_ms" in line
    ]
    logs.configure()


def ticking(*moments):
    left = list(moments)
    return lambda: left.pop(0)


def both(function):
    """The function as it is, and as a coroutine function; each takes and gives the same."""

    def run(decorator):
        async def acall(*args, **kwargs):
            return function(*args, **kwargs)

        acall.__qualname__ = function.__qualname__
        acall.__signature__ = __import__("inspect").signature(function)  # type: ignore[attr-defined]
        decorated = decorator(acall)
        return [decorator(function), lambda *a, **k: asyncio.run(decorated(*a, **k))]

    return run


def order(order_id, method, *, note=""):
    return order_id


def test_a_line_tells_what_is_named_and_nothing_else(lines):
    for call in both(order)(log_call(show=("order_id", "note"), clock=lambda: 5.0)):
        assert call("ord_1", "tok_visa", note="n") == "ord_1"
    told = [{k: v for k, v in line.items() if k != "timestamp"} for line in lines()]
    assert (
        told
        == [
            {
                "event": "call_finished",
                "level": "info",
                "logger": __name__,
                "function": f"{__name__}.order",
                "outcome": "returned",
                "duration_ms": 0.0,
                "arguments": {"order_id": "ord_1", "note": "n"},
            }
        ]
        * 2
    )


def test_without_names_no_argument_is_shown(lines):
    @log_call
    def call(a):
        """Told."""
        return a

    assert call(1) == 1
    assert (call.__name__, call.__doc__) == ("call", "Told.")
    assert "arguments" not in lines()[0]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.Conflict("no"), "conflict"),
        (KeyError("x"), "KeyError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_what_is_raised_is_a_warning_and_raised(lines, error, outcome):
    @log_call(clock=ticking(1.0, 1.25))
    def call():
        raise error

    with pytest.raises(type(error)) as caught:
        call()
    assert caught.value is error
    assert [(x["outcome"], x["level"], x["duration_ms"]) for x in lines()] == [
        (outcome, "warning", 250.0)
    ]


def test_a_cancelled_call_is_no_warning(lines):
    @log_call
    async def call():
        await asyncio.sleep(30)

    async def run():
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert [(x["outcome"], x["level"]) for x in lines()] == [("cancelled", "info")]


def test_a_slow_call_is_a_warning_even_where_others_are_not_logged(lines):
    for seconds, told in ((0.5, 0), (0.501, 1)):
        log_call(slow_seconds=0.5, level="debug", clock=ticking(0.0, seconds))(lambda: 1)()
        assert len(lines()) == told
    assert (lines()[0]["slow"], lines()[0]["level"]) == (True, "warning")


def test_secrets_are_masked_by_type_and_by_name(lines):
    @log_call(show=("a", "password", "config"))
    def call(a, password, config):
        return 1

    call(
        Secret("s3cret"), "hunter2", {"api_key": "sk_live_1", "card": "4242 4242 4242 4242", "b": 1}
    )
    assert lines()[0]["arguments"] == {
        "a": "***",
        "password": "***",
        "config": {"api_key": "***", "card": "***", "b": 1},
    }


class Rude:
    def __repr__(self):
        raise ValueError("no")

    @property
    def key(self):
        raise ValueError("no")


def test_what_cannot_be_shown_breaks_nothing(lines):
    @log_call(show={"what": "a", "key": "a.key"}, outcome=lambda result: result["missing"])
    def call(a):
        return {}

    assert call(Rude()) == {}
    [line] = lines()
    assert line["outcome"] == "returned (KeyError while labelling the result)"
    assert line["arguments"] == {
        "what": "<Rude: ValueError during serialization>",
        "key": "<ValueError while read>",
    }
    with pytest.raises(TypeError, match="argument"):
        call()  # type: ignore[call-arg]


def test_the_outcome_may_be_named(lines):
    log_call(outcome=lambda r: r.outcome)(lambda: SimpleNamespace(outcome="declined"))()
    assert lines()[0]["outcome"] == "declined"


def test_a_closed_log_breaks_no_call():
    stream = io.BytesIO()
    stream.close()
    logs.configure(level="INFO", stream=stream)
    try:
        assert log_call(lambda: 1)() == 1
    finally:
        logs.configure()


def generator():
    yield 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: log_call(show=("b",))(order),
        lambda: log_call(generator),
        lambda: log_call(3),  # type: ignore[call-overload]
    ],
)
def test_what_would_go_wrong_later_is_refused_now(make):
    with pytest.raises(TypeError):
        make()
