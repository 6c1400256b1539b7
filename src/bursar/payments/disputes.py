"""Disputes that want an answer, and answering them."""

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


class EvidenceRefused(errors.Declined):
    """The provider did not take the evidence."""

    code = "evidence_rejected"
    status = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeNeedingResponse:
    """A dispute that wants an answer, in minor units; *evidence_due_by* where the provider says when."""

    account: str
    reference: str
    parent_reference: str
    amount_minor: int
    currency: str
    evidence_due_by: datetime | None


def list_needing_response(*, account: str = "") -> list[DisputeNeedingResponse]:
    """
    The disputes that want an answer, the most urgent first, then those without a time.

    At all provider accounts, or at one.
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
    Tell our side of a dispute, and record what the provider makes of it; blocks.

    :raises OperationNotSupported: if the provider takes none; :raises EvidenceRefused: if it refused it;
    :raises errors.Unavailable: if it could not be told; :raises errors.OutcomeUnknown: if it may
        have been: it is told again under another key, which changes nothing.
    """
    provider = provider_accounts.get(provider_account)
    if not isinstance(provider, SupportsEvidence):
        raise OperationNotSupported(f"{provider_account} takes no evidence")
    for name, text in texts.items():
        fields.validate_text(name, text, TEXT_LETTERS_MAX, required=True)
    request = EvidenceRequest(
        key=ids.new(ids.ATTEMPT), reference=reference, texts=texts, submit=submit
    )
    sending = provider.submit_evidence(request)

    async def tell() -> Result:
        async with asyncio.timeout(attempts.CALL_SECONDS_MAX):
            return await sending

    result = provider_accounts.run_sync(tell())
    if result.outcome is Outcome.DECLINED:
        raise EvidenceRefused(f"{provider_account} refused the evidence: {result.code}")
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
