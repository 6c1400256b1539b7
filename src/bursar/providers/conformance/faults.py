"""What must hold when the way there or back breaks, and of every currency and secret."""

from __future__ import annotations

import asyncio
import dataclasses

from bursar import errors, money
from bursar.money import Money
from bursar.providers import interface
from bursar.providers.conformance.suite import (
    NotConforming,
    Trial,
    case,
    check,
    equal,
    failure_message,
    new_key,
)
from bursar.providers.interface import ObjectKind, Operation, Outcome, Result

#: What each fault does to an answer of a charge that was carried out.
UNREADABLE = {
    "reset": "breaks off in the middle",
    "garbage": "cannot be read",
    "html_502": "is a web page instead",
    "wrong_type": "says it is no JSON",
    "wrong_shape": "is JSON of another form",
}


def _unreadable_case(fault: str, words: str) -> None:
    async def once(trial: Trial) -> None:
        key, method = new_key(), trial.methods.faults[fault]
        try:
            result = await trial.charge(key=key, method=method)
        except (errors.Unavailable, errors.Declined, errors.Invalid) as error:
            raise NotConforming(f"it was taken for {error.code}") from error
        except Exception:  # noqa: BLE001  (whatever else is raised is taken for unknown)
            await _is_charged_once(trial, key, method)
        else:
            raise NotConforming(f"it was taken for {result.outcome}")

    once.__name__ = f"an_answer_that_{words.replace(' ', '_').replace(chr(39), '')}_is_unknown"
    case(f"fault: {fault}")(once)


async def _is_charged_once(trial: Trial, key: str, method: str) -> None:
    """Where there is a way to find out, it tells of one charge."""
    provider = trial.provider
    if provider.idempotency_key_ttl is not None:
        first = await trial.charge(key=key, method=method)
        second = await trial.charge(key=key, method=method)
        equal(first.outcome, Outcome.SUCCEEDED, "the outcome of the repeated charge")
        equal(second.reference, first.reference, "the reference of the repeated charge")
    elif provider.lookup_by_key:
        found = await trial.status(Operation.CHARGE, key=key)
        equal(found.outcome, Outcome.SUCCEEDED, "the outcome looked up")


for _fault, _words in UNREADABLE.items():
    _unreadable_case(_fault, _words)


@case("fault: wrong_amount")
async def _an_answer_with_another_amount_is_told_as_it_is(trial: Trial) -> None:
    try:
        result = await trial.charge(1_337, method=trial.methods.faults["wrong_amount"])
    except errors.OutcomeUnknown:
        return
    got = failure_message(result, ObjectKind.CHARGE).amount.amount_minor
    check(got != 1_337, "it was told as if the amount had been right")


@case("fault: turned_away")
async def _a_charge_that_was_turned_away_did_not_happen(trial: Trial) -> None:
    key, method = new_key(), trial.methods.faults["turned_away"]
    try:
        result: Result | None = await trial.charge(key=key, method=method)
    except errors.OutcomeUnknown as error:
        raise NotConforming("it left the outcome unknown") from error
    except errors.Unavailable:
        result = None  # the next call may be let in
    if trial.provider.idempotency_key_ttl is not None:
        again = await trial.charge(key=key, method=method)
        equal(again.outcome, Outcome.SUCCEEDED, "the outcome of the next call")
        check(result is None or result.reference == again.reference, "there are two charges")


@case("fault: slow_body")
async def _an_answer_that_drips_is_waited_for_or_unknown(trial: Trial) -> None:
    key, method = new_key(), trial.methods.faults["slow_body"]
    try:
        result = await trial.charge(key=key, method=method)
    except errors.OutcomeUnknown:
        await _is_charged_once(trial, key, method)
    else:
        equal(result.outcome, Outcome.SUCCEEDED, "the outcome")


# --- refunds that cannot be, every currency, secrets ---------------------------------------------


@case("test method: disputed")
async def _a_refund_of_a_disputed_charge_is_answered_clearly(trial: Trial) -> None:
    charge = await trial.charge(1_000, method=trial.methods.disputed)
    try:
        result = await trial.refund(charge.reference, 1_000)
    except errors.OutcomeUnknown as error:
        raise NotConforming("it left the outcome unknown") from error
    except errors.BursarError:
        return
    check(isinstance(result.outcome, Outcome), "it has no outcome")


@case()
async def _refunds_in_parallel_never_exceed_the_charge(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    asked = [trial.refund(charge.reference, 400) for _ in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    odd = [one for one in answers if not isinstance(one, (Result, errors.BursarError))]
    check(not odd, f"parallel refunds raised {odd!r}")
    done = [one for one in answers if isinstance(one, Result)]
    given = [one for one in done if one.outcome in {Outcome.SUCCEEDED, Outcome.PENDING}]
    check(len(given) <= 2, f"{len(given)} refunds of 400 were made of a charge of 1000")


@case()
async def _every_currency_is_exact_or_refused(trial: Trial) -> None:
    async def charged(currency: str) -> None:
        amount = Money(1_234_567, currency)
        try:
            result = await trial.charge(amount.amount_minor, currency=currency)
        except errors.OutcomeUnknown as error:
            raise NotConforming(f"{currency} left the outcome unknown: {error}") from error
        except errors.BursarError:
            return  # refused before anything was charged
        if result.outcome is Outcome.SUCCEEDED:
            equal(
                failure_message(result, ObjectKind.CHARGE).amount,
                amount,
                f"the amount in {currency}",
            )
        else:
            equal(result.outcome, Outcome.DECLINED, f"the outcome in {currency}")

    for currency in sorted(money.EXPONENTS.keys() - money.ASSETS.keys()):
        await charged(currency)


@case()
async def _secrets_are_in_no_error(trial: Trial) -> None:
    config = trial.provider.config
    values = [getattr(config, one.name) for one in dataclasses.fields(config)]
    secrets = [one.reveal() for one in values if isinstance(one, interface.Secret) and one.reveal()]
    said = []
    methods = [trial.methods.declined, trial.methods.timeout_after, *trial.methods.faults.values()]
    for method in [trial.methods.approved, "no such method", *filter(None, methods)]:
        try:
            said.append(repr(await trial.charge(method=method)))
        except Exception as error:  # noqa: BLE001  (of any kind)
            chain = [error, error.__cause__, error.__context__]
            said += [f"{one} {one!r} {getattr(one, 'facts', '')}" for one in chain if one]
    check(not any(secret in text for secret in secrets for text in said), "a secret is told")
