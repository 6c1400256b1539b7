"""Registry of all models for Django; nothing else imports this module."""

from __future__ import annotations

from bursar.access.models import ApiKey, AuditEntry, IdempotencyRecord, User
from bursar.dashboard.models import Alert, HistoryBucket, LeaderLease, Monitor, SourceState
from bursar.imports.models import ImportedFile
from bursar.ledger.models import Account, Transfer
from bursar.orders.models import CouponUsage, Order, OrderLine
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
    MatchedEntry,
    Reconciliation,
    SettlementBreak,
    SettlementReportLine,
)
from bursar.webhooks.models import WebhookEvent

__all__ = [
    "Account",
    "Alert",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "CouponUsage",
    "Fact",
    "FactLink",
    "HistoryBucket",
    "IdempotencyRecord",
    "ImportedFile",
    "Job",
    "LeaderLease",
    "MatchedEntry",
    "Monitor",
    "Order",
    "OrderLine",
    "Payment",
    "PeriodicJobStatus",
    "ProviderAccount",
    "RawBody",
    "Reconciliation",
    "Refund",
    "RefundApproval",
    "RefundLine",
    "Review",
    "SettlementBreak",
    "SettlementReportLine",
    "SourceState",
    "Transfer",
    "User",
    "WebhookEvent",
]
