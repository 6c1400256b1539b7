"""Stripe's objects, as far as we read them (API reference, docs.stripe.com/api)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec


class StripeObject(msgspec.Struct, kw_only=True):
    """An object or a part of one; what is not named here is passed over."""


class BalanceTransaction(StripeObject):
    """One movement of the balance, in its currency; *source* may be expanded."""

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
    """Whether a charge may be captured in several parts."""

    status: str = "unavailable"


class StripeCharge(StripeObject):
    """A charge; for those of payment intents the intent is what we know them by."""

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
    """Why something was refused; a declined charge comes with its intent."""

    type: str = ""
    code: str | None = None
    decline_code: str | None = None
    param: str | None = None
    payment_intent: PaymentIntent | None = None


class Redirect(StripeObject):
    """Where the buyer has to go."""

    url: str | None = None


class NextAction(StripeObject):
    """What the buyer has to do before the intent goes on."""

    type: str = ""
    redirect_to_url: Redirect | None = None


class PaymentIntent(StripeObject):
    """The wish to collect an amount, and how far it has come."""

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
    """Money given back; *status* may be null for some kinds of payment."""

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
    """Until when a dispute may be answered (seconds since 1970; 0 where it may not)."""

    due_by: int | None = None
    submission_count: int = 0


class StripeDispute(StripeObject):
    """A dispute, with the movements of the balance that it caused."""

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
    """Money on its way from the balance to the merchant's bank."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    failure_code: str | None = None


class CheckoutSession(StripeObject):
    """A page of Stripe's on which a buyer pays; its intent is made when the buyer does."""

    id: str
    created: int
    status: str | None = None
    url: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    metadata: dict[str, str] | None = None
    payment_intent: str | PaymentIntent | None = None


class StripeMoney(StripeObject):
    """A part of the balance."""

    amount: int
    currency: str


class StripeBalance(StripeObject):
    """What Stripe owes now, and what it will when it has cleared."""

    available: list[StripeMoney]
    pending: list[StripeMoney]


class StripeList(StripeObject):
    """A page of a list or of search results."""

    data: list[Any]
    has_more: bool = False


class Envelope(StripeObject):
    """
    What of an event is read before anything else.

    *account* is the connected account that the event is of (docs.stripe.com/connect/webhooks);
    events of the endpoint's own account have none. *context* is the path of accounts that the event
    is of, from an organization or platform down, joined by slashes (docs.stripe.com/context).
    """

    id: str
    type: str
    livemode: bool
    account: str | None = None
    context: str | None = None


class EventData(StripeObject):
    """The object that an event tells of."""

    object: dict[str, Any]


class StripeEvent(Envelope, kw_only=True):
    """A delivered event."""

    data: EventData


class StripeFailure(StripeObject):
    """The body of an answer that is no object."""

    error: StripeError


class WebhookEndpoint(StripeObject):
    """A webhook endpoint set up at Stripe."""

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
