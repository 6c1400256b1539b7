"""Stripe's objects, limited to the fields that we read (docs.stripe.com/api)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec


class StripeObject(msgspec.Struct, kw_only=True):
    """Base class of objects and their parts; unknown fields are ignored."""


class BalanceTransaction(StripeObject):
    """One change of the balance, in its currency; *source* may be expanded."""

    id: str
    amount: int
    fee: int
    net: int
    currency: str
    created: int
    exchange_rate: Decimal | int | None = None
    reporting_category: str = ""
    source: Any = None


class Multicapture(StripeObject):
    """Whether a charge can be captured in several parts."""

    status: str = "unavailable"


class StripeCharge(StripeObject):
    """A charge; charges of payment intents have the intent as our reference."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    amount_captured: int = 0
    captured: bool = False
    payment_intent: str | None = None
    failure_code: str | None = None
    metadata: dict[str, str] | None = None
    balance_transaction: str | BalanceTransaction | None = None


class StripeError(StripeObject):
    """The error of a rejected request; a declined charge includes its intent."""

    type: str = ""
    code: str | None = None
    decline_code: str | None = None
    param: str | None = None
    payment_intent: PaymentIntent | None = None


class Redirect(StripeObject):
    """The page to which the buyer is sent."""

    url: str | None = None


class NextAction(StripeObject):
    """The action that the buyer has to complete."""

    type: str = ""
    redirect_to_url: Redirect | None = None


class PaymentIntent(StripeObject):
    """A payment intent: an amount to collect, with its status."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    amount_received: int = 0
    amount_capturable: int = 0
    latest_charge: str | StripeCharge | None = None
    metadata: dict[str, str] | None = None
    last_payment_error: StripeError | None = None
    next_action: NextAction | None = None
    cancellation_reason: str | None = None


class StripeRefund(StripeObject):
    """A refund; *status* is null for some payment methods."""

    id: str
    amount: int
    currency: str
    created: int
    status: str | None = None
    charge: str | None = None
    payment_intent: str | None = None
    failure_reason: str | None = None
    metadata: dict[str, str] | None = None
    balance_transaction: str | BalanceTransaction | None = None


class EvidenceDetails(StripeObject):
    """Until when evidence is accepted (seconds since 1970; 0 if it is not)."""

    due_by: int | None = None
    submission_count: int = 0


class StripeDispute(StripeObject):
    """A dispute, with its balance transactions."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    charge: str | None = None
    payment_intent: str | None = None
    reason: str = ""
    balance_transactions: list[BalanceTransaction] = []
    evidence_details: EvidenceDetails | None = None


class StripePayout(StripeObject):
    """A payout from the balance to the merchant's bank account."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    failure_code: str | None = None


class CheckoutSession(StripeObject):
    """A Checkout session; its payment intent is created when the buyer pays."""

    id: str
    created: int
    status: str | None = None
    url: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    metadata: dict[str, str] | None = None
    payment_intent: str | PaymentIntent | None = None


class StripeMoney(StripeObject):
    """One currency of a balance."""

    amount: int
    currency: str


class StripeBalance(StripeObject):
    """The available and pending balance."""

    available: list[StripeMoney]
    pending: list[StripeMoney]


class StripeList(StripeObject):
    """A page of a list or of search results."""

    data: list[Any]
    has_more: bool = False


class Envelope(StripeObject):
    """
    The envelope of an event.

    *account* is the connected account of the event (docs.stripe.com/connect/webhooks); events of
    the endpoint's own account have none. *context* is the path of accounts, from the organization
    or platform down, joined by slashes (docs.stripe.com/context).
    """

    id: str
    type: str
    livemode: bool
    account: str | None = None
    context: str | None = None


class EventData(StripeObject):
    """The object of an event."""

    object: dict[str, Any]


class StripeEvent(Envelope, kw_only=True):
    """An event with its object."""

    data: EventData


class StripeFailure(StripeObject):
    """The body of an error response."""

    error: StripeError


class WebhookEndpoint(StripeObject):
    """A webhook endpoint registered at Stripe."""

    id: str
    url: str
    status: str
    enabled_events: list[str]
    api_version: str | None = None


class StripeAccount(StripeObject):
    """The merchant's account at Stripe."""

    id: str
    charges_enabled: bool = False
    payouts_enabled: bool = False
    default_currency: str = ""
