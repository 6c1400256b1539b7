"""
Scenarios of charges and refunds, chosen by the name of the payment method, never by the amount.

Names of Stripe's test tokens mean the same as there (https://docs.stripe.com/testing). Card numbers
are not used: nothing that looks like one may be stored. A scenario in the request's metadata under
`METADATA_KEY` takes precedence over the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

#: Metadata member with the name of a scenario; takes precedence over the method.
METADATA_KEY = "sandbox_scenario"


class Fault(StrEnum):
    """A fault of one call between client and sandbox."""

    NONE = "none"
    TIMEOUT_AFTER = "timeout_after"  # carried out; no response
    LOST = "lost"  # the request never arrives
    RESET = "reset"  # carried out; the connection breaks within the response
    GARBAGE = "garbage"  # carried out; the response is unreadable
    UNAVAILABLE = "unavailable"  # rejected with 503; not carried out
    SLOW = "slow"  # carried out; a late response


class ResponseCorruption(StrEnum):
    """How the charged amount differs from the requested one."""

    NOTHING = "nothing"
    AMOUNT = "amount"  # one minor unit more
    CURRENCY = "currency"  # USD (EUR for USD), the same number of minor units


class RefundScenario(StrEnum):
    """How refunds of a charge proceed."""

    AT_ONCE = "at_once"
    PENDING = "pending"  # succeeds a day later
    FAILS_LATER = "fails_later"  # succeeds, and fails a day later


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    One scenario of a charge or refund.

    *decline* is a decline code, "" for none. *fault* affects the first call of an operation, or all
    calls with *is_fault_permanent*; *fault_scope* is the payment or refund whose calls are counted.
    *dispute* is a key of `DISPUTE_TIMELINES`. *pending_decline* is the code with which a pending
    charge is declined a day later, "" if it succeeds. *copies* is how often each response object
    and webhook arrives.
    """

    decline: str = ""
    soft_decline: bool = False
    requires_action: bool = False
    pending: bool = False
    pending_decline: str = ""
    fault: Fault = Fault.NONE
    is_fault_permanent: bool = False
    corruption: ResponseCorruption = ResponseCorruption.NOTHING
    refunds: RefundScenario = RefundScenario.AT_ONCE
    dispute: str = ""
    copies: int = 1
    fault_scope: str = ""


APPROVED = Scenario()
UNKNOWN_METHOD = Scenario(decline="unknown_method")

SCENARIOS: Mapping[str, Scenario] = {
    "tok_approved": APPROVED,
    "tok_visa": APPROVED,
    "tok_mastercard": APPROVED,
    "tok_amex": APPROVED,
    "tok_declined_hard": Scenario(decline="do_not_honor"),
    "tok_declined_soft": Scenario(decline="try_again_later", soft_decline=True),
    "tok_chargeDeclined": Scenario(decline="card_declined"),
    "tok_chargeDeclinedInsufficientFunds": Scenario(
        decline="insufficient_funds", soft_decline=True
    ),
    "tok_chargeDeclinedLostCard": Scenario(decline="lost_card"),
    "tok_chargeDeclinedStolenCard": Scenario(decline="stolen_card"),
    "tok_chargeDeclinedExpiredCard": Scenario(decline="expired_card"),
    "tok_chargeDeclinedIncorrectCvc": Scenario(decline="incorrect_cvc", soft_decline=True),
    "tok_chargeDeclinedProcessingError": Scenario(decline="processing_error", soft_decline=True),
    "tok_chargeDeclinedFraudulent": Scenario(decline="fraudulent"),
    "tok_requires_action": Scenario(requires_action=True),
    "tok_pending": Scenario(pending=True),
    "tok_pending_declined": Scenario(pending=True, pending_decline="bank_refused"),
    "tok_slow": Scenario(fault=Fault.SLOW, is_fault_permanent=True),
    "tok_timeout_after_charge": Scenario(fault=Fault.TIMEOUT_AFTER),
    "tok_timeout_before": Scenario(fault=Fault.LOST),
    "tok_reset_mid_response": Scenario(fault=Fault.RESET),
    "tok_garbage_response": Scenario(fault=Fault.GARBAGE),
    "tok_unavailable": Scenario(fault=Fault.UNAVAILABLE, is_fault_permanent=True),
    "tok_unavailable_once": Scenario(fault=Fault.UNAVAILABLE),
    "tok_duplicate_response": Scenario(copies=2),
    "tok_wrong_amount": Scenario(corruption=ResponseCorruption.AMOUNT),
    "tok_wrong_currency": Scenario(corruption=ResponseCorruption.CURRENCY),
    "tok_refund_pending": Scenario(refunds=RefundScenario.PENDING),
    "tok_refund_fails_later": Scenario(refunds=RefundScenario.FAILS_LATER),
    "tok_createDispute": Scenario(dispute="at_once"),
    "tok_createDisputeInquiry": Scenario(dispute="inquiry_at_once"),
    "tok_dispute_inquiry": Scenario(dispute="inquiry"),
    "tok_dispute_lost": Scenario(dispute="lost"),
    "tok_dispute_won": Scenario(dispute="won"),
    "tok_dispute_second_round": Scenario(dispute="second_round"),
}


def find_scenario(method: str, metadata: Mapping[str, str]) -> Scenario:
    """Return the scenario named by *metadata* or else *method*; an unknown name is declined."""
    script = SCENARIOS.get(metadata.get(METADATA_KEY) or method, UNKNOWN_METHOD)
    if script.fault is Fault.NONE:
        return script
    return replace(script, fault_scope=metadata.get("refund") or metadata.get("payment", ""))
