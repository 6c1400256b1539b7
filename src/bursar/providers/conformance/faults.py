"""Conformance cases for network faults, currencies and secrets."""

from __future__ import annotations

import asyncio
import dataclasses

from bursar import errors, money
from bursar.money import Money
from bursar.providers import interface
from bursar.providers.conformance.suite import (
    ConformanceFailure,
    Trial,
    case,
    first_snapshot,
    new_key,
    require,
    require_equal,
)
from bursar.providers.interface import ObjectKind, Operation, Outcome, Result

#: The response that each fault makes of a charge that was carried out.
UNREADABLE_RESPONSES = {
    "reset": "truncated response",
    "garbage": "unreadable response",
    "html_502": "HTML response",
    "wrong_type": "response of another content type",
    "wrong_shape": "JSON response of another schema",
}


def _unreadable_case(fault: str, response: str) -> None:
    async def run(trial: Trial) -> None:
        key, method = new_key(), trial.methods.faults[fault]
        try:
            result = await trial.charge(key=key, method=method)
        except (errors.Unavailable, errors.Declined, errors.Invalid) as error:
            raise ConformanceFailure(
                f"the charge raised {error.code}, not OutcomeUnknown"
            ) from error
        except Exception:  # noqa: BLE001  (any other exception counts as unknown)
            await _require_one_charge(trial, key, method)
        else:
            raise ConformanceFailure(
                f"the charge returned {result.outcome} for an unreadable response"
            )

    run.__name__ = f"{response.replace(' ', '_')}_leaves_the_outcome_unknown"
    case(f"fault: {fault}")(run)


async def _require_one_charge(trial: Trial, key: str, method: str) -> None:
    """Retry or look up the charge, where the provider supports it; require exactly one charge."""
    provider = trial.provider
    if provider.idempotency_key_ttl is not None:
        first = await trial.charge(key=key, method=method)
        second = await trial.charge(key=key, method=method)
        require_equal(first.outcome, Outcome.SUCCEEDED, "the outcome of the repeated charge")
        require_equal(second.reference, first.reference, "the reference of the repeated charge")
    elif provider.lookup_by_key:
        status = await trial.status(Operation.CHARGE, key=key)
        require_equal(status.outcome, Outcome.SUCCEEDED, "the outcome looked up")


for _fault, _response in UNREADABLE_RESPONSES.items():
    _unreadable_case(_fault, _response)


@case("fault: wrong_amount")
async def _response_with_another_amount_is_reported_unchanged(trial: Trial) -> None:
    try:
        result = await trial.charge(1_337, method=trial.methods.faults["wrong_amount"])
    except errors.OutcomeUnknown:
        return
    actual_minor = first_snapshot(result, ObjectKind.CHARGE).amount.amount_minor
    require(
        actual_minor != 1_337,
        "the snapshot repeats the requested amount, not the one in the response",
    )


@case("fault: unavailable")
async def _charge_rejected_as_unavailable_is_not_carried_out(trial: Trial) -> None:
    key, method = new_key(), trial.methods.faults["unavailable"]
    try:
        result: Result | None = await trial.charge(key=key, method=method)
    except errors.OutcomeUnknown as error:
        raise ConformanceFailure("the charge left the outcome unknown") from error
    except errors.Unavailable:
        result = None
    if trial.provider.idempotency_key_ttl is not None:
        second = await trial.charge(key=key, method=method)
        require_equal(second.outcome, Outcome.SUCCEEDED, "the outcome of the second charge")
        require(result is None or result.reference == second.reference, "two charges were created")


@case("fault: slow_body")
async def _slow_response_is_awaited_or_leaves_the_outcome_unknown(trial: Trial) -> None:
    key, method = new_key(), trial.methods.faults["slow_body"]
    try:
        result = await trial.charge(key=key, method=method)
    except errors.OutcomeUnknown:
        await _require_one_charge(trial, key, method)
    else:
        require_equal(result.outcome, Outcome.SUCCEEDED, "the outcome")


# --- refunds, currencies, secrets -----------------------------------------------------------------


@case("test method: disputed")
async def _refund_of_a_disputed_charge_has_a_clear_outcome(trial: Trial) -> None:
    charge = await trial.charge(1_000, method=trial.methods.disputed)
    try:
        result = await trial.refund(charge.reference, 1_000)
    except errors.OutcomeUnknown as error:
        raise ConformanceFailure("the refund left the outcome unknown") from error
    except errors.BursarError:
        return
    require(isinstance(result.outcome, Outcome), "the refund has no outcome")


@case()
async def _parallel_refunds_never_exceed_the_charge(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    calls = [trial.refund(charge.reference, 400) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    unexpected = [one for one in outcomes if not isinstance(one, (Result, errors.BursarError))]
    require(not unexpected, f"parallel refunds raised {unexpected!r}")
    results = [one for one in outcomes if isinstance(one, Result)]
    accepted = [one for one in results if one.outcome in {Outcome.SUCCEEDED, Outcome.PENDING}]
    require(
        len(accepted) <= 2, f"{len(accepted)} refunds of 400 were accepted for a charge of 1000"
    )


@case()
async def _every_currency_is_exact_or_rejected(trial: Trial) -> None:
    async def charged(currency: str) -> None:
        amount = Money(1_234_567, currency)
        try:
            result = await trial.charge(amount.amount_minor, currency=currency)
        except errors.OutcomeUnknown as error:
            raise ConformanceFailure(f"{currency} left the outcome unknown: {error}") from error
        except errors.BursarError:
            return  # rejected before anything was charged
        if result.outcome is Outcome.SUCCEEDED:
            require_equal(
                first_snapshot(result, ObjectKind.CHARGE).amount,
                amount,
                f"the amount in {currency}",
            )
        else:
            require_equal(result.outcome, Outcome.DECLINED, f"the outcome in {currency}")

    for currency in sorted(money.EXPONENTS.keys() - money.ASSETS.keys()):
        await charged(currency)


@case()
async def _secrets_appear_in_no_error(trial: Trial) -> None:
    config = trial.provider.config
    values = [getattr(config, one.name) for one in dataclasses.fields(config)]
    secrets = [one.reveal() for one in values if isinstance(one, interface.Secret) and one.reveal()]
    texts = []
    methods = [trial.methods.declined, trial.methods.timeout_after, *trial.methods.faults.values()]
    for method in [trial.methods.approved, "unknown method", *filter(None, methods)]:
        try:
            texts.append(repr(await trial.charge(method=method)))
        except Exception as error:  # noqa: BLE001  (errors of any kind are searched)
            chain = [error, error.__cause__, error.__context__]
            texts += [f"{one} {one!r} {getattr(one, 'facts', '')}" for one in chain if one]
    require(
        not any(secret in text for secret in secrets for text in texts),
        "a secret appears in a result or an error",
    )
