"""What must hold of charges, refunds, captures and voids, also when an answer is lost."""

from __future__ import annotations

import asyncio

from bursar import errors, money
from bursar.money import Money
from bursar.providers import interface
from bursar.providers.conformance.suite import (
    Trial,
    case,
    check,
    equal,
    failure_message,
    new_key,
    refused,
    unknown,
    well_formed,
)
from bursar.providers.interface import ObjectKind, Operation, Outcome, Result

# --- charging -----------------------------------------------------------------------------------


@case()
async def _an_approved_charge_is_told_exactly(trial: Trial) -> None:
    result = await trial.charge(1_234)
    equal(result.outcome, Outcome.SUCCEEDED, "the outcome")
    charge = failure_message(result, ObjectKind.CHARGE)
    equal(charge.amount, Money(1_234, trial.currency), "the amount")
    equal(charge.status, interface.ChargeStatus.CAPTURED, "the status")
    equal(result.reference, charge.reference, "the reference")
    found = await trial.status(Operation.CHARGE, reference=result.reference)
    equal(found.outcome, Outcome.SUCCEEDED, "the outcome looked up by reference")
    equal(failure_message(found, ObjectKind.CHARGE).amount, charge.amount, "the amount looked up")


@case("test method: declined")
async def _a_decline_is_a_result_with_a_code(trial: Trial) -> None:
    result = await trial.charge(method=trial.methods.declined)
    equal(result.outcome, Outcome.DECLINED, "the outcome")
    check(bool(result.code), "the decline has no code")
    equal(
        failure_message(result, ObjectKind.CHARGE).status,
        interface.ChargeStatus.DECLINED,
        "the status",
    )


def _currency_case(exponent: int) -> None:
    async def exact(trial: Trial) -> None:
        for currency in trial.methods.currencies:
            if money.exponent_of(currency) == exponent:
                result = await trial.charge(100_001, currency=currency)
                amount = failure_message(result, ObjectKind.CHARGE).amount
                equal(amount, Money(100_001, currency), "the amount")

    exact.__name__ = f"amounts_with_{exponent}_decimals_are_exact"
    case(f"a currency of {exponent} decimals")(exact)


for _exponent in (0, 2, 3, 4):
    _currency_case(_exponent)


@case("honours keys")
async def _one_key_twice_is_one_charge(trial: Trial) -> None:
    key = new_key()
    first, second = await trial.charge(key=key), await trial.charge(key=key)
    equal(second.reference, first.reference, "the reference of the repeated charge")
    equal(second.outcome, first.outcome, "the outcome of the repeated charge")


