"""Reviews: conditions that require a manual decision, opened once and resolved once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from bursar import errors, fields, group_commit, ids, sql
from bursar.access import audit_log
from bursar.payments.models import Review

INSERT_REVIEW = (
    "INSERT INTO bursar_review (id, code, subject, fingerprint, payment_id, detail, opened_at, "
    "resolved_at, resolution, resolved_by) VALUES (%s, %s, %s, %s, %s, %s, %s, NULL, '', '') "
    "ON CONFLICT (subject, code, fingerprint) DO NOTHING"
)


RESOLUTION_LETTERS_MAX = 2_000


class ReviewNotFound(errors.NotFound):
    """The review does not exist."""

    code = "review_not_found"


class AlreadyResolved(errors.Conflict):
    """The review is already resolved."""

    code = "already_resolved"


def create_review(
    *,
    code: str,
    subject: str,
    payment_id: str | None,
    detail: Mapping[str, object],
    now: datetime,
) -> None:
    """Open a review of *subject*, once per code and detail. Needs an open transaction."""
    group_commit.require_transaction()
    text = json.dumps(dict(detail), sort_keys=True)
    row = [
        ids.new(ids.REVIEW),
        code,
        subject,
        ids.digest(text),
        payment_id,
        text,
        fields.to_db_datetime(now),
    ]
    sql.run(INSERT_REVIEW, row)


def close(
    *, code: str, subject: str, resolution: str, now: datetime, attempt_id: str | None = None
) -> int:
    """
    Resolve the open reviews of *subject* with *code*. Return their number.

    With *attempt_id* only those of that attempt: another attempt may still be unknown.
    """
    group_commit.require_transaction()
    open_reviews = Review.objects.filter(code=code, subject=subject, resolved_at__isnull=True)
    if attempt_id is not None:
        open_reviews = open_reviews.filter(detail__attempt=attempt_id)
    return open_reviews.update(resolved_at=now, resolution=resolution, resolved_by="bursar")


def resolve(*, review_id: str, resolution: str, now: datetime, by: str = "") -> None:
    """
    Store a person's resolution; *by* defaults to the current actor. Needs an open transaction.

    :raises errors.ValidationError: if the resolution is empty or too long;
    :raises ReviewNotFound: if there is none; :raises AlreadyResolved: if it is already resolved.
    """
    group_commit.require_transaction()
    fields.validate_text("resolution", resolution, RESOLUTION_LETTERS_MAX, required=True)
    changed = Review.objects.filter(id=review_id, resolved_at__isnull=True).update(
        resolved_at=now, resolution=resolution, resolved_by=by or audit_log.actor()
    )
    if not changed:
        if Review.objects.filter(id=review_id).exists():
            raise AlreadyResolved(f"{review_id} is already resolved")
        raise ReviewNotFound(f"review {review_id!r} not found")
    audit_log.record(
        action="review.resolve", subject=review_id, now=now, after={"resolution": resolution}
    )
