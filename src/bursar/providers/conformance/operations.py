"""Conformance cases for charges, refunds, captures and voids, including lost responses."""

from __future__ import annotations

import asyncio

from bursar import errors, money
from bursar.money import Money
from bursar.providers import interface
from bursar.providers.conformance.suite import (
    Trial,
    case,
    expect_refusal,
    expect_unknown_outcome,
    first_snapshot,
    new_key,
    require,
    require_equal,
    require_valid_result,
)
from bursar.providers.interface import ObjectKind, Operation, Outcome, Result

# --- charges --------------------------------------------------------------------------------------


@case()
async def _approved_charge_reports_its_exact_amount(trial: Trial) -> None:
    result = await trial.charge(1_234)
    require_equal(result.outcome, Outcome.SUCCEEDED, "the outcome")
    charge = first_snapshot(result, ObjectKind.CHARGE)
    require_equal(charge.amount, Money(1_234, trial.currency), "the amount")
    require_equal(charge.status, interface.ChargeStatus.CAPTURED, "the status")
    require_equal(result.reference, charge.reference, "the reference")
    status = await trial.status(Operation.CHARGE, reference=result.reference)
    require_equal(status.outcome, Outcome.SUCCEEDED, "the outcome of the lookup by reference")
    require_equal(
        first_snapshot(status, ObjectKind.CHARGE).amount, charge.amount, "the amount of the lookup"
    )


@case("test method: declined")
async def _declined_charge_returns_a_decline_code(trial: Trial) -> None:
    result = await trial.charge(method=trial.methods.declined)
    require_equal(result.outcome, Outcome.DECLINED, "the outcome")
    require(bool(result.code), "the decline has no code")
    require_equal(
        first_snapshot(result, ObjectKind.CHARGE).status,
        interface.ChargeStatus.DECLINED,
        "the status",
    )


def _currency_case(exponent: int) -> None:
    async def exact(trial: Trial) -> None:
        for currency in trial.methods.currencies:
            if money.exponent_of(currency) == exponent:
                result = await trial.charge(100_001, currency=currency)
                amount = first_snapshot(result, ObjectKind.CHARGE).amount
                require_equal(amount, Money(100_001, currency), "the amount")

    exact.__name__ = f"amounts_with_{exponent}_decimals_are_exact"
    case(f"currency with {exponent} decimals")(exact)


for _exponent in (0, 2, 3, 4):
    _currency_case(_exponent)


@case("idempotency_keys")
async def _same_key_twice_creates_one_charge(trial: Trial) -> None:
    key = new_key()
    first, second = await trial.charge(key=key), await trial.charge(key=key)
    require_equal(second.reference, first.reference, "the reference of the repeated charge")
    require_equal(second.outcome, first.outcome, "the outcome of the repeated charge")


