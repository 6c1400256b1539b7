"""
Optional provider capabilities, as Protocols. A provider supports one by defining its method.

`capabilities` lists those of a provider; no registration is needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from bursar import errors
from bursar.providers.interface import (
    CaptureRequest,
    ChargeRequest,
    EvidenceRequest,
    ObjectKind,
    PaymentProvider,
    Result,
    SettlementLine,
    Snapshot,
    VoidRequest,
)


class OperationNotSupported(errors.ValidationError):
    """The provider does not support the operation; `bursar providers` lists what it supports."""

    code = "operation_not_supported"


@runtime_checkable
class SupportsCharge(Protocol):
    """The part of a provider that a function needs if it only charges."""

    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge or authorize; see `PaymentProvider.charge`."""
        ...


@runtime_checkable
class SupportsCapture(Protocol):
    """Captures authorizations, in several parts where the provider allows it."""

    async def capture(self, request: CaptureRequest, /) -> Result:
        """
        Capture the amount of *request*; errors and repeated calls as for `PaymentProvider.charge`.

        An amount above the authorized remainder is declined.
        """
        ...


@runtime_checkable
class SupportsVoid(Protocol):
    """Voids authorizations."""

    async def void(self, request: VoidRequest, /) -> Result:
        """Release the uncaptured amount; errors and repeated calls as for `charge`."""
        ...


@runtime_checkable
class SupportsWebhookVerification(Protocol):
    """Verifies webhook signatures: synchronous, without I/O, compared in constant time."""

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, /, *, now: datetime
    ) -> VerifiedWebhook:
        """
        Verify the signature of the raw *body* and return the event's id, type and account.

        *headers* has names in any case. *now* has a time zone. A delivery that is repeated verifies
        again; duplicates are dropped by the event's id.

        :raises InvalidSignature: if no signature is by the webhook secret, its timestamp is outside
            the tolerance, or the body is no event.
        """
        ...


@runtime_checkable
class SupportsWebhookParsing(Protocol):
    """Parses verified webhooks into snapshots: synchronous, without I/O."""

    def parse_webhook(self, body: bytes, /) -> Iterable[Snapshot]:
        """
        Return the snapshots of a verified *body*; none for an event that moves no money.

        :raises errors.BursarError: if the body is not an event of the provider.
        """
        ...


@runtime_checkable
class SupportsListObjects(Protocol):
    """Lists all objects, to compare the provider's records with ours."""

    def list_objects(self) -> AsyncIterator[Snapshot]:
        """Iterate over all objects in their current state, in any order."""
        ...


@runtime_checkable
class SupportsBalance(Protocol):
    """Reports the balance that the provider owes the merchant."""

    async def balances(self) -> Mapping[str, int]:
        """Return the balance by currency in minor units, without zeros; includes pending funds."""
        ...


@runtime_checkable
class SupportsFetchObject(Protocol):
    """Fetches single objects, with the fee and exchange rate that webhooks omit."""

    async def fetch_object(self, kind: ObjectKind, reference: str, /) -> Iterable[Snapshot]:
        """Return the snapshots of an object. :raises errors.NotFound: if it does not exist."""
        ...


@runtime_checkable
class SupportsEvidence(Protocol):
    """Submits evidence for disputes."""

    async def submit_evidence(self, request: EvidenceRequest, /) -> Result:
        """Store a draft of the evidence or submit it; errors and repeated calls as for `charge`."""
        ...


@runtime_checkable
class SupportsSettlementFile(Protocol):
    """Parses rows of the provider's settlement report, a CSV file."""

    #: The required columns.
    settlement_columns: ClassVar[tuple[str, ...]]

    def parse_settlement_row(self, row: Mapping[str, str], /) -> SettlementLine:
        """
        Parse one row, a mapping of column names to texts.

        :raises errors.ValidationError: if a value is invalid; `param` is the column.
        """
        ...


@runtime_checkable
class SupportsSettlementApi(Protocol):
    """Lists the lines of the settlement report by API."""

    def list_settlement_lines(self, since: datetime, /) -> AsyncIterator[SettlementLine]:
        """Iterate over all changes of the balance since then, in any order."""
        ...


@runtime_checkable
class SupportsSetupCheck(Protocol):
    """Checks whether an account is ready to accept payments."""

    def check_setup(self, *, webhook_url: str) -> AsyncIterator[SetupCheck]:
        """Check the account and our endpoint *webhook_url*; changes nothing at the provider."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCheck:
    """One check of the setup: its subject, whether it passed, and what to do if it did not."""

    subject: str
    is_ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedWebhook:
    """
    The envelope of a verified webhook; *event_id* is unique within a provider account.

    *foreign_account* is the account that the event belongs to, if it is not our own; "" if it is.
    Events of other accounts are stored and ignored.
    """

    event_id: str
    type: str
    foreign_account: str = ""


CAPABILITIES: Mapping[str, type[Any]] = {
    "capture": SupportsCapture,
    "void": SupportsVoid,
    "webhook_verification": SupportsWebhookVerification,
    "webhook_parsing": SupportsWebhookParsing,
    "list_objects": SupportsListObjects,
    "balance": SupportsBalance,
    "fetch_object": SupportsFetchObject,
    "dispute_evidence": SupportsEvidence,
    "settlement_file": SupportsSettlementFile,
    "settlement_api": SupportsSettlementApi,
    "setup_check": SupportsSetupCheck,
}


def capabilities(provider: PaymentProvider | type[PaymentProvider]) -> list[str]:
    """Return the names of what *provider* supports, in the order of `CAPABILITIES`."""
    names = [name for name, protocol in CAPABILITIES.items() if _has(provider, protocol)]
    if provider.idempotency_key_ttl is not None:
        names.append("idempotency_keys")
    if provider.lookup_by_key:
        names.append("lookup_by_key")
    return names


def _has(provider: PaymentProvider | type[PaymentProvider], protocol: type[Any]) -> bool:
    # Like isinstance() with a runtime Protocol, but for classes too: compares method names only.
    names = [name for name in vars(protocol) if not name.startswith("_")]
    return all(callable(getattr(provider, name, None)) for name in names)
