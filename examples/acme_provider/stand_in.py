"""
Stands in for Acme Bank's API, so that the example can be tried without a bank.

The sandbox's simulator keeps its movements; this tells of them in Acme's own words.
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
    """The bank's API over a simulator in memory."""
    app = web.Application(middlewares=[_guarded])
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
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.headers.get("Authorization") != f"Bearer {API_KEY}":
        return web.json_response({"why": "who are you"}, status=401)
    try:
        return await handler(request)
    except errors.Conflict:
        return web.json_response({"why": "this key was used for something else"}, status=409)


async def _pay(request: web.Request) -> web.StreamResponse:
    told = await request.json()
    amount, method = Money(told["cents"], told["ccy"]), PAYERS.get(told["payer"], "nobody")
    asked = ChargeRequest(key=request.headers["Idempotency-Key"], amount=amount, method=method)
    return _tell(request.app[SIMULATOR].charge(asked))


async def _return(request: web.Request) -> web.StreamResponse:
    told = await request.json()
    amount, key = Money(told["cents"], told["ccy"]), request.headers["Idempotency-Key"]
    asked = RefundRequest(key=key, reference=told["of"], amount=amount)
    return _tell(request.app[SIMULATOR].refund(asked))


async def _movement(request: web.Request) -> web.StreamResponse:
    name, found = request.match_info["name"], Result(outcome=Outcome.NOT_FOUND)
    for operation in (Operation.CHARGE, Operation.REFUND):
        if found.outcome is Outcome.NOT_FOUND:
            asked = StatusRequest(operation=operation, key=name, reference=name)
            found = request.app[SIMULATOR].status(asked)
    return _tell(found)


def _tell(result: Result) -> web.Response:
    if not result.snapshots:
        status = 404 if result.outcome is Outcome.NOT_FOUND else 402
        return web.json_response({"why": result.code or "no such movement"}, status=status)
    one = result.snapshots[0]
    amount = (one.amount.amount_minor, one.amount.currency)
    told = (one.reference, STATES[one.status], *amount, one.code, one.key, one.parent_reference)
    return web.json_response({"movement": told})


async def main(port: int) -> None:
    """Serve on *port* of this machine until cancelled."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"port={runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
