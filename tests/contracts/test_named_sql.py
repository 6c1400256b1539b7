"""Named SQL is what the databases and the models say it is."""

from __future__ import annotations

import dataclasses
import re
from types import ModuleType

import pytest
from django.apps import apps
from django.db import connection, models

from bursar import group_commit
from bursar.dashboard import history, leader_election
from bursar.ledger import posting
from bursar.orders import operations
from bursar.payments import charges, queries, refunds, reviews
from bursar.queue import jobs
from bursar.webhooks import inbox
from tests.conftest import Database

MODULES = (
    queries,
    posting,
    jobs,
    operations,
    inbox,
    reviews,
    refunds,
    charges,
    history,
    leader_election,
)
_VERBS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ")
_ONLY_ON_POSTGRESQL = {"queries.ADVISORY_LOCK"}
#: Statements that read a whole table, and may: people ask them, not orders.
_READS_ALL = {"jobs.COUNT"}


def _named(module: ModuleType) -> dict[str, str]:
    word = module.__name__.rpartition(".")[2]
    return {
        f"{word}.{name}": value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and value.startswith(_VERBS)
    }


STATEMENTS = {name: sql for module in MODULES for name, sql in _named(module).items()}
INSERTS = {name: sql for name, sql in STATEMENTS.items() if sql.startswith("INSERT")}


def _complete(sql: str) -> str:
    """Fill in what is filled in before it is run."""
    locked = " FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    return sql.format("%s, %s", skip_locked=locked)


def _explain(sql: str, how: str = "EXPLAIN") -> list[tuple[object, ...]]:
    complete = _complete(sql)

    def explain() -> list[tuple[object, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(f"{how} {complete}", [None] * complete.count("%s"))
            return list(cursor.fetchall())

    return group_commit.commits.run_blocking(explain)


def test_the_statements_were_found() -> None:
    assert len(STATEMENTS) >= 35
    assert {name.partition(".")[0] for name in STATEMENTS} == {
        module.__name__.rpartition(".")[2] for module in MODULES
    }


def test_every_statement_is_understood_by_the_database(database: Database) -> None:
    for name, sql in STATEMENTS.items():
        if name in _ONLY_ON_POSTGRESQL and database.name == "sqlite":
            continue
        assert _explain(sql) != [], name


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_statement_of_an_order_reads_a_whole_table(database: Database) -> None:
    scans = {
        name: [str(step[3]) for step in _explain(sql, "EXPLAIN QUERY PLAN") if _is_scan(step)]
        for name, sql in STATEMENTS.items()
        if name not in _ONLY_ON_POSTGRESQL | _READS_ALL
    }
    assert {name: steps for name, steps in scans.items() if steps} == {}


def _is_scan(step: tuple[object, ...]) -> bool:
    detail = str(step[3])
    return detail.startswith("SCAN") and "USING" not in detail and "CONSTANT ROW" not in detail


@pytest.mark.parametrize("name", INSERTS)
def test_an_insert_names_every_column_of_its_table(name: str) -> None:
    match = re.match(r"INSERT INTO (\w+) \(([^)]*)\) VALUES \(([^)]*)\)", INSERTS[name])
    assert match is not None
    table, columns, values = match[1], match[2].split(", "), match[3].split(", ")
    assert sorted(columns) == sorted(_columns(table))
    assert len(values) == len(columns)


def _columns(table: str) -> list[str]:
    (model,) = [model for model in apps.get_models() if model._meta.db_table == table]
    return [
        str(field.column)
        for field in model._meta.concrete_fields
        if not isinstance(field, models.AutoField | models.BigAutoField)
    ]


def _selected(sql: str) -> list[str]:
    match = re.match(r"SELECT (.*?) FROM ", sql)
    assert match is not None
    return [column.partition(".")[2] or column for column in match[1].split(", ")]


def _fields(row: type) -> list[str]:
    return [field.name for field in dataclasses.fields(row)]


def test_rows_are_what_is_selected() -> None:
    payment = [
        "provider_account_id" if name == "provider_account" else name
        for name in _fields(queries.PaymentRow)
    ]
    assert _selected(queries.GET_PAYMENT) == payment
    assert _selected(queries.ATTEMPTS) == _fields(queries.AttemptRow)
    assert [*_selected(queries.REFUNDS), "references"] == _fields(queries.RefundRow)


def test_facts_are_read_alike_by_payment_and_by_object() -> None:
    of_object = _selected(queries.FACTS_OF_OBJECT)
    assert _selected(queries.FACTS_OF_PAYMENT) == ["refund_id", *of_object]
    assert set(of_object) <= set(_columns("bursar_fact"))


def test_a_claim_returns_what_a_lease_holds() -> None:
    returned = jobs.CLAIM.partition("RETURNING ")[2].split(", ")
    assert ["job_id", *returned[1:], "token"] == _fields(jobs.Lease)
