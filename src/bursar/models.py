"""The index of all tables, for Django to find them; nothing else imports this module."""

from __future__ import annotations

from bursar.imports.models import ImportedFile
from bursar.ledger.models import Account, Transfer
from bursar.orders.models import Order, OrderLine
from bursar.payments.models import (
    Attempt,
    Fact,
    FactLink,
    Payment,
    ProviderAccount,
    RawBody,
    Refund,
    RefundLine,
    Review,
)
from bursar.queue.models import Job
from bursar.webhooks.models import InboxEvent

__all__ = [
    "Account",
    "Attempt",
    "Fact",
    "FactLink",
    "ImportedFile",
    "InboxEvent",
    "Job",
    "Order",
    "OrderLine",
    "Payment",
    "ProviderAccount",
    "RawBody",
    "Refund",
    "RefundLine",
    "Review",
    "Transfer",
]
