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


class Trouble(StrEnum):
    """What goes wrong between us and the sandbox in one call."""

    NONE = "none"
    TIMEOUT_AFTER = "timeout_after"  # carried out; no answer comes
    LOST = "lost"  # the request never arrives
    RESET = "reset"  # carried out; the connection breaks in mid-answer
    GARBAGE = "garbage"  # carried out; the answer cannot be read
    UNAVAILABLE = "unavailable"  # turned away with 503; nothing happened
    SLOW = "slow"  # carried out and answered, late


class Wrong(StrEnum):
    """What the sandbox really charges instead of what it was asked."""

    NOTHING = "nothing"
    AMOUNT = "amount"  # one minor unit more
    CURRENCY = "currency"  # USD (EUR where USD was asked), the same number of minor units


class RefundCourse(StrEnum):
    """How refunds of a charge go."""

    AT_ONCE = "at_once"
    PENDING = "pending"  # succeeds a day later
    FAILS_LATER = "fails_later"  # succeeds, and comes back a day later


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
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
    trouble: Trouble = Trouble.NONE
    every_call: bool = False
    wrong: Wrong = Wrong.NOTHING
    refunds: RefundCourse = RefundCourse.AT_ONCE
    dispute: str = ""
    copies: int = 1
    about: str = ""


APPROVED = Script()
UNKNOWN_METHOD = Script(decline="unknown_method")

OUTCOMES: Mapping[str, Script] = {
    "tok_approved": APPROVED,
    "tok_visa": APPROVED,
    "tok_mastercard": APPROVED,
    "tok_amex": APPROVED,
    "tok_declined_hard": Script(decline="do_not_honor"),
    "tok_declined_soft": Script(decline="try_again_later", soft=True),
    "tok_chargeDeclined": Script(decline="card_declined"),
    "tok_chargeDeclinedInsufficientFunds": Script(decline="insufficient_funds", soft=True),
    "tok_chargeDeclinedLostCard": Script(decline="lost_card"),
    "tok_chargeDeclinedStolenCard": Script(decline="stolen_card"),
    "tok_chargeDeclinedExpiredCard": Script(decline="expired_card"),
    "tok_chargeDeclinedIncorrectCvc": Script(decline="incorrect_cvc", soft=True),
    "tok_chargeDeclinedProcessingError": Script(decline="processing_error", soft=True),
    "tok_chargeDeclinedFraudulent": Script(decline="fraudulent"),
    "tok_requires_action": Script(requires_action=True),
    "tok_pending": Script(pending=True),
    "tok_pending_declined": Script(pending=True, pending_decline="bank_refused"),
    "tok_slow": Script(trouble=Trouble.SLOW, every_call=True),
    "tok_timeout_after_charge": Script(trouble=Trouble.TIMEOUT_AFTER),
    "tok_timeout_before": Script(trouble=Trouble.LOST),
    "tok_reset_mid_answer": Script(trouble=Trouble.RESET),
    "tok_garbage_answer": Script(trouble=Trouble.GARBAGE),
    "tok_unavailable": Script(trouble=Trouble.UNAVAILABLE, every_call=True),
    "tok_unavailable_once": Script(trouble=Trouble.UNAVAILABLE),
    "tok_answered_twice": Script(copies=2),
    "tok_wrong_amount": Script(wrong=Wrong.AMOUNT),
    "tok_wrong_currency": Script(wrong=Wrong.CURRENCY),
    "tok_refund_pending": Script(refunds=RefundCourse.PENDING),
    "tok_refund_fails_later": Script(refunds=RefundCourse.FAILS_LATER),
    "tok_createDispute": Script(dispute="at_once"),
    "tok_createDisputeInquiry": Script(dispute="inquiry_at_once"),
    "tok_dispute_inquiry": Script(dispute="inquiry"),
    "tok_dispute_lost": Script(dispute="lost"),
    "tok_dispute_won": Script(dispute="won"),
    "tok_dispute_second_round": Script(dispute="second_round"),
}


def script_of(method: str, metadata: Mapping[str, str]) -> Script:
    """The script that *metadata* or else *method* names; an unknown name is declined."""
    script = OUTCOMES.get(metadata.get(METADATA_KEY) or method, UNKNOWN_METHOD)
    if script.trouble is Trouble.NONE:
        return script
    return replace(script, about=metadata.get("refund") or metadata.get("payment", ""))
