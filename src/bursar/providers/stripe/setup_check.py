"""What an account at Stripe still lacks before it can take money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import ClassVar

from bursar import clock, errors
from bursar.providers import http_provider
from bursar.providers.capabilities import SetupCheck
from bursar.providers.stripe import client, currencies, schemas

#: The events without which the books would learn of something only by the settlement report.
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
#: A clock that is further off than this has signatures refused sooner or later.
CLOCK_SECONDS_MAX = 60.0


class StripeSetup(client.StripeClient):
    """Looks whether keys, webhooks, currencies and clock are in order."""

    __slots__ = ()
    events: ClassVar[tuple[str, ...]] = EVENTS

    async def check_setup(self, *, hook_url: str) -> AsyncIterator[SetupCheck]:
        """Say what is in order and what is missing; it changes nothing at Stripe."""
        config = self.config
        test = self.mode == "test"
        told = "a test key: no real money moves" if test else "a live key: real money moves"
        yield SetupCheck(subject="key", good=True, told=told)
        try:
            answer = await self.call("GET", "/v1/account")
            account = http_provider.decode(answer.body, schemas.StripeAccount, "the account")
        except (errors.Unavailable, errors.OutcomeUnknown) as error:
            yield SetupCheck(subject="connection", good=False, told=str(error))
            return
        yield SetupCheck(subject="connection", good=True, told=f"account {account.id} answers")
        yield _account(config.account_id, account.id)
        yield SetupCheck(
            subject="charges",
            good=account.charges_enabled or test,
            told="enabled" if account.charges_enabled else "not enabled: finish onboarding",
        )
        yield SetupCheck(
            subject="payouts",
            good=account.payouts_enabled or test,
            told="enabled" if account.payouts_enabled else "not enabled: add a bank account",
        )
        yield _currency(account.default_currency)
        yield SetupCheck(
            subject="return_url",
            good=bool(config.return_url),
            told=config.return_url or "not set: no 3-D Secure redirect and no Checkout",
        )
        has_secret = bool(config.webhook_secret.reveal())
        yield SetupCheck(
            subject="webhook secret",
            good=has_secret,
            told="set" if has_secret else "not set: no delivery will be believed",
        )
        async for finding in self._check_hooks(hook_url):
            yield finding
        yield _clock(answer.date)

    async def _check_hooks(self, hook_url: str) -> AsyncIterator[SetupCheck]:
        found = [
            http_provider.decode(one, schemas.WebhookEndpoint, "the endpoint")
            async for one in self.pages("/v1/webhook_endpoints")
        ]
        ours = [one for one in found if one.url == hook_url]
        if not ours:
            others = ", ".join(one.url for one in found) or "none"
            told = f"no endpoint {hook_url} (there: {others}); add it in the dashboard"
            yield SetupCheck(subject="webhook endpoint", good=False, told=told)
            return
        endpoint = ours[0]
        on = endpoint.status == "enabled"
        yield SetupCheck(subject="webhook endpoint", good=on, told=f"{hook_url} {endpoint.status}")
        every = "*" in endpoint.enabled_events
        lacking = [one for one in self.events if not every and one not in endpoint.enabled_events]
        yield SetupCheck(
            subject="webhook events",
            good=not lacking,
            told=f"lacks {', '.join(lacking)}" if lacking else "all that the books need",
        )


def _account(configured: str, found: str) -> SetupCheck:
    if configured and configured != found:
        told = f"account_id is {configured}, but the key is of {found}"
        return SetupCheck(subject="account_id", good=False, told=told)
    advice = f"not set: with --set account_id={found}, events that name it are taken for its own"
    return SetupCheck(subject="account_id", good=True, told=configured or advice)


def _clock(date: str) -> SetupCheck:
    at = parsedate_to_datetime(date) if date else clock.now()
    off = (clock.now() - at.replace(tzinfo=at.tzinfo or UTC)).total_seconds()
    good = abs(off) <= CLOCK_SECONDS_MAX
    told = f"{off:+.0f} s from Stripe's" + ("" if good else ": set it, or no webhook is believed")
    return SetupCheck(subject="clock", good=good, told=told)


def _currency(told: str) -> SetupCheck:
    code = told.upper()
    differs = ", ".join(f"{one} {digits}" for one, digits in sorted(currencies.EXPONENTS.items()))
    known = not code or code in currencies.CURRENCIES
    words = f"settles in {code or 'no currency'}; digits that differ from ISO 4217: {differs}"
    return SetupCheck(subject="currencies", good=known, told=words)
