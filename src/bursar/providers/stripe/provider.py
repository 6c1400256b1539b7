"""The Stripe provider: operations as API requests, and responses as results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from bursar import errors
from bursar.providers import http_provider, interface, results
from bursar.providers.capabilities import VerifiedWebhook
from bursar.providers.conformance.suite import Conformance
from bursar.providers.interface import (
    InvalidSignature,
    ObjectKind,
    Operation,
    Outcome,
    Result,
    Secret,
    Snapshot,
)
from bursar.providers.mixins import LoggingMixin, RetryMixin
from bursar.providers.stripe import (
    balance_transactions,
    currencies,
    schemas,
    setup_check,
    snapshots,
    webhook_signature,
)

#: The payment method that sends the buyer to Stripe Checkout.
CHECKOUT = "checkout"
_EXPAND_CHARGE = ["latest_charge.balance_transaction"]
_PATHS = {
    ObjectKind.CHARGE: "payment_intents",
    ObjectKind.REFUND: "refunds",
    ObjectKind.DISPUTE: "disputes",
    ObjectKind.PAYOUT: "payouts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeConfig:
    """
    Settings of a Stripe account.

    *api_key* is a secret or restricted key for test or live mode. *webhook_secret* may have several
    secrets, separated by spaces, during a rotation. Buyers return to *return_url* after 3-D Secure
    or Checkout. *payment_method_types*, separated by spaces, limits the methods enabled in Stripe's
    dashboard. With *multicapture* an authorization stays open after a partial capture, if account
    and card allow it; else the first capture releases the remainder. *account_id* is the account's
    own id (`acct_...`): events that name another account are ignored.
    """

    api_key: Secret
    webhook_secret: Secret = field(default_factory=lambda: Secret(""))
    return_url: str = ""
    payment_method_types: str = ""
    multicapture: bool = False
    account_id: str = ""
    url: str = "https://api.stripe.com"
    timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        """:raises ValueError: if the API key would be sent without TLS."""
        loopback = self.url.startswith(("http://127.0.0.1:", "http://[::1]:", "http://localhost:"))
        if not (self.url.startswith("https://") or loopback):
            raise ValueError("url must begin with https://")


def _sample_webhook(provider: StripeBase, at: datetime) -> tuple[dict[str, str], bytes]:
    """Return a webhook signed with the provider's secret at that time."""
    body = (
        b'{"id":"evt_1","type":"payment_intent.succeeded","livemode":false,"data":{"object":{"id":'
        b'"pi_1","object":"payment_intent","amount":1000,"amount_received":1000,"currency":"eur",'
        b'"status":"succeeded","created":1700000000}}}'
    )
    secrets = provider.config.webhook_secret.reveal().split()
    return {"Stripe-Signature": webhook_signature.sign(secrets, body, at=at)}, body


def _foreign_webhook(provider: StripeBase, at: datetime) -> tuple[dict[str, str], bytes]:
    """Return a webhook of another connected account, with a valid signature."""
    _, body = _sample_webhook(provider, at)
    body = body.replace(b'"type"', b'"account":"acct_conformance","type"', 1)
    secrets = provider.config.webhook_secret.reveal().split()
    return {"Stripe-Signature": webhook_signature.sign(secrets, body, at=at)}, body


