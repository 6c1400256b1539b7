"""Run benchmarks: python -m benchmarks [NAME...] [--quick] [--json FILE] [--no-peers]."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import (
    accesslog,
    dashboard,
    dashboard_page,
    decorators,
    lists,
    machine,
    orders,
    pricing,
    providers,
)
from benchmarks.records import Plan, Record

BENCHMARKS: dict[str, Callable[[Plan, Console], list[Record]]] = {
    "orders": orders.run,
    "decorators": decorators.run,
    "lists": lists.run,
    "providers": providers.run,
    "pricing": pricing.run,
    "accesslog": accesslog.run,
    "dashboard": dashboard.run,
    "dashboard-page": dashboard_page.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer orders and rounds")
    parser.add_argument("--no-peers", action="store_true", help="only ours; installs nothing")
    parser.add_argument("--orders", type=int, help="orders a round, instead of the usual number")
    parser.add_argument("--calls", type=int, help="calls of a decorator, as above")
    parser.add_argument("--rounds", type=int, help="rounds, instead of the usual number")
    parser.add_argument("--databases", default="sqlite,postgresql", help="one or both, by comma")
    parser.add_argument("--size", type=float, metavar="MB", help="accesslog: of a log, not 4,000")
    parser.add_argument(
        "--only", default="", metavar="ROWS", help="accesslog, dashboard: rows, by comma"
    )
    parser.add_argument("--long", action="store_true", help="accesslog: 12 GB in 2 GB too")
    parser.add_argument("--folder", type=Path, help="accesslog: where its logs lie for the while")
    parser.add_argument("--minutes", type=float, help="dashboard-page: of memory watched, not 10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there")
    told = parser.parse_args()
    unknown = [name for name in told.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    plan = Plan(
        quick=told.quick,
        orders=told.orders,
        calls=told.calls,
        rounds=told.rounds,
        peers=not told.no_peers,
        databases=tuple(told.databases.split(",")),
        size_mb=told.size,
        only=tuple(filter(None, told.only.split(","))),
        long=told.long,
        folder=told.folder,
        minutes=told.minutes,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and clean up
    console = Console()
    records = [r for name in told.names or BENCHMARKS for r in BENCHMARKS[name](plan, console)]
    if told.json:
        where = machine.run()
        lines = [json.dumps({**record.as_dict(), **where}) for record in records]
        told.json.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
