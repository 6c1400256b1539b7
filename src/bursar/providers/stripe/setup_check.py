"""Setup check of a Stripe account: what is missing before it can accept payments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import ClassVar

from bursar import clock, errors
from bursar.providers import http_provider
from bursar.providers.capabilities import SetupCheck
from bursar.providers.stripe import client, currencies, schemas

#: Required events; without them changes are known only from the settlement report.
EVENTS = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.canceled",
    "payment_intent.amount_capturable_updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "payout.created",
    "payout.updated",
    "payout.paid",
    "payout.failed",
    "payout.canceled",
    "checkout.session.expired",
)
#: Greatest clock difference in seconds; beyond it signatures may be rejected.
CLOCK_SECONDS_MAX = 60.0


class StripeSetup(client.StripeClient):
    """Checks key, webhooks, currencies and clock."""

    __slots__ = ()
    events: ClassVar[tuple[str, ...]] = EVENTS

    async def check_setup(self, *, webhook_url: str) -> AsyncIterator[SetupCheck]:
        """Check the account and the endpoint *webhook_url*; changes nothing at Stripe."""
        config = self.config
        test = self.mode == "test"
        message = "a test key: no real money moves" if test else "a live key: real money moves"
        yield SetupCheck(subject="key", is_ok=True, message=message)
        try:
            response = await self.call("GET", "/v1/account")
            account = http_provider.decode(response.body, schemas.StripeAccount, "the account")
        except (errors.Unavailable, errors.OutcomeUnknown) as error:
            yield SetupCheck(subject="connection", is_ok=False, message=str(error))
            return
        yield SetupCheck(
            subject="connection", is_ok=True, message=f"connected to account {account.id}"
        )
        yield _check_account_id(config.account_id, account.id)
        yield SetupCheck(
            subject="charges",
            is_ok=account.charges_enabled or test,
            message="enabled"
            if account.charges_enabled
            else "not enabled: complete the onboarding at Stripe",
        )
        yield SetupCheck(
            subject="payouts",
            is_ok=account.payouts_enabled or test,
            message="enabled"
            if account.payouts_enabled
            else "not enabled: add a bank account at Stripe",
        )
        yield _check_currency(account.default_currency)
        yield SetupCheck(
            subject="return_url",
            is_ok=bool(config.return_url),
            message=config.return_url or "not set: required for 3-D Secure redirects and Checkout",
        )
        has_secret = bool(config.webhook_secret.reveal())
        yield SetupCheck(
            subject="webhook secret",
            is_ok=has_secret,
            message="set" if has_secret else "not set: every webhook is rejected",
        )
        async for check in self._check_webhooks(webhook_url):
            yield check
        yield _check_clock(response.date)

    async def _check_webhooks(self, webhook_url: str) -> AsyncIterator[SetupCheck]:
        endpoints = [
            http_provider.decode(one, schemas.WebhookEndpoint, "the endpoint")
            async for one in self.pages("/v1/webhook_endpoints")
        ]
        matches = [one for one in endpoints if one.url == webhook_url]
        if not matches:
            others = ", ".join(one.url for one in endpoints) or "none"
            message = f"{webhook_url} is not registered (registered: {others}); add it at Stripe"
            yield SetupCheck(subject="webhook endpoint", is_ok=False, message=message)
            return
        endpoint = matches[0]
        is_enabled = endpoint.status == "enabled"
        yield SetupCheck(
            subject="webhook endpoint", is_ok=is_enabled, message=f"{webhook_url} {endpoint.status}"
        )
        has_all = "*" in endpoint.enabled_events
        missing = [one for one in self.events if not has_all and one not in endpoint.enabled_events]
        yield SetupCheck(
            subject="webhook events",
            is_ok=not missing,
            message=f"missing: {', '.join(missing)}" if missing else "all required events",
        )


def _check_account_id(configured: str, actual: str) -> SetupCheck:
    if configured and configured != actual:
        message = f"account_id is {configured}, but the API key belongs to {actual}"
        return SetupCheck(subject="account_id", is_ok=False, message=message)
    advice = (
        f"not set: events that name {actual} are ignored; set account_id={actual} to process them"
    )
    return SetupCheck(subject="account_id", is_ok=True, message=configured or advice)


def _check_clock(date: str) -> SetupCheck:
    at = parsedate_to_datetime(date) if date else clock.now()
    off = (clock.now() - at.replace(tzinfo=at.tzinfo or UTC)).total_seconds()
    is_ok = abs(off) <= CLOCK_SECONDS_MAX
    message = f"{off:+.0f} s from Stripe's"
    if not is_ok:
        message += ": set the clock, or webhooks are rejected"
    return SetupCheck(subject="clock", is_ok=is_ok, message=message)


def _check_currency(currency: str) -> SetupCheck:
    code = currency.upper()
    differs = ", ".join(f"{one} {digits}" for one, digits in sorted(currencies.EXPONENTS.items()))
    is_supported = not code or code in currencies.CURRENCIES
    message = f"settles in {code or 'no currency'}; digits that differ from ISO 4217: {differs}"
    return SetupCheck(subject="currencies", is_ok=is_supported, message=message)