@case("idempotency_keys")
async def _same_key_in_parallel_creates_one_charge(trial: Trial) -> None:
    key = new_key()
    calls = [trial.charge(key=key) for _ in range(8)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    # A provider may reject the other calls while the first is in progress.
    results = [one for one in outcomes if isinstance(one, Result)]
    unexpected = [one for one in outcomes if not isinstance(one, (Result, errors.BursarError))]
    require(not unexpected, f"parallel calls raised {unexpected!r}")
    require_equal(len({one.reference for one in results}), 1, "the number of charges created")


@case("idempotency_keys")
async def _same_key_with_another_amount_is_rejected(trial: Trial) -> None:
    key = new_key()
    await trial.charge(1_000, key=key)
    try:
        result = await trial.charge(2_000, key=key)
    except errors.BursarError:
        return  # OutcomeUnknown is fine too: the state of the first call is not reported
    require_equal(
        result.outcome, Outcome.DECLINED, "the outcome of another amount with the same key"
    )


# --- lost responses -------------------------------------------------------------------------------


@case("lookup_by_key", "test method: timeout_after")
async def _timed_out_charge_is_returned_by_lookup_by_key(trial: Trial) -> None:
    key = new_key()
    await expect_unknown_outcome(trial.charge(key=key, method=trial.methods.timeout_after))
    status = await trial.status(Operation.CHARGE, key=key)
    require_equal(status.outcome, Outcome.SUCCEEDED, "the outcome of the lookup")
    require(bool(status.reference), "the lookup returned no reference")


@case("idempotency_keys", "test method: timeout_after")
async def _retry_of_a_timed_out_charge_creates_no_second_charge(trial: Trial) -> None:
    key, method = new_key(), trial.methods.timeout_after
    await expect_unknown_outcome(trial.charge(key=key, method=method))
    second = await trial.charge(key=key, method=method)
    third = await trial.charge(key=key, method=method)
    require_equal(second.outcome, Outcome.SUCCEEDED, "the outcome of the repeated charge")
    require_equal(third.reference, second.reference, "the reference of the repeated charge")


@case("lookup_by_key", "test method: lost", "lookup_final_after of at most 5 s")
async def _lookup_of_a_lost_request_returns_not_found(trial: Trial) -> None:
    key = new_key()
    await expect_unknown_outcome(trial.charge(key=key, method=trial.methods.lost))
    await asyncio.sleep(trial.provider.lookup_final_after.total_seconds())
    status = await trial.status(Operation.CHARGE, key=key)
    require_equal(status.outcome, Outcome.NOT_FOUND, "the outcome of the lookup")


@case("lookup_by_key")
async def _lookup_of_an_unknown_key_returns_not_found(trial: Trial) -> None:
    for operation in (Operation.CHARGE, Operation.REFUND):
        status = await trial.status(operation)
        require_equal(
            status.outcome, Outcome.NOT_FOUND, f"the outcome of a {operation} that was never sent"
        )


# --- refunds ------------------------------------------------------------------------------------


@case()
async def _full_refund_succeeds(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    result = await trial.refund(charge.reference, 1_000)
    require(
        result.outcome in {Outcome.SUCCEEDED, Outcome.PENDING}, f"the outcome is {result.outcome}"
    )
    refund = first_snapshot(result, ObjectKind.REFUND)
    require_equal(refund.amount, Money(1_000, trial.currency), "the amount")
    require_equal(refund.parent_reference, charge.reference, "the parent reference")
    require(refund.reference != charge.reference, "the refund has the reference of its charge")


@case()
async def _partial_refunds_succeed_up_to_the_charged_amount(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    first = await trial.refund(charge.reference, 300)
    second = await trial.refund(charge.reference, 300)
    require(first.reference != second.reference, "two refunds have one reference")
    await expect_refusal(trial.refund(charge.reference, 401), "a refund above the remaining amount")
    third = await trial.refund(charge.reference, 400)
    require(third.outcome is not Outcome.DECLINED, "the remaining amount was not refunded")


@case()
async def _refund_above_the_charged_amount_is_rejected(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    await expect_refusal(trial.refund(charge.reference, 1_001), "a refund above the charged amount")


@case("idempotency_keys")
async def _same_key_twice_creates_one_refund(trial: Trial) -> None:
    charge, key = await trial.charge(1_000), new_key()
    first = await trial.refund(charge.reference, 600, key=key)
    second = await trial.refund(charge.reference, 600, key=key)
    require_equal(second.reference, first.reference, "the reference of the repeated refund")


@case("lookup_by_key")
async def _refund_is_returned_by_lookup_by_key(trial: Trial) -> None:
    charge, key = await trial.charge(1_000), new_key()
    refund = await trial.refund(charge.reference, 600, key=key)
    status = await trial.status(Operation.REFUND, key=key)
    require_equal(status.reference, refund.reference, "the reference of the lookup")
    require_equal(
        first_snapshot(status, ObjectKind.REFUND).amount,
        Money(600, trial.currency),
        "the amount of the lookup",
    )


# --- authorizations -------------------------------------------------------------------------------


@case("capture", "multicapture")
async def _authorization_is_captured_in_several_parts(trial: Trial) -> None:
    authorization = await trial.charge(1_000, capture=False)
    require_equal(
        first_snapshot(authorization, ObjectKind.CHARGE).status,
        interface.ChargeStatus.AUTHORIZED,
        "the status",
    )
    await _capture(trial, authorization.reference, 300, final=False)
    last = await _capture(trial, authorization.reference, 500, final=True)
    charge = first_snapshot(last, ObjectKind.CHARGE)
    require_equal(charge.captured_minor, 800, "the captured total")
    require_equal(charge.status, interface.ChargeStatus.CAPTURED, "the status")


@case("capture")
async def _capture_above_the_authorized_amount_is_rejected(trial: Trial) -> None:
    authorization = await trial.charge(1_000, capture=False)
    await expect_refusal(
        _capture(trial, authorization.reference, 1_001), "a capture above the authorized amount"
    )


async def _capture(
    trial: Trial, reference: str, amount_minor: int, *, final: bool = True
) -> Result:
    amount = Money(amount_minor, trial.currency)
    request = interface.CaptureRequest(
        key=new_key(), reference=reference, amount=amount, final=final
    )
    return require_valid_result(await trial.provider.capture(request))


@case("void")
async def _authorization_is_voided_only_once(trial: Trial) -> None:
    authorization = await trial.charge(1_000, capture=False)
    request = interface.VoidRequest(key=new_key(), reference=authorization.reference)
    voided = require_valid_result(await trial.provider.void(request))
    require_equal(
        first_snapshot(voided, ObjectKind.CHARGE).status,
        interface.ChargeStatus.VOIDED,
        "the status",
    )
    second = interface.VoidRequest(key=new_key(), reference=authorization.reference)
    await expect_refusal(trial.provider.void(second), "a second void")
