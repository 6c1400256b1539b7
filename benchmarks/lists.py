"""
The back office's lists with a million rows in every table that grows.

The peer is what Django's own list adds to ours: it counts all rows of the table on every page,
twice (once for the pages, once for the full count); here one count is timed and doubled.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks import contestants
from benchmarks.contestants import Contestant
from benchmarks.records import Plan, Record

OURS = Contestant("bursar", "benchmarks.lists_bursar", peer=False)
PEER = "Django's own list"


def run(plan: Plan, console: Console) -> list[Record]:
    records = []
    rows = plan.orders or (20_000 if plan.quick else 1_000_000)
    for database in plan.databases:
        with contestants.SERVERS[database]() as server:
            rounds = contestants.alternate([OURS], server, rounds=1, task={"orders": rows})
        list_table = Table(title=f"Lists of {rows:,} rows on {database}", title_justify="left")
        for column in ("list", "ours, ms", f"{PEER}, ms"):
            list_table.add_column(column)
        for name, figures in rounds["bursar"][0]["lists"].items():
            theirs = figures["ms"] + 2 * figures["count_ms"]
            list_table.add_row(name, f"{figures['ms']:.0f}", f"{theirs:.0f}")
            records.append(
                Record(
                    benchmark=f"lists/{database}",
                    measure=name,
                    unit="ms",
                    value=figures["ms"],
                    peer=PEER,
                    peer_value=theirs,
                )
            )
        console.print(list_table)
    return records
