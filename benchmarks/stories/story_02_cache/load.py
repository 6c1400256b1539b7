"""
The load: Poisson arrivals at one server that does one thing at a time, as in an M/M/1 queue.

Arrivals, service times and arguments come from one seed. Latency counts from the moment a call was
due, so that a slow response is not hidden by calls that come later for it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import mean, quantiles
from typing import Any

_server = threading.Lock()


class Database:
    """Takes an exponentially distributed time for each aggregation, one after the other."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.calls = 0
        self._seconds, self._dice = task["service_seconds"], random.Random(task["seed"])

    def aggregate(self, days: list[int]) -> int:
        with _server:
            self.calls += 1
            time.sleep(self._dice.expovariate(1 / self._seconds))
        return sum(day * 7 for day in days)


def arguments(task: dict[str, Any]) -> list[list[int]]:
    """The arguments of every call: a new one with the chance of a miss, else a previous one."""
    dice, previous, calls = random.Random(task["seed"] + 1), [[0, 1]], []
    for _ in range(task["calls"]):
        if dice.random() < task["misses"]:
            previous.append([len(previous), len(previous) + 1])
            calls.append(previous[-1])
        else:
            calls.append(dice.choice(previous))
    return calls


def play(task: dict[str, Any], call: Callable[[list[int]], int], database: Database) -> None:
    """Make all calls at their times and print the program's result."""
    dice, due, latencies = random.Random(task["seed"] + 2), time.perf_counter() + 0.05, []

    def one(argument: list[int], due: float) -> int:
        result = call(argument)
        latencies.append(1_000 * (time.perf_counter() - due))
        return result

    with ThreadPoolExecutor(128) as pool:
        waiting = []
        for argument in arguments(task):
            due += dice.expovariate(task["load"] / task["service_seconds"])
            time.sleep(max(0.0, due - time.perf_counter()))
            waiting.append(pool.submit(one, argument, due))
        response = sum(each.result() for each in waiting)
    percent = quantiles(latencies, n=100)
    figures = {
        "mean, ms": mean(latencies),
        "P50, ms": percent[49],
        "P99, ms": percent[98],
        "aggregations": database.calls,
        "hit rate, %": 100 - 100 * database.calls / task["calls"],
    }
    print(json.dumps({"answer": response, "figures": figures}))