@case("honours keys")
async def _one_key_in_parallel_is_one_charge(trial: Trial) -> None:
    key = new_key()
    asked = [trial.charge(key=key) for _ in range(8)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    # A provider may turn the others away while the first is under way.
    answered = [one for one in told if isinstance(one, Result)]
    odd = [one for one in told if not isinstance(one, (Result, errors.BursarError))]
    check(not odd, f"parallel calls raised {odd!r}")
    equal(len({one.reference for one in answered}), 1, "the number of charges made")


@case("honours keys")
async def _a_key_used_for_another_amount_is_refused(trial: Trial) -> None:
    key = new_key()
    await trial.charge(1_000, key=key)
    try:
        result = await trial.charge(2_000, key=key)
    except errors.BursarError:
        return  # unknown, too, is an answer: what the first call with the key did is not told
    equal(result.outcome, Outcome.DECLINED, "the outcome of another amount with a used key")


# --- when the answer is lost --------------------------------------------------------------------


@case("looks up by key", "test method: timeout_after")
async def _a_charge_without_an_answer_is_found_by_its_key(trial: Trial) -> None:
    key = new_key()
    await unknown(trial.charge(key=key, method=trial.methods.timeout_after))
    found = await trial.status(Operation.CHARGE, key=key)
    equal(found.outcome, Outcome.SUCCEEDED, "the outcome looked up")
    check(bool(found.reference), "the charge that was found has no reference")


@case("honours keys", "test method: timeout_after")
async def _a_charge_without_an_answer_is_not_made_again_by_its_key(trial: Trial) -> None:
    key, method = new_key(), trial.methods.timeout_after
    await unknown(trial.charge(key=key, method=method))
    second = await trial.charge(key=key, method=method)
    third = await trial.charge(key=key, method=method)
    equal(second.outcome, Outcome.SUCCEEDED, "the outcome of the repeated charge")
    equal(third.reference, second.reference, "the reference of the repeated charge")


@case("looks up by key", "test method: lost", "not found is soon final")
async def _a_request_that_was_lost_is_not_found(trial: Trial) -> None:
    key = new_key()
    await unknown(trial.charge(key=key, method=trial.methods.lost))
    await asyncio.sleep(trial.provider.not_found_settles_after.total_seconds())
    found = await trial.status(Operation.CHARGE, key=key)
    equal(found.outcome, Outcome.NOT_FOUND, "the outcome looked up")


@case("looks up by key")
async def _an_unknown_key_is_not_found(trial: Trial) -> None:
    for operation in (Operation.CHARGE, Operation.REFUND):
        found = await trial.status(operation)
        equal(found.outcome, Outcome.NOT_FOUND, f"the outcome of a {operation} never made")


# --- refunds ------------------------------------------------------------------------------------


@case()
async def _a_charge_is_refunded_whole(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    result = await trial.refund(charge.reference, 1_000)
    check(result.outcome in {Outcome.SUCCEEDED, Outcome.PENDING}, f"it was {result.outcome}")
    refund = failure_message(result, ObjectKind.REFUND)
    equal(refund.amount, Money(1_000, trial.currency), "the amount")
    equal(refund.parent_reference, charge.reference, "the charge it belongs to")
    check(refund.reference != charge.reference, "the refund has its charge's reference")


@case()
async def _a_charge_is_refunded_in_parts_and_never_beyond(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    first = await trial.refund(charge.reference, 300)
    second = await trial.refund(charge.reference, 300)
    check(first.reference != second.reference, "two refunds are one object")
    await refused(trial.refund(charge.reference, 401), "a refund of more than is left")
    third = await trial.refund(charge.reference, 400)
    check(third.outcome is not Outcome.DECLINED, "the rest of the charge was not refunded")


@case()
async def _more_than_the_charge_is_not_refunded(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    await refused(trial.refund(charge.reference, 1_001), "a refund of more than was paid")


@case("honours keys")
async def _one_key_twice_is_one_refund(trial: Trial) -> None:
    charge, key = await trial.charge(1_000), new_key()
    first = await trial.refund(charge.reference, 600, key=key)
    second = await trial.refund(charge.reference, 600, key=key)
    equal(second.reference, first.reference, "the reference of the repeated refund")


@case("looks up by key")
async def _a_refund_is_found_by_its_key(trial: Trial) -> None:
    charge, key = await trial.charge(1_000), new_key()
    made = await trial.refund(charge.reference, 600, key=key)
    found = await trial.status(Operation.REFUND, key=key)
    equal(found.reference, made.reference, "the reference looked up")
    equal(
        failure_message(found, ObjectKind.REFUND).amount,
        Money(600, trial.currency),
        "the amount looked up",
    )


# --- authorized first ---------------------------------------------------------------------------


@case("captures", "several captures")
async def _an_authorization_is_captured_in_parts(trial: Trial) -> None:
    held = await trial.charge(1_000, capture=False)
    equal(
        failure_message(held, ObjectKind.CHARGE).status,
        interface.ChargeStatus.AUTHORIZED,
        "the status",
    )
    await _capture(trial, held.reference, 300, final=False)
    last = await _capture(trial, held.reference, 500, final=True)
    charge = failure_message(last, ObjectKind.CHARGE)
    equal(charge.captured_minor, 800, "what was captured in all")
    equal(charge.status, interface.ChargeStatus.CAPTURED, "the status")


@case("captures")
async def _more_than_was_authorized_is_not_captured(trial: Trial) -> None:
    held = await trial.charge(1_000, capture=False)
    await refused(_capture(trial, held.reference, 1_001), "a capture of more than was held")


async def _capture(
    trial: Trial, reference: str, amount_minor: int, *, final: bool = True
) -> Result:
    amount = Money(amount_minor, trial.currency)
    request = interface.CaptureRequest(
        key=new_key(), reference=reference, amount=amount, final=final
    )
    return well_formed(await trial.provider.capture(request))


@case("voids")
async def _a_voided_authorization_is_gone(trial: Trial) -> None:
    held = await trial.charge(1_000, capture=False)
    request = interface.VoidRequest(key=new_key(), reference=held.reference)
    gone = well_formed(await trial.provider.void(request))
    equal(
        failure_message(gone, ObjectKind.CHARGE).status, interface.ChargeStatus.VOIDED, "the status"
    )
    again = interface.VoidRequest(key=new_key(), reference=held.reference)
    await refused(trial.provider.void(again), "a second void")
