"""Peers: libraries with the same purpose, measured in the same way; prints one line of JSON."""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import aiocache
import async_lru
import backoff
import cachetools
import cashews
import orjson
import stamina
import structlog
import tenacity

from benchmarks import decorators_timing as timing
from benchmarks.metering import task


def main() -> None:
    calls: int = task()["calls"]
    cashews.cache.setup("mem://")
    figures: dict[str, dict[str, float]] = {}
    for name, decorate in RETRIES.items():
        figures.setdefault("retry", {})[name] = timing.nanoseconds(
            decorate(timing.plain), calls=calls // 10
        )
        figures.setdefault("retry async", {})[name] = timing.async_nanoseconds(
            decorate(timing.coroutine), calls=calls // 10
        )
    for name, decorate in CACHES.items():
        figures.setdefault("cache", {})[name] = timing.nanoseconds(
            decorate(timing.plain), calls=calls
        )
        figures.setdefault("stampede of 50 threads", {})[name] = timing.stampede(decorate)
    for name, decorate in ASYNC_CACHES.items():
        figures.setdefault("cache async", {})[name] = timing.async_nanoseconds(
            decorate(timing.coroutine), calls=calls // 10
        )
        figures.setdefault("stampede of 50 coroutines", {})[name] = timing.async_stampede(decorate)
    figures["log line"] = {
        "logging, JSON": _stdlib(calls // 10),
        "structlog": _structlog(calls // 10),
    }
    print(json.dumps(figures))


RETRIES: dict[str, Callable[[Any], Any]] = {
    "tenacity": tenacity.retry(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_random_exponential(),
        retry=tenacity.retry_if_exception_type(OSError),
    ),
    "stamina": stamina.retry(on=OSError, attempts=3),
    "backoff": backoff.on_exception(backoff.expo, OSError, max_tries=3),
}


def _cachetools(function: Callable[..., Any]) -> Any:
    return cachetools.cached(cachetools.TTLCache(1_000, 60), lock=threading.Lock())(function)


CACHES: dict[str, Callable[[Any], Any]] = {
    "functools.lru_cache (no age)": functools.lru_cache(maxsize=1_000),
    "cachetools TTL + lock": _cachetools,
}
ASYNC_CACHES: dict[str, Callable[[Any], Any]] = {
    "async-lru": async_lru.alru_cache(maxsize=1_000, ttl=60),
    "cashews": cashews.cache(ttl="60s"),
    "cashews, lock": cashews.cache(ttl="60s", lock=True, prefix="locked"),
    "aiocache": aiocache.cached(ttl=60),
    "aiocache, stampede": aiocache.cached_stampede(lease=2, ttl=60),
}

FACTS = {
    "payment_id": "pay_06f3xqm8k5zv7gd2c9jtwbnh4r",
    "currency": "EUR",
    "outcome": "succeeded",
    "provider": "sandbox",
    "duration_ms": 12.345,
    "request_id": "req_06f3xqm8k5zv7gd2c9jtwbnh4s",
}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "level": record.levelname,
            "logger": record.name,
            "timestamp": self.formatTime(record),
            **vars(record)["facts"],
        }
        return orjson.dumps(line).decode()


def _stdlib(calls: int) -> float:
    handler = logging.StreamHandler(timing.Null())
    handler.setFormatter(_Json())
    log = logging.getLogger("benchmark")
    log.handlers, log.propagate = [handler], False
    log.setLevel("INFO")
    return timing.nanoseconds(
        lambda n: log.info("payment charged", extra={"facts": {"amount_minor": n, **FACTS}}),
        calls=calls,
    )


def _structlog(calls: int) -> float:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=cast("Any", timing.Null())),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()
    return timing.nanoseconds(
        lambda n: log.info("payment charged", amount_minor=n, **FACTS), calls=calls
    )


if __name__ == "__main__":
    main()
