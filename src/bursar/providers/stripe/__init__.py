"""Stripe: payment intents, Checkout, refunds, disputes, payouts and settlement reports."""

from bursar.providers.stripe.provider import StripeConfig, StripeProvider

__all__ = ["StripeConfig", "StripeProvider"]
