"""JSON over HTTP against a server with every fault; logging and retrying around a provider."""

import asyncio
import contextlib
import io
import ssl
import subprocess
from decimal import Decimal
from types import SimpleNamespace
from typing import ClassVar

import msgspec
import orjson
import pytest
from aiohttp import web

from bursar import errors, logs
from bursar.decorators import retry_budget
from bursar.money import Money
from bursar.providers import http_provider
from bursar.providers.http_provider import HttpConfig, HttpProvider, ProviderCredentialsRejected
from bursar.providers.interface import (
    ChargeRequest,
    Operation,
    Outcome,
    PaymentProvider,
    RefundRequest,
    Result,
    Secret,
    StatusRequest,
)
from bursar.providers.mixins import LoggingMixin, RetryMixin

#: The deadline of calls that are answered: none takes so long on a busy machine.
ANSWER_SECONDS = 30.0
REQUEST = ChargeRequest(key="att_1", amount=Money(100, "EUR"), method="tok_visa")


class Shop(HttpProvider):
    __slots__ = ()
    name = "shop"

    async def charge(self, request, /):
        return await self.call("POST", "/charge", json={"a": 1}, key=request.key)

    async def refund(self, request, /):
        return await self.call("POST", "/charge")

    async def get_status(self, request, /):
        return await self.call("GET", "/charge", params={"key": request.key})


