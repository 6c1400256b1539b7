"""What must hold of the instance itself, of its lists and balances, and of its webhooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from bursar.providers import interface
from bursar.providers.conformance.suite import (
    NotConforming,
    Trial,
    case,
    check,
    equal,
    failure_message,
)
from bursar.providers.interface import ObjectKind

# --- the object itself --------------------------------------------------------------------------


@case()
async def _an_instance_has_slots_and_no_dict(trial: Trial) -> None:
    check(not hasattr(trial.provider, "__dict__"), "some class in its MRO lacks __slots__")


@case()
async def _the_config_is_frozen_and_slotted(trial: Trial) -> None:
    config = trial.provider.config
    check(not hasattr(config, "__dict__"), "the config has a __dict__")
    name = dataclasses.fields(config)[0].name
    try:
        setattr(config, name, getattr(config, name))
    except dataclasses.FrozenInstanceError:
        return
    raise NotConforming("the config can be changed")


@case()
async def _secrets_are_never_shown(trial: Trial) -> None:
    config = trial.provider.config
    values = [getattr(config, one.name) for one in dataclasses.fields(config)]
    secrets = [value.reveal() for value in values if isinstance(value, interface.Secret)]
    shown = f"{config!r} {config} {trial.provider!r}"
    check(not any(secret and secret in shown for secret in secrets), "a secret is shown")


# --- telling all --------------------------------------------------------------------------------


@case("lists objects")
async def _what_was_charged_is_listed(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    refund = await trial.refund(charge.reference, 400)
    listed = {(one.kind, one.reference) async for one in trial.provider.list_objects()}
    wanted = {(ObjectKind.CHARGE, charge.reference), (ObjectKind.REFUND, refund.reference)}
    check(wanted <= listed, "a charge or refund just made is not listed")


@case("tells balance")
async def _a_charge_raises_the_balance_by_its_net(trial: Trial) -> None:
    before = await trial.provider.balances()
    charge = failure_message(await trial.charge(1_000), ObjectKind.CHARGE)
    after = await trial.provider.balances()
    gross = charge.settled or charge.amount
    fee_minor = charge.fee.amount_minor if charge.fee else 0
    rise = after.get(gross.currency, 0) - before.get(gross.currency, 0)
    equal(rise, gross.amount_minor - fee_minor, "the rise of the balance")


# --- webhooks -----------------------------------------------------------------------------------

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_SIGNED = ("verifies webhooks", "test method: delivery")


def _delivery(trial: Trial, at: datetime) -> tuple[dict[str, str], bytes]:
    assert trial.methods.delivery is not None, "the case needs it"
    headers, body = trial.methods.delivery(trial.provider, at)
    return dict(headers), body


def _rejected(trial: Trial, headers: Mapping[str, str], body: bytes, what: str) -> None:
    try:
        trial.provider.verify(headers, body, now=NOW)
    except interface.InvalidSignature:
        return
    raise NotConforming(f"{what} was accepted")


@case(*_SIGNED, "translates webhooks")
async def _a_signed_webhook_is_verified_and_translated(trial: Trial) -> None:
    headers, body = _delivery(trial, NOW)
    event = trial.provider.verify(headers, body, now=NOW)
    check(bool(event.event_id) and bool(event.type), "the event has no id or no type")
    check(bool(list(trial.provider.facts(body))), "the body was not translated")


@case(*_SIGNED)
async def _a_webhook_that_was_changed_is_rejected(trial: Trial) -> None:
    headers, body = _delivery(trial, NOW)
    _rejected(trial, headers, body + b" ", "a changed body")
    _rejected(trial, {}, body, "a delivery without headers")


@case(*_SIGNED)
async def _a_webhook_of_another_time_is_rejected(trial: Trial) -> None:
    for minutes in (-30, 30):
        headers, body = _delivery(trial, NOW + timedelta(minutes=minutes))
        _rejected(trial, headers, body, f"a delivery signed {minutes} minutes from now")


@case(*_SIGNED)
async def _a_webhook_with_strange_letters_is_rejected_not_raised(trial: Trial) -> None:
    headers, body = _delivery(trial, NOW)
    for name in headers:
        for strange in ("é\u2028", "\udcff", "\u0663"):
            _rejected(trial, {**headers, name: strange}, body, f"{name} of {strange!r}")


@case("verifies webhooks", "test method: foreign_delivery")
async def _a_webhook_of_another_account_is_told_as_such(trial: Trial) -> None:
    assert trial.methods.foreign_delivery is not None, "the case needs it"
    headers, body = trial.methods.foreign_delivery(trial.provider, NOW)
    event = trial.provider.verify(headers, body, now=NOW)
    check(bool(event.foreign_account), "an event of another account was taken for our own")


@case(*_SIGNED)
async def _a_webhook_of_our_own_account_is_not_foreign(trial: Trial) -> None:
    headers, body = _delivery(trial, NOW)
    event = trial.provider.verify(headers, body, now=NOW)
    equal(event.foreign_account, "", "the foreign account of an event of our own")
