"""
Database triggers for rules that constraints cannot express, the same on both databases.

They are reinstalled after every migration, because Django rebuilds a SQLite table to alter it,
which silently drops its triggers. `missing_triggers` is checked at start and by `bursar verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from bursar import errors


class TriggersMissing(errors.Conflict):
    """Triggers are missing: the schema was changed other than by `bursar manage migrate`."""

    code = "triggers_missing"
    status = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that rejects *event* on *table* if *condition* (over OLD and NEW) is true."""

    table: str
    event: str  # INSERT, UPDATE or DELETE
    condition: str
    message: str

    @property
    def name(self) -> str:
        """Name of the trigger, at most 63 characters (PostgreSQL)."""
        words = "_".join(self.message.split()[:6]).replace("'", "")
        return f"trigger_{self.table.removeprefix('bursar_')}_{self.event.lower()}_{words}"[:63]

    @property
    def truncate_name(self) -> str:
        """Name of the trigger that rejects TRUNCATE of the table (PostgreSQL)."""
        return f"trigger_{self.table.removeprefix('bursar_')}_truncate"


def _append_only(table: str, what: str) -> list[Trigger]:
    return [
        Trigger(table, "UPDATE", "", f"{what} are never changed"),
        Trigger(table, "DELETE", "", f"{what} are never deleted"),
    ]


def _immutable_columns(table: str, what: str, *columns: str) -> Trigger:
    changed = " OR ".join(f"NEW.{column} <> OLD.{column}" for column in columns)
    return Trigger(table, "UPDATE", changed, f"{what} never changes")


TRIGGERS: list[Trigger] = [
    *_append_only("bursar_fact", "facts"),
    *_append_only("bursar_factlink", "fact links"),
    *_append_only("bursar_transfer", "transfers"),
    *_append_only("bursar_account", "ledger accounts"),
    *_append_only("bursar_refundline", "refund lines"),
    Trigger(
        "bursar_transfer",
        "INSERT",
        "NEW.debit_account_id NOT LIKE '%:' || NEW.currency"
        " OR NEW.credit_account_id NOT LIKE '%:' || NEW.currency",
        "transfer currency is that of both accounts",
    ),
    _immutable_columns(
        "bursar_payment",
        "a payment's order or amount or currency",
        "id",
        "order_id",
        "provider_account_id",
        "amount_minor",
        "tax_minor",
        "currency",
    ),
    Trigger("bursar_payment", "DELETE", "", "payments are never deleted"),
    _immutable_columns(
        "bursar_order", "an order's currency or total", "id", "currency", "total_minor", "tax_minor"
    ),
    Trigger(
        "bursar_couponusage",
        "UPDATE",
        "NEW.use_count < OLD.use_count",
        "a coupon use count never decreases",
    ),
    Trigger("bursar_couponusage", "DELETE", "", "coupon usages are never deleted"),
    Trigger("bursar_order", "DELETE", "", "orders are never deleted"),
    *_append_only("bursar_orderline", "order lines"),
    _immutable_columns(
        "bursar_attempt",
        "what an attempt asks",
        "id",
        "payment_id",
        "operation",
        "amount_minor",
        "target_reference",
    ),
    Trigger(
        "bursar_attempt",
        "UPDATE",
        "COALESCE(NEW.refund_id, '') <> COALESCE(OLD.refund_id, '')",
        "an attempt's refund never changes",
    ),
    Trigger(
        "bursar_attempt",
        "UPDATE",
        "OLD.status IN ('succeeded', 'declined', 'not_sent') AND NEW.status <> OLD.status",
        "an attempt's final status never changes",
    ),
    Trigger("bursar_attempt", "DELETE", "", "attempts are never deleted"),
    _immutable_columns(
        "bursar_refund",
        "a refund's payment or amount",
        "id",
        "payment_id",
        "amount_minor",
        "tax_minor",
        "currency",
    ),
    Trigger("bursar_refund", "DELETE", "", "refunds are never deleted"),
    Trigger(
        "bursar_review",
        "UPDATE",
        "OLD.resolved_at IS NOT NULL",
        "a resolved review never changes",
    ),
    Trigger("bursar_review", "DELETE", "", "reviews are never deleted"),
    *_append_only("bursar_importedfile", "imported files"),
    *_append_only("bursar_auditentry", "audit entries"),
    _immutable_columns(
        "bursar_apikey", "what a key is", "id", "digest", "mode", "scopes", "lineage", "created_at"
    ),
    Trigger(
        "bursar_apikey",
        "UPDATE",
        "COALESCE(NEW.owner_id, 0) <> COALESCE(OLD.owner_id, 0)",
        "the owner of a key never changes",
    ),
    Trigger(
        "bursar_apikey",
        "UPDATE",
        "OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NULL",
        "a revoked key never works again",
    ),
    Trigger("bursar_apikey", "DELETE", "", "keys are never deleted"),
    Trigger("bursar_user", "DELETE", "", "people are never deleted"),
    _immutable_columns(
        "bursar_refundapproval",
        "what is to be approved",
        "id",
        "refund_id",
        "requested_by",
        "requested_owner",
    ),
    Trigger(
        "bursar_refundapproval",
        "UPDATE",
        "OLD.decided_at IS NOT NULL AND (NEW.decided_at IS NULL OR NEW.decided_by <> OLD.decided_by"
        " OR NEW.decided_owner <> OLD.decided_owner"
        " OR NEW.decision <> OLD.decision)",
        "a decided approval never changes",
    ),
    Trigger("bursar_refundapproval", "DELETE", "", "approvals are never deleted"),
    *_append_only("bursar_reconciliation", "reconciliations"),
    *_append_only("bursar_matchedentry", "matched entries"),
    *_append_only("bursar_settlementbreak", "settlement breaks"),
    _immutable_columns(
        "bursar_settlementreportline",
        "what a settlement line tells",
        "provider_account_id",
        "reference",
        "duplicate_index",
        "category",
        "source",
        "currency",
        "gross_minor",
        "fee_minor",
        "payout",
    ),
    Trigger("bursar_settlementreportline", "DELETE", "", "settlement lines are never deleted"),
    _immutable_columns(
        "bursar_alert",
        "the content of an alert",
        "id",
        "source_key",
        "sequence",
        "title",
        "previous_level",
        "new_level",
        "state",
        "reason",
    ),
    Trigger(
        "bursar_alert",
        "UPDATE",
        "(OLD.webhook = 'sent' AND NEW.webhook <> 'sent')"
        " OR (OLD.email = 'sent' AND NEW.email <> 'sent')",
        "a delivered alert stays delivered",
    ),
]


