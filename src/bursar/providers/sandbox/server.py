"""
The sandbox in a process of its own: `python -m bursar.providers.sandbox.server --book FILE`.

Over HTTP the trouble is real: a time-out is a connection on which nothing comes, a reset breaks
off in the middle of the answer. Paths under `/control` are a tester's hand, not a merchant's.
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

#: A call that is to time out is held this long, then dropped without an answer.
HANG_SECONDS = 60.0

SIMULATOR = web.AppKey("simulator", SandboxSimulator)
CONFIG = web.AppKey("config", SandboxConfig)


def application(simulator: SandboxSimulator, config: SandboxConfig) -> web.Application:
    """The sandbox's HTTP face over *simulator*; *config* says how slow, and what it signs with."""
    app = web.Application(middlewares=[_problems], client_max_size=65_536)
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
async def _problems(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except errors.BursarError as error:
        return _json({"code": error.code, "message": str(error)}, status=error.status or 500)
    except (KeyError, TypeError, ValueError) as error:
        return _json({"code": "invalid", "message": f"unreadable request: {error!r}"}, status=400)
    return answer


def _json(told: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(told), status=status, content_type="application/json")


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        raise errors.IdempotencyKeyMissing("the header is required", param="Idempotency-Key")
    return key


async def _body(request: web.Request) -> Any:
    return orjson.loads(await request.read())


async def _charge(request: web.Request) -> web.StreamResponse:
    asked = serializers.charge_in(_key(request), await _body(request))
    script = scenarios.script_of(asked.method, asked.metadata)
    operation = Operation.CHARGE if asked.capture else Operation.AUTHORIZE
    simulator = request.app[SIMULATOR]
    return await _perform(request, operation, asked.key, script, lambda: simulator.charge(asked))


async def _capture(request: web.Request) -> web.StreamResponse:
    told = await _body(request)
    asked = CaptureRequest(
        key=_key(request),
        reference=request.match_info["reference"],
        amount=serializers.money_in(told["amount"]),
        final=told["final"],
    )
    simulator, script = request.app[SIMULATOR], scenarios.APPROVED
    return await _perform(
        request, Operation.CAPTURE, asked.key, script, lambda: simulator.capture(asked)
    )


async def _void(request: web.Request) -> web.StreamResponse:
    asked = VoidRequest(key=_key(request), reference=request.match_info["reference"])
    simulator, script = request.app[SIMULATOR], scenarios.APPROVED
    return await _perform(request, Operation.VOID, asked.key, script, lambda: simulator.void(asked))


async def _refund(request: web.Request) -> web.StreamResponse:
    asked = serializers.refund_in(_key(request), await _body(request))
    simulator, script = request.app[SIMULATOR], scenarios.script_of("tok_approved", asked.metadata)
    return await _perform(
        request, Operation.REFUND, asked.key, script, lambda: simulator.refund(asked)
    )


async def _perform(
    request: web.Request,
    operation: Operation,
    key: str,
    script: Scenario,
    carry_out: Callable[[], Result],
) -> web.StreamResponse:
    """Carry out and answer, or not, as the trouble of this call has it."""
    deadline = float(request.headers.get(DEADLINE, "inf"))
    if clock.now().timestamp() > deadline:
        return await _hang(request)
    trouble = request.app[SIMULATOR].fault_for(operation, key, script)
    if trouble is Fault.UNAVAILABLE:
        return web.Response(status=503, headers={"Retry-After": "0"})
    if trouble is Fault.LOST:
        return await _hang(request)
    if trouble is Fault.SLOW:
        await asyncio.sleep(request.app[CONFIG].slow_seconds)
    body = serializers.result_out(carry_out())
    if trouble is Fault.TIMEOUT_AFTER:
        return await _hang(request)
    if trouble is Fault.RESET:
        return await _reset(request, body)
    if trouble is Fault.GARBAGE:
        body = b'{"outcome": "succe' + bytes(range(0x80, 0xA0))
    return web.Response(body=body, content_type="application/json")


async def _hang(request: web.Request) -> web.StreamResponse:
    # aiohttp cancels the handler as soon as the client has gone, where it is told to.
    await asyncio.sleep(HANG_SECONDS)
    _abort(request)
    return web.Response(status=500)


async def _reset(request: web.Request, body: bytes) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    _abort(request)
    return answer


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _status(request: web.Request) -> web.StreamResponse:
    asked = request.query
    key = asked.get("key", "")
    found = request.app[SIMULATOR].status(
        StatusRequest(
            operation=Operation(asked["operation"]), key=key, reference=asked["reference"]
        ),
        by_key=bool(key) and request.app[CONFIG].lookup,
    )
    return web.Response(body=serializers.result_out(found), content_type="application/json")


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
    told = await _body(request)
    return _json({"happened": request.app[SIMULATOR].advance(float(told["seconds"]))})


async def _pay_out(request: web.Request) -> web.StreamResponse:
    return _json([serializers.snapshot_out(one) for one in request.app[SIMULATOR].create_payouts()])


async def _complete_action(request: web.Request) -> web.StreamResponse:
    told = await _body(request)
    reference = request.match_info["reference"]
    snapshot = request.app[SIMULATOR].complete_action(reference, approve=told["approve"] is True)
    return _json(serializers.snapshot_out(snapshot))


async def _deliveries(request: web.Request) -> web.StreamResponse:
    """Webhooks to deliver; query: after, limit, and the probabilities of `DeliveryFaults`."""
    asked = dict(request.query)
    after, limit = int(asked.pop("after", "0")), int(asked.pop("limit", "500"))
    disorder = webhook_delivery.DeliveryFaults(
        **{name: float(text) for name, text in asked.items()}
    )
    key = standard_webhooks.keys_of(request.app[CONFIG].webhook_secret)[0]
    found = request.app[SIMULATOR].deliveries(key, after=after, limit=limit, disorder=disorder)
    return _json(
        [
            {
                "position": one.position,
                "event_id": one.event_id,
                "headers": one.headers,
                "body": base64.b64encode(one.body).decode("ascii"),
                "forged": one.forged,
            }
            for one in found
        ]
    )


async def serve(config: SandboxConfig, *, host: str, port: int) -> None:
    """Serve until cancelled; prints `port=N` once it listens (N is chosen where *port* is 0)."""
    simulator = SandboxSimulator(
        config.book or ":memory:", terms=config.terms(), durable=config.durable
    )
    # handler_cancellation: a client that has gone ends the call that hangs for it.
    runner = web.AppRunner(
        application(simulator, config),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    print(f"port={runner.addresses[0][1]}", flush=True)  # noqa: T201  (who started us waits for it)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        simulator.close()


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bursar.providers.sandbox.server")
    parser.add_argument("--book", required=True, help="the file with the sandbox's objects")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 chooses one and prints it")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("timeouts", "lost", "garbage"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="a probability, 0 to 1")
    parser.add_argument("--slow-seconds", type=float, default=0.2)
    parser.add_argument("--fee-basis-points", type=int, default=0)
    parser.add_argument("--fee-fixed-minor", type=int, default=0)
    parser.add_argument("--settlement-currency", default="")
    parser.add_argument("--rates", type=json.loads, default={}, help='such as {"USD": "0.92"}')
    parser.add_argument("--webhook-secret", type=Secret)
    parser.add_argument("--no-keys", dest="honours_keys", action="store_false")
    parser.add_argument("--no-lookup", dest="lookup", action="store_false")
    parser.add_argument("--not-durable", dest="durable", action="store_false")
    given = vars(parser.parse_args(arguments))
    host, port = given.pop("host"), given.pop("port")
    if given["webhook_secret"] is None:
        del given["webhook_secret"]
    try:
        asyncio.run(serve(SandboxConfig(**given), host=host, port=port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
