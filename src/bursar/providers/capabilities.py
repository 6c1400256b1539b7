"""The optional powers of a provider: having the method is the opt-in, `capabilities` finds them."""

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
    """The provider cannot do this: see `bursar providers` for what it can."""

    code = "operation_not_supported"


@runtime_checkable
class SupportsCharge(Protocol):
    """What a function needs that only collects money."""

    async def charge(self, request: ChargeRequest, /) -> Result:
        """Collect or authorize money once per key."""
        ...


@runtime_checkable
class SupportsCapture(Protocol):
    """Captures what was authorized, in parts where the provider allows it."""

    async def capture(self, request: CaptureRequest, /) -> Result:
        """Capture what the request says, once per key."""
        ...


@runtime_checkable
class SupportsVoid(Protocol):
    """Releases an authorization."""

    async def void(self, request: VoidRequest, /) -> Result:
        """Release what is not captured."""
        ...


@runtime_checkable
class SupportsWebhookVerification(Protocol):
    """Checks a delivery's signature over the raw bytes; pure, synchronous, constant time."""

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, /, *, now: datetime
    ) -> VerifiedWebhook:
        """:raises BadSignature: if it was not signed with our secret within the tolerance."""
        ...


@runtime_checkable
class SupportsWebhookParsing(Protocol):
    """Turns a verified body into snapshots; pure and synchronous."""

    def parse_webhook(self, body: bytes, /) -> Iterable[Snapshot]:
        """Say what a verified delivery tells."""
        ...


@runtime_checkable
class SupportsListObjects(Protocol):
    """Tells everything it holds, so that both books can be compared."""

    def list_objects(self) -> AsyncIterator[Snapshot]:
        """Every object, in any order, as it is now."""
        ...


@runtime_checkable
class SupportsBalance(Protocol):
    """Tells what it owes the merchant now, by currency."""

    async def balances(self) -> Mapping[str, int]:
        """Minor units owed, by currency."""
        ...


@runtime_checkable
class SupportsFetchObject(Protocol):
    """Tells one object whole, with the fee and rate that its webhooks leave out."""

    async def fetch_object(self, kind: ObjectKind, reference: str, /) -> Iterable[Snapshot]:
        """:raises errors.NotFound: if there is no such object."""
        ...


@runtime_checkable
class SupportsEvidence(Protocol):
    """Answers disputes."""

    async def submit_evidence(self, request: EvidenceRequest, /) -> Result:
        """Keep or submit our side of a dispute."""
        ...


@runtime_checkable
class SupportsSettlementFile(Protocol):
    """Reads its settlement report: rows of texts by column."""

    #: The columns it cannot do without.
    settlement_columns: ClassVar[tuple[str, ...]]

    def parse_settlement_row(self, row: Mapping[str, str], /) -> SettlementLine:
        """:raises errors.ValidationError: naming the column that cannot be read."""
        ...


@runtime_checkable
class SupportsSettlementApi(Protocol):
    """Tells the lines of its settlement report by API."""

    def list_settlement_lines(self, since: datetime, /) -> AsyncIterator[SettlementLine]:
        """Every movement of the balance since then, in any order."""
        ...


@runtime_checkable
class SupportsSetupCheck(Protocol):
    """Looks whether an account is ready to take money."""

    def check_setup(self, *, webhook_url: str) -> AsyncIterator[SetupCheck]:
        """Say what is in order and what is missing; *hook_url* is where our webhooks listen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCheck:
    """One thing looked at: whether it is in order, and what to do where it is not."""

    subject: str
    is_ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedWebhook:
    """
    The envelope of a verified delivery: *event_id* is unique per provider account.

    *foreign_account* is the account at the provider that the event is about, where that is another
    than the provider account's own ("" where it is the own one). Such an event is stored and
    ignored: its objects move no money of ours.
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
    """Name the optional powers that *provider* has, in the order of `CAPABILITIES`."""
    names = [name for name, power in CAPABILITIES.items() if _has(provider, power)]
    if provider.idempotency_key_ttl is not None:
        names.append("idempotency_keys")
    if provider.lookup_by_key:
        names.append("lookup_by_key")
    return names


def _has(provider: PaymentProvider | type[PaymentProvider], power: type[Any]) -> bool:
    # isinstance() on a runtime Protocol only asks for the method names, which is what is meant.
    names = [name for name in vars(power) if not name.startswith("_")]
    return all(callable(getattr(provider, name, None)) for name in names)
