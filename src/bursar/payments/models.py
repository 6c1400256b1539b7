"""Tables of payments: payments, refunds, attempts, facts and reviews."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.db.models import F, Q

from bursar import ids
from bursar.fields import CurrencyField, IdField, MinorField
from bursar.payments.statuses import (
    COLLECTING,
    LIVE,
    AttemptStatus,
    CaptureMethod,
    Decision,
    PaymentStatus,
)
from bursar.providers.interface import ObjectKind, Operation, RefundStatus


def _choices(states: type[StrEnum]) -> list[tuple[str, str]]:
    return [(state.value, state.value.replace("_", " ")) for state in states]


class ProviderAccount(models.Model):
    """
    The merchant's account at a provider, such as `stripe-eu`.

    *config* holds no secrets: those come from the environment or the secrets directory.
    """

    name = IdField(max_length=40)
    provider = models.CharField(max_length=40)
    config = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.name)


class Payment(models.Model):
    """
    An amount to collect for an order through one provider account.

    Guarantees: order, amount, tax and currency never change; *pending_refund_minor* is the sum of
    the pending refunds. Status and the other amounts cache `payment_state.fold` (`bursar verify`
    recomputes them).
    """

    id = IdField(ids.PAYMENT)
    order = models.ForeignKey("bursar.Order", models.PROTECT, related_name="payments")
    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT, db_index=False)
    amount_minor = MinorField()
    tax_minor = MinorField()
    currency = CurrencyField()
    capture_method = models.CharField(
        max_length=10, choices=_choices(CaptureMethod), default=CaptureMethod.AUTOMATIC
    )
    payment_method_token = models.CharField(max_length=120)
    status = models.CharField(
        max_length=20, choices=_choices(PaymentStatus), default=PaymentStatus.PENDING
    )
    authorized_minor = MinorField(default=0)
    captured_minor = MinorField(default=0)
    refunded_minor = MinorField(default=0)
    pending_refund_minor = MinorField(default=0)
    disputed_minor = MinorField(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    closed_status = models.CharField(
        max_length=10, default=""
    )  # "", "canceled" or "expired", by us

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="payment_amount_is_positive", condition=Q(amount_minor__gt=0)
            ),
            models.CheckConstraint(
                name="payment_tax_within_amount",
                condition=Q(tax_minor__gte=0, tax_minor__lte=F("amount_minor")),
            ),
            models.CheckConstraint(
                name="payment_pending_refund_not_negative", condition=Q(pending_refund_minor__gte=0)
            ),
            models.CheckConstraint(
                name="payment_status_valid", condition=Q(status__in=[*PaymentStatus])
            ),
            models.CheckConstraint(
                name="payment_closed_status_valid",
                condition=Q(closed_status__in=["", "canceled", "expired"]),
            ),
        )
        indexes = (models.Index(name="payment_status", fields=["status", "created_at"]),)

    def __str__(self) -> str:
        return str(self.id)


class Refund(models.Model):
    """
    A refund of a payment, created by us.

    Guarantees: payment, amount and tax never change; while it is pending its amount is reserved on
    the payment, so that concurrent refunds never exceed the refundable amount.
    """

    id = IdField(ids.REFUND)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount_minor = MinorField()
    tax_minor = MinorField()
    currency = CurrencyField()
    reason = models.CharField(max_length=200, default="")
    status = models.CharField(
        max_length=10, choices=_choices(RefundStatus), default=RefundStatus.PENDING
    )
    idempotency_key = models.CharField(max_length=255, null=True, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="refund_amount_is_positive", condition=Q(amount_minor__gt=0)
            ),
            models.CheckConstraint(
                name="refund_tax_within_amount",
                condition=Q(tax_minor__gte=0, tax_minor__lte=F("amount_minor")),
            ),
            models.CheckConstraint(
                name="refund_status_valid",
                condition=Q(status__in=[*RefundStatus]),
            ),
        )

    def __str__(self) -> str:
        return str(self.id)


class RefundApproval(models.Model):
    """
    The approval that a refund above the limit needs from a second person.

    Guarantees: decided once, and approved by another owner (`access.owners`) than the requester,
    whichever session or API key either used; until then the refund is pending, its amount is
    reserved and it has no job.
    """

    refund = models.OneToOneField(Refund, models.PROTECT, related_name="approval")
    requested_by = models.CharField(max_length=200)
    requested_owner = models.CharField(max_length=200)
    requested_at = models.DateTimeField()
    decision = models.CharField(max_length=10, choices=_choices(Decision), default="", blank=True)
    decided_by = models.CharField(max_length=200, default="")
    decided_owner = models.CharField(max_length=200, default="")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="refund_approval_by_another",
                condition=Q(decision__in=["", Decision.REJECTED])
                | ~Q(decided_owner__in=["", F("requested_owner")]),
            ),
        )
        indexes = (
            models.Index(
                name="refund_approval_open",
                fields=["requested_at"],
                condition=Q(decided_at__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return f"approval of {self.refund_id}"


class RefundLine(models.Model):
    """The refunded units of an order line, with their share of price and tax."""

    refund = models.ForeignKey(Refund, models.PROTECT, related_name="lines")
    order_line = models.ForeignKey("bursar.OrderLine", models.PROTECT, related_name="refunds")
    quantity = models.BigIntegerField()
    amount_minor = MinorField()
    tax_minor = MinorField()

    class Meta:
        constraints = (
            models.UniqueConstraint(name="refund_line_once", fields=["refund", "order_line"]),
            models.CheckConstraint(name="refund_line_quantity", condition=Q(quantity__gt=0)),
        )

    def __str__(self) -> str:
        return f"{self.refund_id} line {self.order_line_id}"


class Attempt(models.Model):
    """
    One operation at a provider; its id is the idempotency key of every retry.

    Guarantees: it is committed before the provider is called; a final status never changes; at
    most one live attempt stands per payment and operation, and per refund; a payment whose
    charge succeeded is not charged again.
    """

    id = IdField(ids.ATTEMPT)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="attempts")
    refund = models.ForeignKey(Refund, models.PROTECT, null=True, related_name="attempts")
    operation = models.CharField(max_length=10, choices=_choices(Operation))
    amount_minor = MinorField()
    status = models.CharField(
        max_length=16, choices=_choices(AttemptStatus), default=AttemptStatus.CREATED
    )
    target_reference = models.CharField(
        max_length=160, default=""
    )  # the charge to capture, void or refund
    reference = models.CharField(max_length=160, default="")
    failure_code = models.CharField(max_length=80, default="")
    soft_decline = models.BooleanField(default=False)
    redirect_url = models.TextField(default="")
    status_check_count = models.IntegerField(default=0)
    was_unknown = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="attempt_one_live_per_operation",
                fields=["payment", "operation"],
                condition=Q(refund__isnull=True, status__in=LIVE),
            ),
            models.UniqueConstraint(
                name="attempt_one_live_per_refund",
                fields=["refund"],
                condition=Q(refund__isnull=False, status__in=LIVE),
            ),
            models.UniqueConstraint(
                name="attempt_one_collection_per_payment",
                fields=["payment"],
                condition=Q(operation__in=COLLECTING, status__in=[*LIVE, AttemptStatus.SUCCEEDED]),
            ),
            models.CheckConstraint(
                name="attempt_status_valid", condition=Q(status__in=[*AttemptStatus])
            ),
            models.CheckConstraint(
                name="attempt_amount_not_negative", condition=Q(amount_minor__gte=0)
            ),
        )
        indexes = (
            models.Index(
                name="attempt_unsettled", fields=["created_at"], condition=Q(status__in=LIVE)
            ),
        )

    def __str__(self) -> str:
        return str(self.id)


class RawBody(models.Model):
    """
    The raw body of a webhook, stored for investigation.

    It may hold personal data and is pruned by age; no foreign key refers to it.
    """

    id = IdField(ids.BODY)
    body = models.BinaryField()
    received_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.id)


class Fact(models.Model):
    """
    The state of one provider object as reported once (`providers.interface.Snapshot`).

    Guarantees: never changed or deleted; the same content from any source (response, webhook,
    lookup, settlement report) is one row, because its digest is unique. Holds no personal data.
    """

    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT, db_index=False)
    kind = models.CharField(max_length=8, choices=_choices(ObjectKind))
    reference = models.CharField(max_length=160)
    digest = models.CharField(max_length=32)
    source = models.CharField(max_length=12)
    status = models.CharField(max_length=20)
    amount_minor = MinorField()
    currency = CurrencyField()
    captured_minor = MinorField(default=0)
    refunded_minor = MinorField(default=0)
    withdrawn_minor = MinorField(default=0)
    reinstated_minor = MinorField(default=0)
    settled_minor = MinorField(null=True)
    settled_currency = models.CharField(max_length=8, default="")
    rate = models.CharField(max_length=40, default="")
    key = models.CharField(max_length=160, default="")
    parent_reference = models.CharField(max_length=160, default="")
    failure_code = models.CharField(max_length=80, default="")
    soft_decline = models.BooleanField(default=False)
    provider_version = models.BigIntegerField(default=0)
    dispute_stage = models.IntegerField(default=1)
    occurred_at = models.DateTimeField(null=True)
    evidence_due_by = models.DateTimeField(null=True)
    received_at = models.DateTimeField()
    raw = models.CharField(max_length=40, default="")  # a RawBody's id, which may be pruned

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="fact_once",
                fields=["provider_account", "kind", "reference", "digest"],
            ),
            models.CheckConstraint(name="fact_has_reference", condition=~Q(reference="")),
        )
        indexes = (
            models.Index(
                name="fact_parent",
                fields=["provider_account", "parent_reference"],
                condition=~Q(parent_reference=""),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.reference} {self.status}"


class FactLink(models.Model):
    """
    The payment, and the refund if any, that a provider object belongs to.

    Guarantees: an object is linked to at most one payment, permanently. *linked_by* is `key`,
    `parent`, or the person who linked it.
    """

    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT, db_index=False)
    kind = models.CharField(max_length=8, choices=_choices(ObjectKind))
    reference = models.CharField(max_length=160)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="links")
    refund = models.ForeignKey(Refund, models.PROTECT, null=True, db_index=False)
    linked_by = models.CharField(max_length=60)
    linked_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="fact_link_once", fields=["provider_account", "kind", "reference"]
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.reference} -> {self.payment_id}"


class Review(models.Model):
    """
    A condition that requires manual review.

    Guarantees: the same condition is stored once (*fingerprint* is the digest of its detail); a
    resolution is written once and never changes a fact.
    """

    id = IdField(ids.REVIEW)
    code = models.CharField(max_length=60)
    subject = models.CharField(max_length=160)
    fingerprint = models.CharField(max_length=32)
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="reviews")
    detail = models.JSONField(default=dict)
    opened_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    resolution = models.TextField(default="")
    resolved_by = models.CharField(max_length=120, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(name="review_once", fields=["subject", "code", "fingerprint"]),
        )
        indexes = (
            models.Index(
                name="review_open", fields=["opened_at"], condition=Q(resolved_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.code} {self.subject}"
