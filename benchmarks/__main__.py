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
    parser.add_argument("--no-peers", action="store_true", help="run only Bursar; installs nothing")
    parser.add_argument("--orders", type=int, help="orders per round")
    parser.add_argument("--calls", type=int, help="calls of a decorator per round")
    parser.add_argument("--rounds", type=int, help="number of rounds")
    parser.add_argument("--databases", default="sqlite,postgresql", help="comma-separated")
    parser.add_argument(
        "--size", type=float, metavar="MB", help="accesslog: size of a log (default 4,000)"
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="ROWS",
        help="accesslog, dashboard: rows to run, comma-separated",
    )
    parser.add_argument(
        "--long", action="store_true", help="accesslog: also 12 GB of log in 2 GB of memory"
    )
    parser.add_argument("--folder", type=Path, help="accesslog: folder for its temporary logs")
    parser.add_argument(
        "--minutes", type=float, help="dashboard-page: minutes of memory measurement (default 10)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records to FILE")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; available: {', '.join(BENCHMARKS)}")
    plan = Plan(
        quick=options.quick,
        orders=options.orders,
        calls=options.calls,
        rounds=options.rounds,
        peers=not options.no_peers,
        databases=tuple(options.databases.split(",")),
        size_mb=options.size,
        only=tuple(filter(None, options.only.split(","))),
        long=options.long,
        folder=options.folder,
        minutes=options.minutes,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and clean up
    console = Console()
    records = [r for name in options.names or BENCHMARKS for r in BENCHMARKS[name](plan, console)]
    if options.json:
        where = machine.run()
        lines = [json.dumps({**record.as_dict(), **where}) for record in records]
        options.json.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
