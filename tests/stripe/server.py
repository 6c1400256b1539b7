"""The stand-in over HTTP: Stripe's paths under `/v1`, a tester's hand under `/control`."""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from bursar.providers.stripe import webhook_signature
from tests.stripe import report, shapes, simulator
from tests.stripe.shapes import Json
from tests.stripe.simulator import Refused, StripeSimulator, invalid

BOOK = web.AppKey("book", StripeSimulator)
SEEN: web.AppKey[list[Any]] = web.AppKey("seen", list)
FORM = web.RequestKey("form", dict)
SECRET = "whsec_stand_in"
KEY = "sk_test_stand_in"
HOOK_URL = "https://shop.example/hooks/stripe-eu"

_KINDS = {
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "payouts": "payout",
    "balance_transactions": "balance_transaction",
}


def application(book: StripeSimulator) -> web.Application:
    app = web.Application(middlewares=[_border])
    app[BOOK], app[SEEN] = book, []
    app.add_routes(
        [
            web.post("/v1/payment_intents", _changing(lambda b, f, _: b.create_intent(f))),
            web.post(
                "/v1/payment_intents/{id}/capture", _changing(lambda b, f, i: b.capture(i, f))
            ),
            web.post("/v1/payment_intents/{id}/cancel", _changing(lambda b, _, i: b.cancel(i))),
            web.post("/v1/refunds", _changing(lambda b, f, _: b.create_refund(f))),
            web.post("/v1/disputes/{id}", _changing(lambda b, f, i: b.answer_dispute(i, f))),
            web.post("/v1/checkout/sessions", _changing(lambda b, f, _: b.create_session(f))),
            web.get("/v1/checkout/sessions/{id}", _session),
            web.get("/v1/payment_intents/search", _search),
            web.get("/v1/balance", _balance),
            web.get("/v1/account", _account),
            web.get("/v1/webhook_endpoints", _endpoints),
            web.get("/v1/{kind}", _list),
            web.get("/v1/{kind}/{id}", _get),
            web.get("/control/balance", _balance),
            web.get("/control/objects", _objects),
            web.get("/control/deliveries", _deliveries),
            web.get("/control/report", _report),
            web.post("/control/pay_out", _pay_out),
        ]
    )
    return app


def nested(pairs: list[tuple[str, str]]) -> Json:
    """Read `a[b][c]=d` and `a[]=d` as Stripe does."""
    made: Json = {}
    for name, value in pairs:
        first, *more = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        at: Any = made
        for step, following in zip([first, *more], [*more, None], strict=True):
            if following is None:
                at[step] = value
            elif following == "":
                at.setdefault(step, []).append(value)
                break
            else:
                at = at.setdefault(step, {})
    return made


@web.middleware
async def _border(request: web.Request, handler: Any) -> web.StreamResponse:
    body = await request.text()
    form = nested(parse_qsl(body, keep_blank_values=True))
    if request.path.startswith("/v1/"):
        query = nested(parse_qsl(request.query_string, keep_blank_values=True))
        told = form if request.method == "POST" else query
        request.app[SEEN].append((request.method, request.path, told, dict(request.headers)))
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _json({"error": {"type": "invalid_request_error"}}, 401)
    request[FORM] = form
    try:
        answer: web.StreamResponse = await handler(request)
    except Refused as refusal:
        return _json(refusal.body, refusal.status)
    return answer


def _json(told: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(told), status=status, content_type="application/json")


def _changing(carry_out: Any) -> Any:
    async def handler(request: web.Request) -> web.Response:
        book, form = request.app[BOOK], request[FORM]
        expand = form.pop("expand", [])
        expand = list(expand.values()) if isinstance(expand, dict) else expand
        id_ = request.match_info.get("id", "")

        def done() -> Json:
            return book.shown(carry_out(book, form, id_), expand)

        asked = simulator.asked_of(request.path, {**form, "expand": expand})
        status, body = book.once(request.headers.get("Idempotency-Key", ""), asked, done)
        problem = body.get("error", {}).get("payment_intent")
        if problem:
            body["error"]["payment_intent"] = book.shown(problem, expand)
        return _json(body, status)

    return handler


def _expand(request: web.Request) -> list[str]:
    return request.query.getall("expand[]", [])


async def _get(request: web.Request) -> web.Response:
    book, told = request.app[BOOK], request.match_info
    made = book.get(told["id"], _KINDS.get(told["kind"], ""))
    return _json(book.shown(made, _expand(request)))


async def _session(request: web.Request) -> web.Response:
    book = request.app[BOOK]
    made = book.get(request.match_info["id"], "checkout.session")
    return _json(book.shown(made, _expand(request)))


