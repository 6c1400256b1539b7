"""
The sandbox server: `python -m bursar.providers.sandbox.server --store FILE`.

Faults are real over HTTP: a time-out is a connection without a response, a reset breaks off within
the response. Paths under `/control` are test controls, not part of the merchant API.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from bursar import clock, errors
from bursar.providers import standard_webhooks
from bursar.providers.interface import (
    CaptureRequest,
    Operation,
    Result,
    Secret,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.sandbox import scenarios, serializers, webhook_delivery
from bursar.providers.sandbox.provider import DEADLINE, SandboxConfig
from bursar.providers.sandbox.scenarios import Fault, Scenario
from bursar.providers.sandbox.simulator import SandboxSimulator

#: How long a timed-out call is held before its connection is dropped.
HANG_SECONDS = 60.0

SIMULATOR = web.AppKey("simulator", SandboxSimulator)
CONFIG = web.AppKey("config", SandboxConfig)


def application(simulator: SandboxSimulator, config: SandboxConfig) -> web.Application:
    """Return the HTTP API of *simulator*; *config* has the delay and the webhook secret."""
    app = web.Application(middlewares=[_error_middleware], client_max_size=65_536)
    app[SIMULATOR], app[CONFIG] = simulator, config
    app.add_routes(
        [
            web.post("/v1/charges", _charge),
            web.post("/v1/charges/{reference}/capture", _capture),
            web.post("/v1/charges/{reference}/void", _void),
            web.post("/v1/refunds", _refund),
            web.get("/v1/status", _status),
            web.get("/v1/objects", _objects),
            web.get("/v1/balances", _balances),
            web.post("/control/advance", _advance),
            web.post("/control/pay_out", _pay_out),
            web.post("/control/actions/{reference}", _complete_action),
            web.get("/control/deliveries", _deliveries),
        ]
    )
    return app


@web.middleware
async def _error_middleware(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except errors.BursarError as error:
        return _json({"code": error.code, "message": str(error)}, status=error.status or 500)
    except (KeyError, TypeError, ValueError) as error:
        return _json({"code": "invalid", "message": f"invalid request: {error!r}"}, status=400)
    return response


def _json(payload: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(payload), status=status, content_type="application/json")


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        raise errors.IdempotencyKeyMissing("the header is required", param="Idempotency-Key")
    return key


async def _body(request: web.Request) -> Any:
    return orjson.loads(await request.read())


async def _charge(request: web.Request) -> web.StreamResponse:
    charge = serializers.charge_in(_key(request), await _body(request))
    scenario = scenarios.find_scenario(charge.method, charge.metadata)
    operation = Operation.CHARGE if charge.capture else Operation.AUTHORIZE
    simulator = request.app[SIMULATOR]
    return await _perform(
        request, operation, charge.key, scenario, lambda: simulator.charge(charge)
    )


async def _capture(request: web.Request) -> web.StreamResponse:
    payload = await _body(request)
    capture = CaptureRequest(
        key=_key(request),
        reference=request.match_info["reference"],
        amount=serializers.money_in(payload["amount"]),
        final=payload["final"],
    )
    simulator, scenario = request.app[SIMULATOR], scenarios.APPROVED
    return await _perform(
        request, Operation.CAPTURE, capture.key, scenario, lambda: simulator.capture(capture)
    )


async def _void(request: web.Request) -> web.StreamResponse:
    void = VoidRequest(key=_key(request), reference=request.match_info["reference"])
    simulator, scenario = request.app[SIMULATOR], scenarios.APPROVED
    return await _perform(request, Operation.VOID, void.key, scenario, lambda: simulator.void(void))


async def _refund(request: web.Request) -> web.StreamResponse:
    refund = serializers.refund_in(_key(request), await _body(request))
    simulator, scenario = (
        request.app[SIMULATOR],
        scenarios.find_scenario("tok_approved", refund.metadata),
    )
    return await _perform(
        request, Operation.REFUND, refund.key, scenario, lambda: simulator.refund(refund)
    )


async def _perform(
    request: web.Request,
    operation: Operation,
    key: str,
    scenario: Scenario,
    execute: Callable[[], Result],
) -> web.StreamResponse:
    """Run *execute* and respond, with the fault of this call."""
    deadline = float(request.headers.get(DEADLINE, "inf"))
    if clock.now().timestamp() > deadline:
        return await _hang(request)
    fault = request.app[SIMULATOR].fault_for(operation, key, scenario)
    if fault is Fault.UNAVAILABLE:
        return web.Response(status=503, headers={"Retry-After": "0"})
    if fault is Fault.LOST:
        return await _hang(request)
    if fault is Fault.SLOW:
        await asyncio.sleep(request.app[CONFIG].slow_seconds)
    body = serializers.result_out(execute())
    if fault is Fault.TIMEOUT_AFTER:
        return await _hang(request)
    if fault is Fault.RESET:
        return await _reset(request, body)
    if fault is Fault.GARBAGE:
        body = b'{"outcome": "succe' + bytes(range(0x80, 0xA0))
    return web.Response(body=body, content_type="application/json")


async def _hang(request: web.Request) -> web.StreamResponse:
    # With `handler_cancellation` aiohttp cancels the handler when the client disconnects.
    await asyncio.sleep(HANG_SECONDS)
    _abort(request)
    return web.Response(status=500)


async def _reset(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _abort(request)
    return response


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _status(request: web.Request) -> web.StreamResponse:
    query = request.query
    key = query.get("key", "")
    result = request.app[SIMULATOR].status(
        StatusRequest(
            operation=Operation(query["operation"]), key=key, reference=query["reference"]
        ),
        by_key=bool(key) and request.app[CONFIG].lookup_by_key,
    )
    return web.Response(body=serializers.result_out(result), content_type="application/json")


async def _objects(request: web.Request) -> web.StreamResponse:
    page = request.app[SIMULATOR].snapshots(after=int(request.query["after"]))
    return _json(
        [
            {
                "position": position,
                "snapshots": [serializers.snapshot_out(one) for one in snapshots],
            }
            for position, snapshots in page
        ]
    )


async def _balances(request: web.Request) -> web.StreamResponse:
    return _json(request.app[SIMULATOR].balances())


async def _advance(request: web.Request) -> web.StreamResponse:
    payload = await _body(request)
    return _json({"happened": request.app[SIMULATOR].advance(float(payload["seconds"]))})


async def _pay_out(request: web.Request) -> web.StreamResponse:
    return _json([serializers.snapshot_out(one) for one in request.app[SIMULATOR].create_payouts()])


async def _complete_action(request: web.Request) -> web.StreamResponse:
    payload = await _body(request)
    reference = request.match_info["reference"]
    snapshot = request.app[SIMULATOR].complete_action(reference, approve=payload["approve"] is True)
    return _json(serializers.snapshot_out(snapshot))


async def _deliveries(request: web.Request) -> web.StreamResponse:
    """Return webhooks to deliver; query: after, limit and the fields of `DeliveryFaults`."""
    query = dict(request.query)
    after, limit = int(query.pop("after", "0")), int(query.pop("limit", "500"))
    faults = webhook_delivery.DeliveryFaults(**{name: float(text) for name, text in query.items()})
    key = standard_webhooks.parse_keys(request.app[CONFIG].webhook_secret)[0]
    deliveries = request.app[SIMULATOR].deliveries(key, after=after, limit=limit, faults=faults)
    return _json(
        [
            {
                "position": one.position,
                "event_id": one.event_id,
                "headers": one.headers,
                "body": base64.b64encode(one.body).decode("ascii"),
                "forged": one.forged,
            }
            for one in deliveries
        ]
    )


async def serve(config: SandboxConfig, *, host: str, port: int) -> None:
    """Serve until cancelled; prints `port=N` once it listens (a free port if *port* is 0)."""
    simulator = SandboxSimulator(
        config.store or ":memory:", terms=config.terms(), durable=config.durable
    )
    # handler_cancellation: a call that hangs ends when its client disconnects.
    runner = web.AppRunner(
        application(simulator, config),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    print(f"port={runner.addresses[0][1]}", flush=True)  # noqa: T201  (read by the parent process)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        simulator.close()


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bursar.providers.sandbox.server")
    parser.add_argument("--store", required=True, help="SQLite file with the sandbox objects")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("timeouts", "lost", "garbage"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="probability, 0 to 1")
    parser.add_argument("--slow-seconds", type=float, default=0.2)
    parser.add_argument("--fee-basis-points", type=int, default=0)
    parser.add_argument("--fee-fixed-minor", type=int, default=0)
    parser.add_argument("--settlement-currency", default="")
    parser.add_argument("--rates", type=json.loads, default={}, help='such as {"USD": "0.92"}')
    parser.add_argument("--webhook-secret", type=Secret)
    parser.add_argument("--no-idempotency-keys", dest="idempotency_keys", action="store_false")
    parser.add_argument("--no-lookup-by-key", dest="lookup_by_key", action="store_false")
    parser.add_argument("--not-durable", dest="durable", action="store_false")
    options = vars(parser.parse_args(arguments))
    host, port = options.pop("host"), options.pop("port")
    if options["webhook_secret"] is None:
        del options["webhook_secret"]
    try:
        asyncio.run(serve(SandboxConfig(**options), host=host, port=port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
