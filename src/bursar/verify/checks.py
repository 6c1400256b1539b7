"""
Run every folder's invariants, and compare our books with the providers' records.

A violation is a row that contradicts an invariant. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from django.db import connection

from bursar import dashboard, ledger, orders, payments, queue, triggers, webhooks
from bursar.dashboard import invariants as _dashboard
from bursar.ledger import invariants as _ledger
from bursar.orders import invariants as _orders
from bursar.payments import invariants as _payments
from bursar.queue import invariants as _queue
from bursar.verify import provider_balances
from bursar.webhooks import invariants as _webhooks

Row = Mapping[str, object]
Check = str | Callable[[], Iterable[Row]]

#: At most so many violating rows are returned for each invariant.
ROWS_MAX = 100


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One invariant, its folder, and the rows that violate it (at most `ROWS_MAX`)."""

    folder: str
    invariant: str
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether no row violates the invariant."""
        return not self.rows


def _missing_triggers() -> Iterator[Row]:
    yield from ({"missing trigger": name} for name in triggers.missing_triggers())
    yield from ({"setting": problem} for problem in triggers.unsafe_settings())


INVARIANTS: Mapping[str, Mapping[str, Check]] = {
    "database": {"all triggers are installed and commits are durable": _missing_triggers},
    ledger.__name__: _ledger.INVARIANTS,
    payments.__name__: _payments.INVARIANTS,
    orders.__name__: _orders.INVARIANTS,
    queue.__name__: _queue.INVARIANTS,
    webhooks.__name__: _webhooks.INVARIANTS,
    dashboard.__name__: _dashboard.INVARIANTS,
    "providers": {
        "each provider's objects and our facts have the same amounts": provider_balances.compare_objects,
        "each receivable equals the provider's balance": provider_balances.compare_balances,
    },
}


def run_checks(on_start: Callable[[str], None] | None = None) -> Iterator[CheckResult]:
    """Check the invariants one by one; *on_start* is called with each before its check."""
    for folder, checks in INVARIANTS.items():
        for invariant, check in checks.items():
            if on_start is not None:
                on_start(invariant)
            yield CheckResult(folder.removeprefix("bursar."), invariant, confirm_failures(check))


def confirm_failures(check: Check) -> tuple[Row, ...]:
    """
    Run *check* twice and return the rows found both times; at most `ROWS_MAX`.

    Other processes write meanwhile and some checks run several queries; a difference caused by
    concurrent writes is not there the second time.
    """
    rows = list(islice(_rows(check), ROWS_MAX))
    if not rows:
        return ()
    second_rows = list(islice(_rows(check), 10 * ROWS_MAX))
    return tuple(row for row in rows if row in second_rows)


def _rows(check: Check) -> Iterable[Row]:
    return _query(check) if isinstance(check, str) else check()


def _query(sql: str) -> Iterator[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [])
        columns = [column[0] for column in cursor.description]
        for row in cursor.fetchmany(ROWS_MAX):
            yield dict(zip(columns, row, strict=True))