class StripeBase(balance_transactions.StripeSettlements, setup_check.StripeSetup):
    """All operations at Stripe, without logging and retries."""

    __slots__ = ()

    name = "stripe"
    Config = StripeConfig
    idempotency_key_ttl: ClassVar[timedelta | None] = timedelta(hours=24)
    lookup_by_key: ClassVar[bool] = True
    repeats_before_lookup: ClassVar[bool] = True
    lookup_final_after: ClassVar[timedelta] = timedelta(hours=1)  # the search index lags
    config: StripeConfig

    @property
    def conformance(self) -> Conformance:
        """Stripe's test payment methods (docs.stripe.com/testing)."""
        return Conformance(
            approved="pm_card_visa",
            declined="pm_card_chargeDeclined",
            disputed="pm_card_createDispute",
            multicapture=self.config.multicapture,
            currencies=("JPY", "EUR", "ISK", "UGX"),
            sample_webhook=_sample_webhook,
            foreign_webhook=_foreign_webhook,
        )

    @property
    def mode(self) -> str:
        """`live` or `test`, from the prefix of the API key."""
        return "live" if "_live_" in self.config.api_key.reveal()[:9] else "test"

    async def charge(self, request: interface.ChargeRequest, /) -> Result:
        """Create and confirm a payment intent, or create a Checkout session."""
        if request.method == CHECKOUT:
            return await self._open_checkout(request)
        customer, _, method = request.method.rpartition("/")
        types = self.config.payment_method_types.split()
        return_url = self.config.return_url
        automatic = {"enabled": True, "allow_redirects": "always" if return_url else "never"}
        form = {
            **self._amount(request),
            "confirm": True,
            "customer": customer,
            "payment_method": method,
            "payment_method_types": types,
            "return_url": return_url,
            "automatic_payment_methods": {} if types else automatic,
            "payment_method_options": self._options(request),
            "expand": _EXPAND_CHARGE,
            "capture_method": "automatic" if request.capture else "manual",
            "metadata": {**request.metadata, snapshots.ATTEMPT_KEY: request.key},
        }
        return await self._post("/v1/payment_intents", request.key, form)

    async def _open_checkout(self, request: interface.ChargeRequest) -> Result:
        if not self.config.return_url:
            raise currencies.UnsupportedAmountOrCurrency(
                "stripe: Checkout requires the setting return_url"
            )
        metadata = {**request.metadata, snapshots.ATTEMPT_KEY: request.key}
        amount = self._amount(request)
        price = {
            "currency": amount["currency"],
            "unit_amount": amount["amount"],
            "product_data": {"name": request.metadata.get("order") or request.key},
        }
        form = {
            "mode": "payment",
            "client_reference_id": request.key,
            "metadata": metadata,
            "success_url": self.config.return_url,
            "cancel_url": self.config.return_url,
            "payment_method_types": self.config.payment_method_types.split(),
            "line_items": [{"price_data": price, "quantity": 1}],
            "payment_method_options": self._options(request),
            "payment_intent_data": {
                "metadata": {**metadata, snapshots.HOSTED_KEY: "yes"},
                "capture_method": "automatic" if request.capture else "manual",
            },
        }
        return await self._post("/v1/checkout/sessions", request.key, form)

    async def capture(self, request: interface.CaptureRequest, /) -> Result:
        """Capture all or a part; the remainder stays open only with `multicapture`."""
        form = {
            "amount_to_capture": currencies.to_stripe_amount(request.amount),
            "expand": _EXPAND_CHARGE,
        }
        if self.config.multicapture and not request.final:
            form["final_capture"] = False
        path = f"/v1/payment_intents/{request.reference}/capture"
        return await self._post(path, request.key, form)

    async def void(self, request: interface.VoidRequest, /) -> Result:
        """Cancel the payment intent, which releases the uncaptured amount."""
        path = f"/v1/payment_intents/{request.reference}/cancel"
        return await self._post(path, request.key, {"expand": _EXPAND_CHARGE})

    async def refund(self, request: interface.RefundRequest, /) -> Result:
        """Refund the charge of the payment intent."""
        kind = "charge" if request.reference.startswith("ch_") else "payment_intent"
        form = {
            kind: request.reference,
            "amount": currencies.to_stripe_amount(request.amount),
            "metadata": {**request.metadata, snapshots.ATTEMPT_KEY: request.key},
            "expand": ["balance_transaction"],
        }
        return await self._post("/v1/refunds", request.key, form)

    async def submit_evidence(self, request: interface.EvidenceRequest, /) -> Result:
        """Store the texts as a draft, or submit them to the bank, which is final."""
        form = {"evidence": request.texts, "submit": request.submit}
        return await self._post(f"/v1/disputes/{request.reference}", request.key, form)

    async def get_status(self, request: interface.StatusRequest, /) -> Result:
        """Look up by reference; else a refund in its charge's list, a charge by search (lags)."""
        kind = ObjectKind.REFUND if request.operation is Operation.REFUND else ObjectKind.CHARGE
        try:
            if request.reference:
                return self._result(await self._get(kind, request.reference))
            if kind is ObjectKind.CHARGE:
                query = f"metadata['{snapshots.ATTEMPT_KEY}']:'{request.key}'"
                pages = self.pages(
                    "/v1/payment_intents/search", query=query, expand=_EXPAND_CHARGE[0]
                )
            else:
                pages = self.pages(
                    "/v1/refunds",
                    payment_intent=request.parent_reference,
                    expand="balance_transaction",
                )
            async for one in pages:
                if (one.get("metadata") or {}).get(snapshots.ATTEMPT_KEY) == request.key:
                    return self._result(one)
        except errors.NotFound:
            pass
        return Result(outcome=Outcome.NOT_FOUND)

    async def fetch_object(self, kind: ObjectKind, reference: str, /) -> Iterable[Snapshot]:
        """Return the snapshots of an object. :raises errors.NotFound: if it does not exist."""
        return snapshots.read_object(await self._get(kind, reference))

    async def balances(self) -> Mapping[str, int]:
        """Return the available and pending balance by currency, in minor units."""
        balance = http_provider.decode(
            await self.get("/v1/balance"), schemas.StripeBalance, "the balance"
        )
        owed: dict[str, int] = {}
        for part in [*balance.available, *balance.pending]:
            amount = currencies.from_stripe_amount(part.amount, part.currency)
            owed[amount.currency] = owed.get(amount.currency, 0) + amount.amount_minor
        return {currency: minor for currency, minor in owed.items() if minor}

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, /, *, now: datetime
    ) -> VerifiedWebhook:
        """:raises InvalidSignature: without a valid signature of now, or if the mode differs."""
        webhook_signature.verify(
            self.config.webhook_secret.reveal().split(), headers, body, now=now
        )
        try:
            event = http_provider.decode(
                http_provider.read_json(body), schemas.Envelope, "the event"
            )
        except (ValueError, errors.OutcomeUnknown) as error:
            raise InvalidSignature("signed, but the body is not a Stripe event") from error
        foreign = self._foreign_account(event)
        # A platform's live endpoint receives events of both modes of its connected accounts.
        if not foreign and event.livemode != (self.mode == "live"):
            raise InvalidSignature("signed, but for the other mode (test or live)")
        return VerifiedWebhook(event_id=event.id, type=event.type, foreign_account=foreign)

    def parse_webhook(self, body: bytes, /) -> Iterable[Snapshot]:
        """Return the snapshots of an event, without fees; none if it moves no money."""
        event = http_provider.decode(
            http_provider.read_json(body), schemas.StripeEvent, "the event"
        )
        stripe_object = event.data.object
        has_intent = stripe_object.get("object") == "charge" and stripe_object.get("payment_intent")
        return [] if has_intent else snapshots.read_object(stripe_object)

    def _foreign_account(self, event: schemas.Envelope) -> str:
        """Return the account of an event; "" if it is our own or none is named."""
        if event.account is not None:
            named, account = event.account, event.account
        elif event.context:
            named, account = event.context, event.context.rpartition("/")[2]
        else:
            return ""
        return "" if account and account == self.config.account_id else named or "unnamed"

    # --- helpers ----------------------------------------------------------------------------------

    def _amount(self, request: interface.ChargeRequest) -> dict[str, Any]:
        return {
            "amount": currencies.to_stripe_amount(request.amount),
            "currency": request.amount.currency.lower(),
        }

    def _options(self, request: interface.ChargeRequest) -> dict[str, Any]:
        several = self.config.multicapture and not request.capture
        return {"card": {"request_multicapture": "if_available"}} if several else {}

    async def _post(self, path: str, key: str, form: Mapping[str, Any]) -> Result:
        response = await self.call("POST", path, form=form, key=key)
        if 200 <= response.status < 300:
            return self._result(response.body)
        error = http_provider.decode(response.body, schemas.StripeFailure, "the refusal").error
        # Another request with this key is in progress or had other content.
        if error.type == "idempotency_error" or response.status == 409:
            raise errors.OutcomeUnknown(
                f"stripe: POST {path} returned {response.status} {error.code}. Look up its status."
            )
        if error.payment_intent is not None:
            snapshot = snapshots.from_intent(error.payment_intent)
            return Result(
                outcome=Outcome.DECLINED,
                reference=snapshot.reference,
                snapshots=(snapshot,),
                code=snapshots.error_code(error),
                soft_decline=snapshot.soft_decline,
            )
        return results.declined_result(402, code=snapshots.error_code(error))

    def _result(self, body: Any) -> Result:
        snapshot = next(iter(snapshots.read_object(body)), None)
        if snapshot is None:
            return Result(outcome=Outcome.PENDING, reference=str(body.get("id", "")))
        action = (body.get("next_action") or {}).get("redirect_to_url") or {}
        return results.result_from_snapshots(
            snapshot, redirect_url=action.get("url") or body.get("url") or ""
        )

    async def _get(self, kind: ObjectKind, reference: str) -> Any:
        if reference.startswith("cs_"):
            expand = f"payment_intent.{_EXPAND_CHARGE[0]}"
            return await self.get(f"/v1/checkout/sessions/{reference}", expand=expand)
        if kind is ObjectKind.CHARGE and reference.startswith("ch_"):
            return await self.get(f"/v1/charges/{reference}", expand="balance_transaction")
        expand = {
            ObjectKind.CHARGE: _EXPAND_CHARGE[0],
            ObjectKind.REFUND: "balance_transaction",
        }.get(kind, "")
        return await self.get(f"/v1/{_PATHS[kind]}/{reference}", expand=expand)


class StripeProvider(LoggingMixin, RetryMixin, StripeBase):
    """The Stripe provider."""

    __slots__ = ()
