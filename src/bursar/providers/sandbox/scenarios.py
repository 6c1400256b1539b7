"""
What happens to a charge or refund, chosen by the name of its method and never by its amount.

Names that begin like Stripe's own test tokens mean what they mean there (https://docs.stripe.com/
testing); card numbers are not used, for nothing that looks like one may be stored. A request
may also name its outcome in its metadata under `METADATA_KEY`, which goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

#: A request's metadata may name one of `OUTCOMES` here, whatever its method.
METADATA_KEY = "sandbox_outcome"


class Fault(StrEnum):
    """What goes wrong between us and the sandbox in one call."""

    NONE = "none"
    TIMEOUT_AFTER = "timeout_after"  # carried out; no answer comes
    LOST = "lost"  # the request never arrives
    RESET = "reset"  # carried out; the connection breaks in mid-answer
    GARBAGE = "garbage"  # carried out; the answer cannot be read
    UNAVAILABLE = "unavailable"  # turned away with 503; nothing happened
    SLOW = "slow"  # carried out and answered, late


class ResponseCorruption(StrEnum):
    """What the sandbox really charges instead of what it was asked."""

    NOTHING = "nothing"
    AMOUNT = "amount"  # one minor unit more
    CURRENCY = "currency"  # USD (EUR where USD was asked), the same number of minor units


class RefundScenario(StrEnum):
    """How refunds of a charge go."""

    AT_ONCE = "at_once"
    PENDING = "pending"  # succeeds a day later
    FAILS_LATER = "fails_later"  # succeeds, and comes back a day later


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    One outcome. *decline* is the code of a refusal, "" for none; *every_call* tells that the
    trouble never ends (otherwise only an operation's first call meets it, so that the outcome can
    be resolved). *dispute* names a course of `disputes.COURSES`. *pending_decline* is the code
    with which a pending charge fails a day later, "" where it succeeds. *copies* is how often each
    answer and webhook arrives.
    """

    decline: str = ""
    soft: bool = False
    requires_action: bool = False
    pending: bool = False
    pending_decline: str = ""
    trouble: Fault = Fault.NONE
    every_call: bool = False
    wrong: ResponseCorruption = ResponseCorruption.NOTHING
    refunds: RefundScenario = RefundScenario.AT_ONCE
    dispute: str = ""
    copies: int = 1
    about: str = ""


APPROVED = Scenario()
UNKNOWN_METHOD = Scenario(decline="unknown_method")

OUTCOMES: Mapping[str, Scenario] = {
    "tok_approved": APPROVED,
    "tok_visa": APPROVED,
    "tok_mastercard": APPROVED,
    "tok_amex": APPROVED,
    "tok_declined_hard": Scenario(decline="do_not_honor"),
    "tok_declined_soft": Scenario(decline="try_again_later", soft=True),
    "tok_chargeDeclined": Scenario(decline="card_declined"),
    "tok_chargeDeclinedInsufficientFunds": Scenario(decline="insufficient_funds", soft=True),
    "tok_chargeDeclinedLostCard": Scenario(decline="lost_card"),
    "tok_chargeDeclinedStolenCard": Scenario(decline="stolen_card"),
    "tok_chargeDeclinedExpiredCard": Scenario(decline="expired_card"),
    "tok_chargeDeclinedIncorrectCvc": Scenario(decline="incorrect_cvc", soft=True),
    "tok_chargeDeclinedProcessingError": Scenario(decline="processing_error", soft=True),
    "tok_chargeDeclinedFraudulent": Scenario(decline="fraudulent"),
    "tok_requires_action": Scenario(requires_action=True),
    "tok_pending": Scenario(pending=True),
    "tok_pending_declined": Scenario(pending=True, pending_decline="bank_refused"),
    "tok_slow": Scenario(trouble=Fault.SLOW, every_call=True),
    "tok_timeout_after_charge": Scenario(trouble=Fault.TIMEOUT_AFTER),
    "tok_timeout_before": Scenario(trouble=Fault.LOST),
    "tok_reset_mid_answer": Scenario(trouble=Fault.RESET),
    "tok_garbage_answer": Scenario(trouble=Fault.GARBAGE),
    "tok_unavailable": Scenario(trouble=Fault.UNAVAILABLE, every_call=True),
    "tok_unavailable_once": Scenario(trouble=Fault.UNAVAILABLE),
    "tok_answered_twice": Scenario(copies=2),
    "tok_wrong_amount": Scenario(wrong=ResponseCorruption.AMOUNT),
    "tok_wrong_currency": Scenario(wrong=ResponseCorruption.CURRENCY),
    "tok_refund_pending": Scenario(refunds=RefundScenario.PENDING),
    "tok_refund_fails_later": Scenario(refunds=RefundScenario.FAILS_LATER),
    "tok_createDispute": Scenario(dispute="at_once"),
    "tok_createDisputeInquiry": Scenario(dispute="inquiry_at_once"),
    "tok_dispute_inquiry": Scenario(dispute="inquiry"),
    "tok_dispute_lost": Scenario(dispute="lost"),
    "tok_dispute_won": Scenario(dispute="won"),
    "tok_dispute_second_round": Scenario(dispute="second_round"),
}


def script_of(method: str, metadata: Mapping[str, str]) -> Scenario:
    """The script that *metadata* or else *method* names; an unknown name is declined."""
    script = OUTCOMES.get(metadata.get(METADATA_KEY) or method, UNKNOWN_METHOD)
    if script.trouble is Fault.NONE:
        return script
    return replace(script, about=metadata.get("refund") or metadata.get("payment", ""))
