"""Actions on payments, refunds, reviews and jobs."""

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
    build_form,
    detail_url,
    parse_id,
    text_field,
)
from bursar.admin.formatting import humanize
from bursar.decorators import require_auth
from bursar.money import Money
from bursar.orders import refunds as order_refunding
from bursar.payments import charges, queries, refund_approvals, refunds, reviews
from bursar.payments.models import Payment, Refund, Review
from bursar.queue import jobs
from bursar.queue.models import Job


def _get_payment(key: str) -> Payment:
    return get_object_or_404(Payment.objects.select_related("order"), pk=key)


@require_auth(roles.REFUNDS_WRITE)
def refund_payment(request: HttpRequest, key: str) -> ActionForm:
    """Refund an amount, units of order lines, or the whole refundable balance."""
    payment = _get_payment(key)
    refundable = Money(max(0, queries.get_payment(key).refundable_minor), payment.currency)
    example = Money(1230, payment.currency).amount
    lines = list(payment.order.lines.order_by("position")[:50])
    units = {
        f"line_{line.position}": forms.IntegerField(
            label=f"Quantity of {line.description or line.sku} (ordered: {line.quantity})",
            required=False,
            min_value=0,
            max_value=line.quantity,
            widget=widgets.UnfoldAdminIntegerFieldWidget(),
        )
        for line in lines
    }
    form = build_form(
        request,
        amount=text_field(
            "Amount",
            required=False,
            help_text=f"For example {example}. Leave empty to refund the quantities below or, without "
            f"any, the full {refundable}.",
        ),
        reason=text_field("Reason", max_length=refunds.REASON_LETTERS_MAX),
        **units,
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        refund_id, now = ids.new(ids.REFUND), clock.now()
        requested = Money.parse(values["amount"], payment.currency) if values["amount"] else None
        chosen = {line.position: values[f"line_{line.position}"] for line in lines}

        def change() -> ActionResult:
            order_refunding.refund(
                payment_id=key,
                amount=requested,
                refund_id=refund_id,
                reason=values["reason"],
                quantities={position: n for position, n in chosen.items() if n},
                now=now,
            )
            created = Refund.objects.get(pk=refund_id)
            tail = "pending approval" if hasattr(created, "approval") else "sent to the provider"
            amount = Money(created.amount_minor, created.currency)
            return ActionResult(f"Refund of {amount} created: {tail}.")

        return change

    description = f"Refundable: {refundable}. "
    if refund_approvals.requires_approval(refundable):
        limit = refund_approvals.approval_threshold(payment.currency)
        description += f"Refunds above {limit} need the approval of a second user."
    return ActionForm(
        f"Refund {payment.order.reference}",
        description,
        detail_url("payment", key),
        form,
        "Refund",
        prepare_change,
    )


@require_auth(roles.REFUNDS_APPROVE)
def approve_refund(request: HttpRequest, key: str) -> ActionForm:
    """Approve a refund."""
    refund = _get_refund(key)

    def prepare_change(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            refund_approvals.approve(refund_id=key, now=now)
            return ActionResult("Refund approved: sent to the provider.")

        return change

    amount = Money(refund.amount_minor, refund.currency)
    approval = refund.approval
    owner = users.describe_owner(approval.requested_owner)
    return ActionForm(
        "Approve refund",
        f"{amount} will be refunded. Requested by {approval.requested_by} (owner: {owner}).",
        detail_url("refund", key),
        build_form(request),
        "Approve",
        prepare_change,
    )


@require_auth(roles.REFUNDS_WRITE)
def reject_refund(request: HttpRequest, key: str) -> ActionForm:
    """Reject a refund, or withdraw a request of one's own."""
    refund = _get_refund(key)

    def prepare_change(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            refund_approvals.reject(refund_id=key, now=now)
            return ActionResult("Refund rejected: nothing was refunded.")

        return change

    return ActionForm(
        "Reject refund",
        f"{Money(refund.amount_minor, refund.currency)} will not be refunded.",
        detail_url("refund", key),
        build_form(request),
        "Reject",
        prepare_change,
        danger=True,
    )


def _get_refund(key: str) -> Refund:
    with_approval = Refund.objects.filter(approval__isnull=False).select_related("approval")
    return get_object_or_404(with_approval, pk=key)


@require_auth(roles.PAYMENTS_WRITE)
def capture_payment(request: HttpRequest, key: str) -> ActionForm:
    """Capture an authorized payment in full or in part."""
    payment = _get_payment(key)
    authorized = Money(payment.authorized_minor, payment.currency)
    form = build_form(
        request,
        amount=text_field(
            "Amount",
            required=False,
            help_text=f"Leave empty to capture the full {authorized}. The remainder is released.",
        ),
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        attempt_id, now = ids.new(ids.ATTEMPT), clock.now()
        amount = Money.parse(values["amount"], payment.currency) if values["amount"] else authorized

        def change() -> ActionResult:
            charges.request_capture(payment_id=key, amount=amount, attempt_id=attempt_id, now=now)
            return ActionResult(f"Capture of {amount} sent to the provider.")

        return change

    return ActionForm(
        f"Capture {payment.order.reference}",
        f"Authorized: {authorized}.",
        detail_url("payment", key),
        form,
        "Capture",
        prepare_change,
    )


@require_auth(roles.PAYMENTS_WRITE)
def cancel_payment(request: HttpRequest, key: str) -> ActionForm:
    """Cancel a payment, or void its authorization."""
    payment = _get_payment(key)
    authorized = payment.authorized_minor

    def prepare_change(_: dict[str, Any]) -> Change:
        attempt_id, now = ids.new(ids.ATTEMPT), clock.now()

        def change() -> ActionResult:
            charges.abandon_attempt(payment_id=key, attempt_id=attempt_id, now=now)
            return ActionResult("Void sent to the provider." if authorized else "Payment canceled.")

        return change

    description = (
        f"The authorized amount of {Money(authorized, payment.currency)} is released to the buyer."
        if authorized
        else "The payment is closed: no further charge is attempted."
    )
    label = "Void authorization" if authorized else "Cancel payment"
    return ActionForm(
        f"{label}: {payment.order.reference}",
        description,
        detail_url("payment", key),
        build_form(request),
        label,
        prepare_change,
        danger=True,
    )


@require_auth(roles.REVIEWS_WRITE)
def resolve_review(request: HttpRequest, key: str) -> ActionForm:
    """Resolve a review with a written resolution."""
    review = get_object_or_404(Review, pk=key)
    form = build_form(
        request,
        resolution=text_field("Resolution", rows=4, max_length=reviews.RESOLUTION_LETTERS_MAX),
    )

    def prepare_change(values: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            reviews.resolve(review_id=key, resolution=values["resolution"], now=now)
            return ActionResult("Review resolved.")

        return change

    return ActionForm(
        f"Resolve review: {humanize(review.code)}",
        "Describe the cause and what was done. The text is stored with the review; it does not change "
        "any amount.",
        detail_url("review", key),
        form,
        "Resolve",
        prepare_change,
    )


@require_auth(roles.JOBS_WRITE)
def retry_job(request: HttpRequest, key: str) -> ActionForm:
    """Retry a failed job."""
    job = get_object_or_404(Job, pk=parse_id(key))

    def prepare_change(_: dict[str, Any]) -> Change:
        now = clock.now()

        def change() -> ActionResult:
            if not jobs.redrive(job.pk):
                raise JobNotDead(f"job {job.pk} has not failed, or another job does the same work")
            audit_log.record(action="job.retry", subject=f"job {job.pk}", now=now)
            return ActionResult(f"Job {job.pk} enqueued again.")

        return change

    return ActionForm(
        f"Retry job {key}",
        f"Last error: {job.last_error}",
        reverse("admin:bursar_job_changelist"),
        build_form(request),
        "Retry",
        prepare_change,
    )


class JobNotDead(errors.Conflict):
    """The job is not among the failed jobs (dead letters)."""

    code = "job_not_dead"
