"""The sandbox provider: simulated in this process, or over HTTP if the config has a URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar

import orjson

from bursar import clock, errors
from bursar.money import Money
from bursar.providers import standard_webhooks
from bursar.providers.capabilities import VerifiedWebhook
from bursar.providers.conformance.suite import Conformance
from bursar.providers.http_provider import HttpProvider, JsonResponse
from bursar.providers.interface import (
    CaptureRequest,
    ChargeRequest,
    InvalidSignature,
    ObjectKind,
    Operation,
    PaymentProvider,
    RefundRequest,
    Result,
    Secret,
    Snapshot,
    StatusRequest,
    VoidRequest,
)
from bursar.providers.mixins import LoggingMixin, RetryMixin
from bursar.providers.sandbox import scenarios, serializers, webhook_delivery
from bursar.providers.sandbox.fault_injection import Faults
from bursar.providers.sandbox.fees import FeeSchedule
from bursar.providers.sandbox.scenarios import Fault
from bursar.providers.sandbox.simulator import SandboxSimulator

#: Header with the time (seconds since 1970) until which the caller waits. The server ignores later
#: requests, so NOT_FOUND is final at once.
DEADLINE = "Sandbox-Deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """
    *url* is the address of a sandbox server; without it the sandbox runs in this process.

    *store* is the path of the SQLite file with its objects, "" for one in memory. Without *durable*
    the file survives a killed process but not a power failure. *timeouts*, *lost* and *garbage* are
    probabilities (`Faults`); `FeeSchedule` describes fees, settlement and rates. *idempotency_keys*
    and *lookup_by_key* are what the provider declares; a server has to be started with the same
    values. *webhook_secret* may have several secrets, separated by spaces.
    """

    url: str = ""
    store: str = ""
    durable: bool = True
    webhook_secret: Secret = field(
        default_factory=lambda: Secret("whsec_c2FuZGJveC1pcy1ub3QtYS1zZWNyZXQ=")
    )
    timeout_seconds: float = 10.0
    slow_seconds: float = 0.2
    seed: int = 0
    fee_basis_points: int = 0
    fee_fixed_minor: int = 0
    settlement_currency: str = ""
    rates: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    idempotency_keys: bool = True
    lookup_by_key: bool = True
    timeouts: float = 0.0
    lost: float = 0.0
    garbage: float = 0.0

    def terms(self) -> FeeSchedule:
        """Return the terms for the simulator."""
        return FeeSchedule(
            seed=self.seed,
            idempotency_keys=self.idempotency_keys,
            fee_basis_points=self.fee_basis_points,
            fee_fixed_minor=self.fee_fixed_minor,
            settlement_currency=self.settlement_currency,
            rates=self.rates,
            faults=Faults(timeouts=self.timeouts, lost=self.lost, garbage=self.garbage),
        )


def _sample_webhook(provider: SandboxBase, at: datetime) -> tuple[dict[str, str], bytes]:
    """Return a webhook signed with the provider's secret at that time."""
    snapshot = Snapshot(
        kind=ObjectKind.CHARGE, reference="ch_sample", status="captured", amount=Money(1_000, "EUR")
    )
    body = serializers.event_out("evt_sample", snapshot)
    key = standard_webhooks.parse_keys(provider.config.webhook_secret)[0]
    return standard_webhooks.sign_headers(key, event_id="evt_sample", at=at, body=body), body


def _foreign_webhook(provider: SandboxBase, at: datetime) -> tuple[dict[str, str], bytes]:
    """Return a webhook of another account with a valid signature."""
    _, body = _sample_webhook(provider, at)
    delivery = webhook_delivery.Delivery(position=1, event_id="evt_sample", headers={}, body=body)
    key = standard_webhooks.parse_keys(provider.config.webhook_secret)[0]
    foreign = webhook_delivery.make_foreign(delivery, key=key, at=at)
    return foreign.headers, foreign.body