async def _list(request: web.Request) -> web.Response:
    book, asked = request.app[BOOK], request.query
    kind = _KINDS.get(request.match_info["kind"])
    if kind is None:
        raise invalid("resource_missing", 404)
    found = book.listed(kind)
    if intent := asked.get("payment_intent"):
        found = [one for one in found if one["payment_intent"] == intent]
    if since := asked.get("created[gte]"):
        found = [one for one in found if one["created"] >= int(since)]
    if after := asked.get("starting_after"):
        found = found[[one["id"] for one in found].index(after) + 1 :]
    size = int(asked.get("limit", "10"))
    inner = [path.removeprefix("data.") for path in _expand(request)]
    data = [book.shown(one, inner) for one in found[:size]]
    return _json(shapes.page(request.path, data, has_more=len(found) > size))


async def _search(request: web.Request) -> web.Response:
    book = request.app[BOOK]
    match = re.fullmatch(r"metadata\['(\w+)'\]:'([\w.]+)'", request.query["query"])
    if match is None:
        raise invalid("parse_error")
    name, value = match.groups()
    inner = [path.removeprefix("data.") for path in _expand(request)]
    found = [one for one in book.listed("payment_intent") if one["metadata"].get(name) == value]
    data = [book.shown(one, inner) for one in found]
    body = {
        "object": "search_result",
        "data": data,
        "has_more": False,
        "next_page": None,
        "url": request.path,
    }
    return _json(body)


async def _balance(request: web.Request) -> web.Response:
    return _json(request.app[BOOK].balance())


async def _account(_request: web.Request) -> web.Response:
    told = {
        "id": "acct_1",
        "object": "account",
        "charges_enabled": True,
        "payouts_enabled": True,
        "default_currency": "eur",
    }
    return _json(told)


async def _endpoints(request: web.Request) -> web.Response:
    endpoint = {
        "id": "we_1",
        "object": "webhook_endpoint",
        "url": HOOK_URL,
        "status": "enabled",
        "enabled_events": ["payment_intent.succeeded"],
        "api_version": None,
    }
    return _json(shapes.page(request.path, [endpoint], has_more=False))


# --- a tester's hand ----------------------------------------------------------------------------


async def _objects(request: web.Request) -> web.Response:
    book = request.app[BOOK]
    kinds = ("payment_intent", "refund", "dispute", "payout")
    expand = ["latest_charge.balance_transaction", "balance_transaction"]
    return _json([book.shown(one, expand) for kind in kinds for one in book.listed(kind)])


def deliveries(
    book: StripeSimulator, *, after: int = 0, limit: int = 500, at: datetime
) -> list[Json]:
    """Events with positions above *after*, signed *at* a time."""
    made = []
    for position, event in enumerate(book.events[after : after + limit], start=after + 1):
        body = orjson.dumps(event)
        headers = {"Stripe-Signature": webhook_signature.sign([SECRET], body, at=at)}
        made.append(
            {
                "position": position,
                "event_id": event["id"],
                "headers": headers,
                "body": body.decode(),
            }
        )
    return made


async def _deliveries(request: web.Request) -> web.Response:
    """
    Webhooks as a network brings them; query: after, limit, and the chances of dropped, late (after
    all others of the page), duplicate and forged ones.
    """
    asked = {name: float(text) for name, text in request.query.items()}
    after, limit = int(asked.pop("after", 0)), int(asked.pop("limit", 500))
    told: list[Json] = []
    late: list[Json] = []
    for one in deliveries(request.app[BOOK], after=after, limit=limit, at=datetime.now(UTC)):
        dice = random.Random(one["event_id"])
        whole = {**one, "body": base64.b64encode(one["body"].encode()).decode(), "forged": False}
        happens = {name: dice.random() < chance for name, chance in sorted(asked.items())}
        if happens.get("forged"):
            headers = {"Stripe-Signature": whole["headers"]["Stripe-Signature"][:-4] + "0000"}
            told.append({**whole, "headers": headers, "forged": True})
        if not happens.get("dropped"):
            copies = [whole] * (2 if happens.get("duplicate") else 1)
            (late if happens.get("late") else told).extend(copies)
        else:
            told.append({**whole, "headers": {}, "forged": True})  # so that the page goes on
    return _json([*told, *late])


async def _report(request: web.Request) -> web.Response:
    return web.Response(text=report.write(report.rows(request.app[BOOK])), content_type="text/csv")


async def _pay_out(request: web.Request) -> web.Response:
    return _json(request.app[BOOK].pay_out())


async def serve(book: StripeSimulator, *, port: int = 0) -> None:
    """Serve until cancelled; prints `port=N` once it listens."""
    runner = web.AppRunner(application(book), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"port={runner.addresses[0][1]}", flush=True)  # noqa: T201  (who started it waits for it)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(StripeSimulator(), port=parser.parse_args().port))