@contextlib.asynccontextmanager
async def listening(handler):
    """Serve *handler* in this event loop; yields the server's address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def ask(handler, *, calls=1):
    """What one call of a shop gives, or raises, where *handler* answers it."""

    async def asked():
        async with listening(handler) as url:
            shop = Shop(
                HttpConfig(url=url, api_key=Secret("s3cret"), timeout_seconds=ANSWER_SECONDS)
            )
            try:
                for _ in range(calls):
                    told = await shop.charge(REQUEST)
                return told
            finally:
                await shop.close()

    return asyncio.run(asked())


def answering(**answer):
    seen = []

    async def handler(request):
        seen.append(request)
        return web.Response(**answer)

    handler.seen = seen  # type: ignore[attr-defined]
    return handler


def json(status=200, text='{"ok": true}', **more):
    return answering(status=status, text=text, content_type="application/json", **more)


def test_a_call_sends_the_key_and_the_secret_and_reads_json():
    handler = json()
    assert ask(handler, calls=2)[:2] == (200, {"ok": True})
    sent = [
        (r.method, r.path, r.headers["Idempotency-Key"], r.headers["Authorization"])
        for r in handler.seen
    ]
    assert sent == [("POST", "/charge", "att_1", "Bearer s3cret")] * 2


@pytest.mark.parametrize("status", [200, 201, 402, 404])
def test_clear_answers_are_the_callers_to_read(status):
    assert ask(json(status))[:2] == (status, {"ok": True})


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.Invalid),
        (422, errors.Invalid),
        (401, ProviderCredentialsRejected),
        (403, ProviderCredentialsRejected),
        (409, errors.Conflict),
        (408, errors.OutcomeUnknown),
        (500, errors.OutcomeUnknown),
        (502, errors.OutcomeUnknown),
        (504, errors.OutcomeUnknown),
    ],
)
def test_a_status_becomes_one_of_our_errors(status, error):
    with pytest.raises(error) as caught:
        ask(json(status, text='{"secret": "who paid"}'))
    assert type(caught.value) is error
    assert "who paid" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "after"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "999999"}, 3_600.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
    ],
)
def test_turned_away_means_nothing_happened(status, header, after):
    handler = answering(status=status, headers=header)
    with pytest.raises(errors.Unavailable) as caught:
        ask(handler)
    assert caught.value.after_seconds == after
    assert len(handler.seen) == 1


async def hang(request):
    await asyncio.sleep(30)


async def reset(request):
    request.transport.abort()
    return web.Response()


async def half(request):
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = 100
    await answer.prepare(request)
    await answer.write(b'{"ok": ')
    request.transport.abort()
    return answer


async def dripping(request):
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    while True:
        await answer.write(b" ")
        await asyncio.sleep(0.02)


async def huge(request):
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    for _ in range(40):
        await answer.write(b" " * 65_536)
    return answer


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(reset, id="reset"),
        pytest.param(half, id="half an answer"),
        pytest.param(huge, id="huge"),
        pytest.param(json(text='{"ok": tr'), id="broken json"),
        pytest.param(json(text='{"n": NaN}'), id="not a number"),
        pytest.param(json(text=""), id="empty"),
        pytest.param(answering(text="<html>", content_type="text/html"), id="html with 200"),
        pytest.param(
            answering(status=502, text="<html>", content_type="text/html"), id="html with 502"
        ),
        pytest.param(answering(status=302, headers={"Location": "/elsewhere"}), id="redirect"),
    ],
)
def test_anything_unclear_leaves_the_outcome_unknown(handler):
    with pytest.raises(errors.OutcomeUnknown):
        ask(handler)


@pytest.mark.parametrize(
    "late",
    [pytest.param(hang, id="no answer"), pytest.param(dripping, id="an answer without end")],
)
def test_no_whole_answer_in_time_leaves_the_outcome_unknown(late):
    """The connection is open already: connecting has a deadline too, and missing it means not sent."""

    async def handler(request):
        return await (late if "late" in request.headers else answered)(request)

    answered = json()

    class Late(Shop):
        __slots__ = ()

        def headers(self):
            return {"late": ""} if answered.seen else {}

    async def asked():
        async with listening(handler) as url:
            config = SimpleNamespace(url=url, timeout_seconds=ANSWER_SECONDS)
            shop = Late(config)
            try:
                await shop.charge(REQUEST)
                config.timeout_seconds = 0.15
                await shop.charge(REQUEST)
            finally:
                await shop.close()

    with pytest.raises(errors.OutcomeUnknown, match="no response in time"):
        asyncio.run(asked())


def test_a_redirect_is_not_followed():
    handler = answering(status=307, headers={"Location": "/elsewhere"})
    with pytest.raises(errors.OutcomeUnknown):
        ask(handler)
    assert [request.path for request in handler.seen] == ["/charge"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_without_a_connection_nothing_happened(url):
    async def asked():
        shop = Shop(HttpConfig(url=url, api_key=Secret("x"), timeout_seconds=5.0))
        try:
            await shop.charge(REQUEST)
        finally:
            await shop.close()

    with pytest.raises(errors.ExternalAPIError):
        asyncio.run(asked())


def test_a_provider_serves_one_event_loop_after_another():
    shop = Shop(HttpConfig(url="http://127.0.0.1:1", api_key=Secret("x")))

    async def asked():
        with pytest.raises(errors.Unavailable):
            await shop.charge(REQUEST)
        await shop.close()

    asyncio.run(asked())
    asyncio.run(asked())


# --- the wrappers -------------------------------------------------------------------------------


class Scripted(PaymentProvider):
    """Answers, or raises, what its config says, one after the other."""

    __slots__ = ()
    name = "scripted"

    async def charge(self, request, /):
        told = self.config.told.pop(0)
        if isinstance(told, BaseException):
            raise told
        return told

    refund = get_status = charge


class Wrapped(LoggingMixin, RetryMixin, Scripted):
    __slots__ = ()
    waits: ClassVar[list[float]] = []


@pytest.fixture
def wrapped(monkeypatch):
    async def sleep(seconds):
        Wrapped.waits.append(seconds)

    monkeypatch.setattr(RetryMixin, "sleep", staticmethod(sleep))
    monkeypatch.setattr(RetryMixin, "random", staticmethod(lambda: 0.5))
    monkeypatch.setattr(retry_budget, "_budgets", {})
    Wrapped.waits.clear()
    return lambda *told: Wrapped(SimpleNamespace(told=list(told)))


@pytest.fixture
def lines():
    stream = io.BytesIO()
    logs.configure(level="DEBUG", stream=stream)
    # The event loop logs as well.
    yield lambda: [
        line
        for line in map(orjson.loads, stream.getvalue().splitlines())
        if line["event"] == "provider_request"
    ]
    logs.configure()


DONE = Result(outcome=Outcome.SUCCEEDED, reference="ch_1")


def test_what_did_not_happen_is_tried_again_with_growing_waits(wrapped):
    away = errors.Unavailable("busy")
    assert asyncio.run(wrapped(away, away, DONE).charge(REQUEST)) == DONE
    assert Wrapped.waits == [0.05, 0.1]


def test_three_attempts_are_enough(wrapped):
    away = errors.Unavailable("busy")
    provider = wrapped(away, away, away, DONE)
    with pytest.raises(errors.Unavailable):
        asyncio.run(provider.refund(REQUEST))
    assert provider.config.told == [DONE]


@pytest.mark.parametrize(("after", "waits"), [(1.5, [1.55]), (0.0, [0.05]), (60.0, None)])
def test_the_providers_own_wait_is_kept_if_it_is_short(wrapped, after, waits):
    provider = wrapped(errors.Unavailable("busy", after_seconds=after), DONE)
    if waits is None:
        with pytest.raises(errors.Unavailable):
            asyncio.run(provider.charge(REQUEST))
    else:
        assert asyncio.run(provider.charge(REQUEST)) == DONE
    assert Wrapped.waits == (waits or [])


@pytest.mark.parametrize(
    "error",
    [errors.OutcomeUnknown("?"), errors.Conflict("?"), errors.Invalid("?"), KeyError("told")],
)
def test_nothing_else_is_ever_tried_again(wrapped, error):
    provider = wrapped(error, DONE)
    with pytest.raises(type(error)):
        asyncio.run(provider.charge(REQUEST))
    assert provider.config.told == [DONE]


def test_an_operation_is_one_line_without_amount_or_method(wrapped, lines):
    requests = {
        "charge": REQUEST,
        "refund": RefundRequest(key="att_2", reference="ch_1", amount=Money(100, "EUR")),
        "get_status": StatusRequest(operation=Operation.CHARGE, key="att_3"),
    }
    for name, request in requests.items():
        asyncio.run(getattr(wrapped(DONE), name)(request))
    told = [(x["function"], x["outcome"], x["arguments"], x["level"]) for x in lines()]
    where = "bursar.providers.mixins.LoggingMixin"
    assert told == [
        (f"{where}.charge", "succeeded", {"provider": "scripted", "key": "att_1"}, "debug"),
        (f"{where}.refund", "succeeded", {"provider": "scripted", "key": "att_2"}, "debug"),
        (f"{where}.get_status", "succeeded", {"provider": "scripted", "key": "att_3"}, "debug"),
    ]
    assert "tok_visa" not in str(lines())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(errors.OutcomeUnknown("?"), "outcome_unknown"), (KeyError("told"), "KeyError")],
)
def test_trouble_is_a_warning_and_still_raised(wrapped, lines, error, outcome):
    with pytest.raises(type(error)):
        asyncio.run(wrapped(error).charge(REQUEST))
    assert [(line["outcome"], line["level"]) for line in lines()] == [(outcome, "warning")]


def test_a_closed_log_breaks_no_charge(wrapped):
    stream = io.BytesIO()
    stream.close()
    logs.configure(level="DEBUG", stream=stream)
    try:
        assert asyncio.run(wrapped(DONE).charge(REQUEST)) == DONE
    finally:
        logs.configure()


# --- what is read and written -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": "\\ud800"}',
        '{"a": 1',
        "\xff",
        '{"x": {"b": 1, "b": 1}}',
    ],
)
def test_json_that_two_readers_could_read_differently_is_unknown(text):
    with pytest.raises(errors.OutcomeUnknown, match="returned invalid JSON"):
        ask(answering(body=text.encode("latin-1"), content_type="application/json"))


def test_numbers_with_a_point_are_exact():
    told = http_provider.read_json(b'{"rate": 0.1, "big": 12345678901234567890, "n": 1e2}')
    assert told == {"rate": Decimal("0.1"), "big": 12345678901234567890, "n": Decimal(100)}


def test_a_form_is_flattened():
    form = {
        "a": 1,
        "b": {"c": "d", "e": {"f": True}},
        "g": ["x", "y"],
        "h": [{"i": 1}, {"i": 2}],
        "empty": "",
        "none": None,
        "no": {},
        "l": [],
    }
    assert list(http_provider.form_encode(form)) == [
        ("a", "1"),
        ("b[c]", "d"),
        ("b[e][f]", "true"),
        ("g[]", "x"),
        ("g[]", "y"),
        ("h[0][i]", "1"),
        ("h[1][i]", "2"),
    ]


def test_an_answer_of_another_form_is_unknown_and_does_not_tell_what_was_in_it():
    class Wanted(msgspec.Struct):
        amount: int

    assert http_provider.decode({"amount": 1, "more": 2}, Wanted, "it") == Wanted(1)
    with pytest.raises(
        errors.OutcomeUnknown, match="it does not have the expected schema"
    ) as caught:
        http_provider.decode({"amount": "who paid"}, Wanted, "it")
    assert "who paid" not in str(caught.value)


def test_a_server_with_a_bad_certificate_gets_nothing(tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-days",
            "1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = json()

    async def asked():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        shop = Shop(HttpConfig(url=url, api_key=Secret("s3cret")))
        try:
            with pytest.raises(errors.ExternalAPIError, match="was not sent"):
                await shop.charge(REQUEST)
        finally:
            await shop.close()
            await runner.cleanup()

    asyncio.run(asked())
    assert handler.seen == []


def test_a_refused_key_is_not_tried_again_and_nothing_is_unknown():
    handler = json(401)
    with pytest.raises(errors.ExternalAPIError, match=r"shop: circuit open, no calls for 60 s"):
        ask_twice(handler)
    assert len(handler.seen) == 1


def ask_twice(handler):
    async def asked():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        shop = Shop(HttpConfig(url=url, api_key=Secret("s3cret")))
        try:
            with pytest.raises(ProviderCredentialsRejected):
                await shop.charge(REQUEST)
            await shop.charge(REQUEST)
        finally:
            await shop.close()
            await runner.cleanup()

    asyncio.run(asked())