class SandboxBase(HttpProvider, PaymentProvider):
    """All operations of the sandbox, without logging and retries."""

    __slots__ = ("_simulator",)

    name = "sandbox"
    is_test_only: ClassVar[bool] = True
    Config = SandboxConfig
    idempotency_key_ttl: ClassVar[timedelta | None] = timedelta(hours=24)
    lookup_by_key: ClassVar[bool] = True
    lookup_final_after: ClassVar[timedelta] = timedelta(0)

    conformance: ClassVar[Conformance] = Conformance(
        approved="tok_approved",
        declined="tok_declined_hard",
        timeout_after="tok_timeout_after_charge",
        lost="tok_timeout_before",
        disputed="tok_createDispute",
        faults=MappingProxyType(
            {
                "reset": "tok_reset_mid_response",
                "garbage": "tok_garbage_response",
                "unavailable": "tok_unavailable_once",
                "wrong_amount": "tok_wrong_amount",
                "slow_body": "tok_slow",
            }
        ),
        sample_webhook=_sample_webhook,
        foreign_webhook=_foreign_webhook,
    )

    config: SandboxConfig

    def __init__(self, config: SandboxConfig) -> None:
        super().__init__(config)
        self._simulator: SandboxSimulator | None = None

    @property
    def simulator(self) -> SandboxSimulator:
        """
        The simulator in this process, opened at first use.

        :raises RuntimeError: if the config has a URL: the simulator is in another process.
        """
        if self.config.url:
            raise RuntimeError("this sandbox runs in another process: its config has a url")
        if self._simulator is None:
            path = self.config.store or ":memory:"
            self._simulator = SandboxSimulator(
                path, terms=self.config.terms(), durable=self.config.durable
            )
        return self._simulator

    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge or authorize; the method names the scenario."""
        if self.config.url:
            return await self._post("/v1/charges", request.key, serializers.charge_out(request))
        scenario = scenarios.find_scenario(request.method, request.metadata)
        operation = Operation.CHARGE if request.capture else Operation.AUTHORIZE
        return await self._perform(
            operation, request.key, scenario, lambda: self.simulator.charge(request)
        )

    async def capture(self, request: CaptureRequest, /) -> Result:
        """Capture all or a part of an authorization."""
        if self.config.url:
            path = f"/v1/charges/{request.reference}/capture"
            body = {"amount": serializers.money_out(request.amount), "final": request.final}
            return await self._post(path, request.key, body)
        scenario = scenarios.APPROVED
        return await self._perform(
            Operation.CAPTURE, request.key, scenario, lambda: self.simulator.capture(request)
        )

    async def void(self, request: VoidRequest, /) -> Result:
        """Release the uncaptured amount of an authorization."""
        if self.config.url:
            return await self._post(f"/v1/charges/{request.reference}/void", request.key, {})
        scenario = scenarios.APPROVED
        return await self._perform(
            Operation.VOID, request.key, scenario, lambda: self.simulator.void(request)
        )

    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund all or a part of a captured charge."""
        if self.config.url:
            return await self._post("/v1/refunds", request.key, serializers.refund_out(request))
        scenario = scenarios.find_scenario("tok_approved", request.metadata)
        return await self._perform(
            Operation.REFUND, request.key, scenario, lambda: self.simulator.refund(request)
        )

    async def get_status(self, request: StatusRequest, /) -> Result:
        """
        Return the outcome of an operation.

        :raises OutcomeUnknown: without a reference, if this sandbox has no lookup by key.
        """
        if not request.reference and not self.lookup_by_key:
            raise errors.OutcomeUnknown("sandbox: no lookup by key, only by reference")
        if not self.config.url:
            return self.simulator.status(request, by_key=self.lookup_by_key)
        params = {"operation": request.operation.value, "reference": request.reference}
        if self.lookup_by_key:
            params["key"] = request.key
        return _result(await self.call("GET", "/v1/status", params=params))

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, /, *, now: datetime
    ) -> VerifiedWebhook:
        """:raises InvalidSignature: without a valid signature of the last five minutes."""
        keys = standard_webhooks.parse_keys(self.config.webhook_secret)
        event_id = standard_webhooks.verify(keys, headers, body, now=now)
        try:
            event = orjson.loads(body)
            foreign = "" if event.get("account") is None else str(event["account"]) or "unnamed"
            return VerifiedWebhook(event_id=event_id, type=event["type"], foreign_account=foreign)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidSignature(
                "the signature is valid, but the body is not a sandbox event"
            ) from error

    def parse_webhook(self, body: bytes, /) -> list[Snapshot]:
        """Return the snapshot of the event. :raises Invalid: if *body* is not a sandbox event."""
        try:
            return [serializers.snapshot_in(orjson.loads(body)["object"])]
        except (ValueError, KeyError, TypeError) as error:
            raise errors.Invalid("the body is not a sandbox event") from error

    async def list_objects(self) -> AsyncIterator[Snapshot]:
        """Iterate over all objects, oldest first; fetches a page at a time."""
        after = 0
        while page := await self._page(after):
            for after, snapshots in page:  # noqa: B007  (the cursor of the next page)
                for snapshot in snapshots:
                    yield snapshot

    async def balances(self) -> Mapping[str, int]:
        """Return the balance by currency, in minor units."""
        if self.config.url:
            balances: dict[str, int] = (await self.call("GET", "/v1/balances")).body
            return balances
        return self.simulator.balances()

    def headers(self) -> dict[str, str]:
        """Return the deadline header: the server does not carry out later requests."""
        return {DEADLINE: str(clock.now().timestamp() + self.config.timeout_seconds)}

    async def close(self) -> None:
        """Close the connections and the simulator."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
        await super().close()

    async def _page(self, after: int) -> list[tuple[int, list[Snapshot]]]:
        if not self.config.url:
            return self.simulator.snapshots(after=after)
        response = await self.call("GET", "/v1/objects", params={"after": str(after)})
        return [
            (one["position"], [serializers.snapshot_in(told) for told in one["snapshots"]])
            for one in response.body
        ]

    async def _post(self, path: str, key: str, body: dict[str, Any]) -> Result:
        return _result(await self.call("POST", path, json=body, key=key))

    async def _perform(
        self,
        operation: Operation,
        key: str,
        scenario: scenarios.Scenario,
        execute: Callable[[], Result],
    ) -> Result:
        """Run *execute* in this process, with the same faults as over HTTP."""
        fault = self.simulator.fault_for(operation, key, scenario)
        if fault is Fault.UNAVAILABLE:
            raise errors.Unavailable(
                "sandbox: unavailable, nothing was carried out. Retry later.", after_seconds=0.0
            )
        if fault is Fault.LOST:
            raise errors.OutcomeUnknown("sandbox: the request was lost. Look up its status.")
        if fault is Fault.SLOW:
            await asyncio.sleep(self.config.slow_seconds)
        result = execute()
        if fault in {Fault.TIMEOUT_AFTER, Fault.RESET, Fault.GARBAGE}:
            raise errors.OutcomeUnknown(
                f"sandbox: carried out, but no valid response ({fault}). Look up its status."
            )
        return result


def _result(response: JsonResponse) -> Result:
    try:
        return serializers.result_in(response.body)
    except (KeyError, TypeError, ValueError, errors.Invalid) as error:
        raise errors.OutcomeUnknown(
            "sandbox: the response has an unexpected schema. Look up its status."
        ) from error


class SandboxProvider(LoggingMixin, RetryMixin, SandboxBase):
    """
    The sandbox provider.

    Idempotency and lookup are declared by class, so a config without `idempotency_keys` or without
    `lookup_by_key` creates an instance of a subclass below.
    """

    __slots__ = ()

    def __new__(cls, config: SandboxConfig) -> SandboxProvider:
        """Create an instance of the class with the declarations of *config*."""
        return object.__new__(_CLASSES[config.idempotency_keys, config.lookup_by_key])


class SandboxWithoutIdempotency(SandboxProvider):
    """A sandbox for which a repeated key is a new operation."""

    __slots__ = ()
    idempotency_key_ttl = None


class SandboxWithoutLookup(SandboxProvider):
    """A sandbox without lookup by key; an unknown outcome is resolved by a retry."""

    __slots__ = ()
    lookup_by_key = False


class SandboxWithoutIdempotencyOrLookup(SandboxProvider):
    """A sandbox with neither; only webhooks and reports resolve an unknown outcome."""

    __slots__ = ()
    idempotency_key_ttl = None
    lookup_by_key = False


_CLASSES = {
    (True, True): SandboxProvider,
    (False, True): SandboxWithoutIdempotency,
    (True, False): SandboxWithoutLookup,
    (False, False): SandboxWithoutIdempotencyOrLookup,
}
