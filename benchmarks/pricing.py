"""
Quotes of a basket of 3 and of 100 lines: ours beside the same sum written by hand.

The peers take the same texts, take a tenth off every line, add the line's tax and sum up, rounding to
the cent half to even at each step; they explain nothing and check nothing. All totals must agree.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks import contestants
from benchmarks.contestants import Contestant
from benchmarks.records import Plan, Record

OURS = Contestant("bursar", "benchmarks.pricing_bursar", peer=False)
PEERS = (
    Contestant("py-moneyed", "benchmarks.pricing_by_hand", task={"with": "moneyed"}),
    Contestant("Decimal", "benchmarks.pricing_by_hand", task={"with": "decimal"}),
)
LINES = (3, 100)


def basket(lines: int) -> list[tuple[str, int, str]]:
    """Unit price, units and rate of each line."""
    return [
        (f"{1 + 37 * at % 200}.{17 * at % 100:02}", 1 + at % 4, ("19", "7", "0")[at % 3])
        for at in range(lines)
    ]


def run(plan: Plan, console: Console) -> list[Record]:
    count, rounds = (2_000, 3) if plan.quick else (20_000, 7)
    who = [OURS, *(PEERS if plan.peers else ())]
    price_table = Table(title=f"quotes a second, medians of {rounds} rounds", title_justify="left")
    for column in ("lines", "who", "quotes a second", "ours / theirs"):
        price_table.add_column(column, justify="left" if column == "who" else "right")
    records: list[Record] = []
    with contestants.sqlite() as server:
        for lines in LINES:
            task = {"orders": max(20, (plan.calls or count) * 3 // lines), "lines": lines}
            measured = contestants.alternate(who, server, rounds=plan.rounds or rounds, task=task)
            assert len({one["total"] for each in measured.values() for one in each}) == 1
            speed = {name: 1 / contestants.median(each, "wall") for name, each in measured.items()}
            for name, value in speed.items():
                ratio = "" if name == "bursar" else f"{speed['bursar'] / value:.2f}"
                price_table.add_row(str(lines), name, f"{value:,.0f}", ratio)
            records += [
                Record(
                    benchmark="pricing",
                    measure=f"{lines} lines",
                    unit="quotes/s",
                    value=speed["bursar"],
                    peer=peer,
                    peer_value=speed.get(peer),
                )
                for peer in ([each.name for each in PEERS] if plan.peers else [""])
            ]
    console.print(price_table)
    return records
