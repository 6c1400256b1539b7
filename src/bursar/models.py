"""The index of all tables, for Django to find them; nothing else imports this module."""

from __future__ import annotations

from bursar.access.models import ApiKey, AuditEntry, IdempotentAnswer, Person
from bursar.dashboard.models import Alert, HistoryBucket, SourceState, WatchedApi, WatchLease
from bursar.imports.models import ImportedFile
from bursar.ledger.models import Account, Transfer
from bursar.orders.models import CouponUse, Order, OrderLine
from bursar.payments.models import (
    Attempt,
    Fact,
    FactLink,
    Payment,
    ProviderAccount,
    RawBody,
    Refund,
    RefundApproval,
    RefundLine,
    Review,
)
from bursar.queue.models import Job, PeriodicJobStatus
from bursar.reconciliation.models import (
    Reconciliation,
    Settled,
    SettledEntry,
    SettlementBreak,
)
from bursar.webhooks.models import InboxEvent

__all__ = [
    "Account",
    "Alert",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "CouponUse",
    "Fact",
    "FactLink",
    "HistoryBucket",
    "IdempotentAnswer",
    "ImportedFile",
    "InboxEvent",
    "Job",
    "Order",
    "OrderLine",
    "Payment",
    "PeriodicJobStatus",
    "Person",
    "ProviderAccount",
    "RawBody",
    "Reconciliation",
    "Refund",
    "RefundApproval",
    "RefundLine",
    "Review",
    "Settled",
    "SettledEntry",
    "SettlementBreak",
    "SourceState",
    "Transfer",
    "WatchLease",
    "WatchedApi",
]
