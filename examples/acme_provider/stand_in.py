"""
A server that plays Acme Bank's API, so that the example runs without a bank.

The sandbox simulator stores its payments; this server translates them to Acme's field names.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from bursar import errors
from bursar.money import Money
from bursar.providers.interface import (
    ChargeRequest,
    Operation,
    Outcome,
    RefundRequest,
    Result,
    StatusRequest,
)
from bursar.providers.sandbox.simulator import SandboxSimulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_KEY = "acme-test-key"
SIMULATOR = web.AppKey("simulator", SandboxSimulator)
PAYERS = {"solvent": "tok_approved", "broke": "tok_chargeDeclinedInsufficientFunds"}
STATES = {"captured": "paid", "declined": "refused", "succeeded": "returned"}


def application() -> web.Application:
    """Return the bank's API over a simulator in memory."""
    app = web.Application(middlewares=[_authenticated])
    app[SIMULATOR] = SandboxSimulator(durable=False)
    app.add_routes(
        [
            web.post("/payments", _pay),
            web.post("/returns", _return),
            web.get("/movements/{name}", _movement),
        ]
    )
    return app


@web.middleware
async def _authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.headers.get("Authorization") != f"Bearer {API_KEY}":
        return web.json_response({"why": "invalid API key"}, status=401)
    try:
        return await handler(request)
    except errors.Conflict:
        return web.json_response({"why": "idempotency key used for another request"}, status=409)


async def _pay(request: web.Request) -> web.StreamResponse:
    payload = await request.json()
    amount, method = Money(payload["cents"], payload["ccy"]), PAYERS.get(payload["payer"], "nobody")
    charge = ChargeRequest(key=request.headers["Idempotency-Key"], amount=amount, method=method)
    return _response(request.app[SIMULATOR].charge(charge))


async def _return(request: web.Request) -> web.StreamResponse:
    payload = await request.json()
    amount, key = Money(payload["cents"], payload["ccy"]), request.headers["Idempotency-Key"]
    refund = RefundRequest(key=key, reference=payload["of"], amount=amount)
    return _response(request.app[SIMULATOR].refund(refund))


async def _movement(request: web.Request) -> web.StreamResponse:
    name, looked_up = request.match_info["name"], Result(outcome=Outcome.NOT_FOUND)
    for operation in (Operation.CHARGE, Operation.REFUND):
        if looked_up.outcome is Outcome.NOT_FOUND:
            lookup = StatusRequest(operation=operation, key=name, reference=name)
            looked_up = request.app[SIMULATOR].status(lookup)
    return _response(looked_up)


def _response(result: Result) -> web.Response:
    if not result.snapshots:
        status = 404 if result.outcome is Outcome.NOT_FOUND else 402
        return web.json_response({"why": result.code or "no such movement"}, status=status)
    one = result.snapshots[0]
    amount = (one.amount.amount_minor, one.amount.currency)
    payload = (one.reference, STATES[one.status], *amount, one.code, one.key, one.parent_reference)
    return web.json_response({"movement": payload})


async def main(port: int) -> None:
    """Serve on *port* of localhost until cancelled; 0 chooses a free port."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"port={runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
