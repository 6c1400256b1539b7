"""Contestant: Bursar's decorators; prints the time of each call as one line of JSON."""

from __future__ import annotations

import json
import random
from typing import Any, cast

from benchmarks import decorators_timing as timing
from benchmarks.metering import task
from bursar import errors, logs
from bursar.decorators import Principal, acting_as, cache, log_call, require_auth, retry

READER = Principal("key:reader", frozenset({"rates:read"}))


def main() -> None:
    options = task()
    calls: int = options["calls"]
    logs.configure(level="WARNING", stream=cast("Any", timing.Null()))
    figures: dict[str, float] = {
        "bare": timing.nanoseconds(timing.plain, calls=calls),
        "bare async": timing.async_nanoseconds(timing.coroutine, calls=calls),
        "retry": timing.nanoseconds(retry(idempotent=True)(timing.plain), calls=calls),
        "retry async": timing.async_nanoseconds(
            retry(idempotent=True)(timing.coroutine), calls=calls
        ),
        "cache": timing.nanoseconds(cache(1_000, 60.0)(timing.plain), calls=calls),
        "cache async": timing.async_nanoseconds(cache(1_000, 60.0)(timing.coroutine), calls=calls),
        "stampede of 50 threads": timing.stampede(cache(1_000, 60.0)),
        "stampede of 50 coroutines": timing.async_stampede(cache(1_000, 60.0)),
    }
    with acting_as(READER):
        figures["four"] = timing.nanoseconds(_four(timing.plain), calls=calls)
        figures["four async"] = timing.async_nanoseconds(_four(timing.coroutine), calls=calls)
    figures["log line"] = _log_line(calls)
    for chance in (0.05, 0.12):
        figures |= _flaky(chance, options["plan"])
    print(json.dumps(figures))


def _four(function: Any) -> Any:
    return log_call(
        require_auth("rates:read")(cache(1_000, 60.0)(retry(idempotent=True)(function)))
    )


def _log_line(calls: int) -> float:
    """Six facts and a request id, masked, as one line of JSON into nothing."""
    logs.configure(level="INFO", stream=cast("Any", timing.Null()))
    log = logs.get("benchmark")

    def line(number: int) -> None:
        log.info(
            "payment charged",
            payment_id="pay_06f3xqm8k5zv7gd2c9jtwbnh4r",
            amount_minor=number,
            currency="EUR",
            outcome="succeeded",
            provider="sandbox",
            duration_ms=12.345,
        )

    with logs.bound_contextvars(request_id="req_06f3xqm8k5zv7gd2c9jtwbnh4s"):
        return timing.nanoseconds(line, calls=max(1, calls // 10))


def _flaky(chance: float, count: int) -> dict[str, float]:
    """
    What callers see of an API that fails with *chance*, with three attempts.

    The exact numbers follow from the seeded plan and are checked.

    :raises AssertionError: if a call was made too often, too rarely, or failed wrongly.
    """
    logs.configure(level="ERROR", stream=cast("Any", timing.Null()))
    dice = random.Random(2026)
    plan = [[dice.random() < chance for _ in range(3)] for _ in range(count)]
    sent = [0] * count

    @retry(3, errors.ExternalAPIError, idempotent=True, sleep=lambda seconds: None)
    def ask(number: int) -> int:
        sent[number] += 1
        if plan[number][sent[number] - 1]:
            raise errors.ExternalAPIError("turned away")
        return number

    seen = 0
    for number in range(count):
        try:
            ask(number)
        except errors.ExternalAPIError:
            seen += 1
    assert seen == sum(all(tries) for tries in plan)
    assert sent == [tries.index(False) + 1 if False in tries else 3 for tries in plan]
    name = f"flaky at {chance:.0%}"
    first = sum(tries[0] for tries in plan)
    return {f"{name}, seen": 100 * seen / count, f"{name}, seen without": 100 * first / count}


if __name__ == "__main__":
    main()
