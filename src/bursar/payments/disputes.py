"""Disputes: list those that need a response, and submit evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from bursar import clock, errors, fields, group_commit, ids
from bursar.access import audit_log
from bursar.payments import attempts, facts, payment_state, provider_accounts, queries
from bursar.payments.models import Fact
from bursar.providers.capabilities import OperationNotSupported, SupportsEvidence
from bursar.providers.interface import DisputeStatus, EvidenceRequest, ObjectKind, Outcome, Result

TEXT_LETTERS_MAX = 20_000
_NEEDS_RESPONSE = (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.INQUIRY)


class EvidenceRejected(errors.Declined):
    """The provider rejected the evidence."""

    code = "evidence_rejected"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeNeedingResponse:
    """A dispute that needs a response; *evidence_due_by* is None if the provider sets no deadline."""

    account: str
    reference: str
    parent_reference: str
    amount_minor: int
    currency: str
    evidence_due_by: datetime | None


def list_needing_response(*, account: str = "") -> list[DisputeNeedingResponse]:
    """
    Return the disputes that need a response, earliest deadline first, those without one last.

    Of all provider accounts, or of *account* only.
    """
    disputes = _iterate_open(account)
    return sorted(disputes, key=lambda one: (one.evidence_due_by is None, str(one.evidence_due_by)))


def _iterate_open(account_name: str) -> Iterator[DisputeNeedingResponse]:
    references = Fact.objects.filter(kind=ObjectKind.DISPUTE).values_list(
        "provider_account_id", "reference"
    )
    if account_name:
        references = references.filter(provider_account_id=account_name)
    for account, reference, _ in references.annotate(Max("id")).order_by("provider_account_id"):
        facts = queries.facts_of_object(account, (ObjectKind.DISPUTE.value, reference))
        dispute = payment_state.merge_all(facts)[0]
        if dispute.status in _NEEDS_RESPONSE:
            yield DisputeNeedingResponse(
                account=account,
                reference=reference,
                parent_reference=dispute.parent_reference,
                amount_minor=dispute.amount.amount_minor,
                currency=dispute.amount.currency,
                evidence_due_by=dispute.evidence_due_by,
            )


def submit_evidence(
    *, provider_account: str, reference: str, texts: Mapping[str, str], submit: bool
) -> Result:
    """
    Submit evidence for a dispute and record the provider's response; blocks.

    :raises OperationNotSupported: if the provider does not support evidence;
    :raises EvidenceRejected: if the provider rejects it;
    :raises errors.Unavailable: if it was not sent;
    :raises errors.OutcomeUnknown: if it may have been received; repeating it under a new key is safe.
    """
    provider = provider_accounts.get(provider_account)
    if not isinstance(provider, SupportsEvidence):
        raise OperationNotSupported(f"{provider_account} does not support evidence")
    for name, text in texts.items():
        fields.validate_text(name, text, TEXT_LETTERS_MAX, required=True)
    request = EvidenceRequest(
        key=ids.new(ids.ATTEMPT), reference=reference, texts=texts, submit=submit
    )
    sending = provider.submit_evidence(request)

    async def send() -> Result:
        async with asyncio.timeout(attempts.CALL_SECONDS_MAX):
            return await sending

    result = provider_accounts.run_sync(send())
    if result.outcome is Outcome.DECLINED:
        raise EvidenceRejected(f"{provider_account} rejected the evidence: {result.code}")
    now = clock.now()

    def record() -> None:
        audit_log.record(
            action="dispute.submit" if submit else "dispute.evidence",
            subject=f"{provider_account}/{reference}",
            now=now,
            after={"evidence": sorted(texts)},
        )
        facts.append_facts(
            provider_account=provider_account,
            snapshots=result.snapshots,
            source="response",
            now=now,
        )

    group_commit.commits.run_blocking(record)
    return result
