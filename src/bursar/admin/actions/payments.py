"""Decisions about money: refunds and their approval, captures, reviews, dead letters."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold import widgets

from bursar import clock, errors, ids
from bursar.access import audit_log, roles, users
from bursar.admin.actions.base import (
    ActionForm,
    ActionResult,
    Change,
    form_of,
    number_of,
    page_of,
    text,
)
from bursar.decorators import require_auth
from bursar.money import Money
from bursar.orders import refunds as order_refunding
from bursar.payments import charges, queries, refund_approvals, refunds, reviews
from bursar.payments.models import Payment, Refund, Review
from bursar.queue import jobs
from bursar.queue.models import Job


def _payment(key: str) -> Payment:
    return get_object_or_404(Payment.objects.select_related("order"), pk=key)


@require_auth(roles.REFUNDS_WRITE)
def refund(request: HttpRequest, key: str) -> ActionForm:
    """Give money back: an amount, or units of lines, or all that is left."""
    payment = _payment(key)
    left = Money(max(0, queries.get_payment(key).refundable_minor), payment.currency)
    lines = list(payment.order.lines.order_by("position")[:50])
    units = {
        f"line_{line.position}": forms.IntegerField(
            label=f"Units of {line.description or line.sku} (of {line.quantity})",
            required=False,
            min_value=0,
            max_value=line.quantity,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        )
        for line in lines
    }
    form = form_of(
        request,
        amount=text(
            "Amount",
            required=False,
            help_text=f"Such as 12.30. Empty: the units below or, without any, all {left}.",
        ),
        reason=text("Reason", max_length=refunds.REASON_LETTERS_MAX),
        **units,
    )

    def decide(values: dict[str, Any]) -> Change:
        refund_id, now = ids.new(ids.REFUND), clock.now()
        amount = Money.parse(values["amount"], payment.currency) if values["amount"] else None
        chosen = {line.position: values[f"line_{line.position}"] for line in lines}

        def change() -> ActionResult:
            order_refunding.refund(
                payment_id=key,
                amount=amount,
                refund_id=refund_id,
                reason=values["reason"],
                quantities={position: n for position, n in chosen.items() if n},
                now=now,
            )
            made = Refund.objects.get(pk=refund_id)
            waits = hasattr(made, "approval")
            tail = "it waits for a second person" if waits else "the provider is being asked"
            return ActionResult(
                f"{Money(made.amount_minor, made.currency)} will be given back; {tail}."
            )

        return change

    says = f"{left} can be given back. "
    if refund_approvals.requires_approval(left):
        limit = refund_approvals.approval_threshold(payment.currency)
        says += f"Above {limit} a second person has to approve."
    return ActionForm(
        f"Refund {payment.order.reference}", says, page_of("payment", key), form, "Refund", decide
    )


@require_auth(roles.REFUNDS_APPROVE)
def approve(request: HttpRequest, key: str) -> ActionForm:
    """Agree to a refund."""
    made = _refund(key)

    def decide(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            refund_approvals.approve(refund_id=key, now=now)
            return ActionResult("Approved; the provider is being asked.")

        return change

    amount = Money(made.amount_minor, made.currency)
    asked = made.approval
    owner = users.describe_owner(asked.requested_owner)
    says = f"{amount} will be given back. Asked for by {asked.requested_by} (owner: {owner})."
    return ActionForm(
        "Approve a refund", says, page_of("refund", key), form_of(request), "Approve", decide
    )


@require_auth(roles.REFUNDS_WRITE)
def reject(request: HttpRequest, key: str) -> ActionForm:
    """Refuse a refund, or take it back."""
    made = _refund(key)

    def decide(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            refund_approvals.reject(refund_id=key, now=now)
            return ActionResult("Rejected; nothing is given back.")

        return change

    says = f"{Money(made.amount_minor, made.currency)} will not be given back."
    return ActionForm(
        "Reject a refund",
        says,
        page_of("refund", key),
        form_of(request),
        "Reject",
        decide,
        danger=True,
    )


def _refund(key: str) -> Refund:
    awaited = Refund.objects.filter(approval__isnull=False).select_related("approval")
    return get_object_or_404(awaited, pk=key)


@require_auth(roles.PAYMENTS_WRITE)
def capture(request: HttpRequest, key: str) -> ActionForm:
    """Capture what is held."""
    payment = _payment(key)
    held = Money(payment.authorized_minor, payment.currency)
    form = form_of(
        request,
        amount=text(
            "Amount", required=False, help_text=f"Empty: all {held}. The rest is released."
        ),
    )

    def decide(values: dict[str, Any]) -> Change:
        attempt_id, now = ids.new(ids.ATTEMPT), clock.now()
        amount = Money.parse(values["amount"], payment.currency) if values["amount"] else held

        def change() -> ActionResult:
            charges.request_capture(payment_id=key, amount=amount, attempt_id=attempt_id, now=now)
            return ActionResult(f"{amount} is being captured.")

        return change

    return ActionForm(
        f"Capture {payment.order.reference}",
        f"{held} is held.",
        page_of("payment", key),
        form,
        "Capture",
        decide,
    )


@require_auth(roles.PAYMENTS_WRITE)
def cancel(request: HttpRequest, key: str) -> ActionForm:
    """Give a payment up, or release what is held."""
    payment = _payment(key)
    held = payment.authorized_minor

    def decide(_: dict[str, Any]) -> Change:
        attempt_id, now = ids.new(ids.ATTEMPT), clock.now()

        def change() -> ActionResult:
            charges.abandon_attempt(payment_id=key, attempt_id=attempt_id, now=now)
            return ActionResult("It is being released." if held else "The payment is canceled.")

        return change

    says = (
        f"{Money(held, payment.currency)} is released to the buyer."
        if held
        else "Nothing is collected for this payment any more."
    )
    label = "Release" if held else "Cancel the payment"
    return ActionForm(
        f"{label}: {payment.order.reference}",
        says,
        page_of("payment", key),
        form_of(request),
        label,
        decide,
        danger=True,
    )


@require_auth(roles.REVIEWS_WRITE)
def resolve(request: HttpRequest, key: str) -> ActionForm:
    """Answer a review."""
    review = get_object_or_404(Review, pk=key)
    form = form_of(
        request,
        resolution=text(
            "What was found and decided", rows=4, max_length=reviews.RESOLUTION_LETTERS_MAX
        ),
    )

    def decide(values: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            reviews.resolve(review_id=key, resolution=values["resolution"], now=now)
            return ActionResult("Resolved.")

        return change

    says = "The answer is kept as it is written; it changes no fact and no amount by itself."
    title = f"Resolve: {review.code.replace('_', ' ')}"
    return ActionForm(title, says, page_of("review", key), form, "Resolve", decide)


@require_auth(roles.JOBS_WRITE)
def retry(request: HttpRequest, key: str) -> ActionForm:
    """Try a dead letter again."""
    job = get_object_or_404(Job, pk=number_of(key))

    def decide(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            if not jobs.redrive(job.pk):
                raise NotDead(f"job {job.pk} is not dead, or another one does its work")
            audit_log.record(action="job.retry", subject=f"job {job.pk}", now=now)
            return ActionResult(f"Job {job.pk} is tried again.")

        return change

    back = reverse("admin:bursar_job_changelist")
    return ActionForm(f"Retry job {key}", job.last_error, back, form_of(request), "Retry", decide)


class NotDead(errors.Conflict):
    """The job is not among the dead letters any more."""

    code = "job_not_dead"