def install_triggers() -> None:
    """Create or replace all triggers of existing tables."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for statement in _statements(tables):
            cursor.execute(statement)


def _statements(tables: set[str]) -> Iterator[str]:
    if connection.vendor == "postgresql":
        yield (
            "CREATE OR REPLACE FUNCTION bursar_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; "
            "END $$"
        )
    for trigger in TRIGGERS:
        if trigger.table in tables:
            yield from (
                _postgresql(trigger) if connection.vendor == "postgresql" else _sqlite(trigger)
            )


def _sqlite(trigger: Trigger) -> Iterator[str]:
    when = f"WHEN {trigger.condition}" if trigger.condition else ""
    message = trigger.message.replace("'", "''")
    yield f"DROP TRIGGER IF EXISTS {trigger.name}"
    yield (
        f"CREATE TRIGGER {trigger.name} BEFORE {trigger.event} ON {trigger.table} {when} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


def _postgresql(trigger: Trigger) -> Iterator[str]:
    when = f"WHEN ({trigger.condition})" if trigger.condition else ""
    message = trigger.message.replace("'", "''")
    if trigger.event == "DELETE":
        # TRUNCATE does not fire row triggers.
        yield f"DROP TRIGGER IF EXISTS {trigger.truncate_name} ON {trigger.table}"
        yield (
            f"CREATE TRIGGER {trigger.truncate_name} BEFORE TRUNCATE ON {trigger.table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION bursar_refuse('{message}')"
        )
    yield f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}"
    yield (
        f"CREATE TRIGGER {trigger.name} BEFORE {trigger.event} ON {trigger.table} FOR EACH ROW {when} "
        f"EXECUTE FUNCTION bursar_refuse('{message}')"
    )


def missing_triggers() -> list[str]:
    """Return the names of triggers that are missing or disabled in the database."""
    query = (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        existing = {row[0] for row in cursor.fetchall()}
    expected = {guard.name for guard in TRIGGERS}
    if connection.vendor == "postgresql":
        expected |= {guard.truncate_name for guard in TRIGGERS if guard.event == "DELETE"}
    return sorted(expected - existing)


def check_triggers() -> None:
    """:raises TriggersMissing: if a trigger is missing or disabled."""
    names = missing_triggers()
    if names:
        raise TriggersMissing(
            f"{len(names)} triggers are missing, first {names[0]}; run: bursar manage migrate"
        )


def unsafe_settings() -> list[str]:
    """
    Return the database settings under which a power failure could lose acknowledged commits.

    In WAL mode SQLite needs `synchronous` FULL (2) or EXTRA (3); PostgreSQL needs `fsync`,
    `synchronous_commit` and `full_page_writes` on.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN "
                "('fsync', 'synchronous_commit', 'full_page_writes')"
            )
            return [f"{name} is {value}" for name, value in cursor.fetchall() if value == "off"]
        problems = []
        for pragma, good in (("journal_mode", {"wal"}), ("synchronous", {2, 3})):
            cursor.execute(f"PRAGMA {pragma}")
            (value,) = cursor.fetchone()
            if value not in good:
                problems.append(f"{pragma} is {value}")
        return problems


class UnsafeDurabilitySettings(errors.Conflict):
    """The database settings do not guarantee that acknowledged commits survive a power failure."""

    code = "unsafe_durability_settings"
    status = None


def check_durability() -> None:
    """:raises UnsafeDurabilitySettings: if a power failure could lose acknowledged commits."""
    problems = unsafe_settings()
    if problems:
        raise UnsafeDurabilitySettings(f"acknowledged commits could be lost: {', '.join(problems)}")
