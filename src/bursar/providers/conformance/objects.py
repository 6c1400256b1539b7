"""Conformance cases for the provider instance, object lists, balances and webhooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from bursar.providers import interface
from bursar.providers.conformance.suite import (
    ConformanceFailure,
    Trial,
    case,
    first_snapshot,
    require,
    require_equal,
)
from bursar.providers.interface import ObjectKind

# --- instance and configuration -------------------------------------------------------------------


@case()
async def _provider_instance_uses_slots(trial: Trial) -> None:
    require(not hasattr(trial.provider, "__dict__"), "a class in the MRO has no __slots__")


@case()
async def _config_is_frozen_and_uses_slots(trial: Trial) -> None:
    config = trial.provider.config
    require(not hasattr(config, "__dict__"), "the config has a __dict__")
    name = dataclasses.fields(config)[0].name
    try:
        setattr(config, name, getattr(config, name))
    except dataclasses.FrozenInstanceError:
        return
    raise ConformanceFailure("a field of the config can be assigned")


@case()
async def _secrets_are_masked_when_printed(trial: Trial) -> None:
    config = trial.provider.config
    values = [getattr(config, one.name) for one in dataclasses.fields(config)]
    secrets = [value.reveal() for value in values if isinstance(value, interface.Secret)]
    printed = f"{config!r} {config} {trial.provider!r}"
    require(
        not any(secret and secret in printed for secret in secrets),
        "repr() or str() shows a secret",
    )


# --- object lists and balances --------------------------------------------------------------------


@case("list_objects")
async def _charges_and_refunds_are_listed(trial: Trial) -> None:
    charge = await trial.charge(1_000)
    refund = await trial.refund(charge.reference, 400)
    listed = {(one.kind, one.reference) async for one in trial.provider.list_objects()}
    expected = {(ObjectKind.CHARGE, charge.reference), (ObjectKind.REFUND, refund.reference)}
    require(expected <= listed, "a new charge or refund is not in the list")


@case("balance")
async def _charge_increases_the_balance_by_its_net_amount(trial: Trial) -> None:
    before = await trial.provider.balances()
    charge = first_snapshot(await trial.charge(1_000), ObjectKind.CHARGE)
    after = await trial.provider.balances()
    gross = charge.settled or charge.amount
    fee_minor = charge.fee.amount_minor if charge.fee else 0
    increase = after.get(gross.currency, 0) - before.get(gross.currency, 0)
    require_equal(increase, gross.amount_minor - fee_minor, "the increase of the balance")


# --- webhooks -----------------------------------------------------------------------------------

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_WEBHOOKS = ("webhook_verification", "test method: sample_webhook")


def _sample_webhook(trial: Trial, at: datetime) -> tuple[dict[str, str], bytes]:
    assert trial.methods.sample_webhook is not None, "required by the case"
    headers, body = trial.methods.sample_webhook(trial.provider, at)
    return dict(headers), body


def _require_rejection(trial: Trial, headers: Mapping[str, str], body: bytes, label: str) -> None:
    try:
        trial.provider.verify_webhook(headers, body, now=NOW)
    except interface.InvalidSignature:
        return
    raise ConformanceFailure(f"{label} was accepted")


@case(*_WEBHOOKS, "webhook_parsing")
async def _signed_webhook_is_verified_and_parsed(trial: Trial) -> None:
    headers, body = _sample_webhook(trial, NOW)
    event = trial.provider.verify_webhook(headers, body, now=NOW)
    require(bool(event.event_id) and bool(event.type), "the event has no id or no type")
    require(bool(list(trial.provider.parse_webhook(body))), "the webhook body gave no snapshots")


@case(*_WEBHOOKS)
async def _tampered_webhook_is_rejected(trial: Trial) -> None:
    headers, body = _sample_webhook(trial, NOW)
    _require_rejection(trial, headers, body + b" ", "a webhook with a changed body")
    _require_rejection(trial, {}, body, "a webhook without headers")


@case(*_WEBHOOKS)
async def _webhook_outside_the_time_tolerance_is_rejected(trial: Trial) -> None:
    for minutes in (-30, 30):
        headers, body = _sample_webhook(trial, NOW + timedelta(minutes=minutes))
        _require_rejection(trial, headers, body, f"a webhook signed at {minutes:+d} minutes")


@case(*_WEBHOOKS)
async def _webhook_with_non_ascii_headers_is_rejected(trial: Trial) -> None:
    headers, body = _sample_webhook(trial, NOW)
    for name in headers:
        for strange in ("é\u2028", "\udcff", "\u0663"):
            _require_rejection(
                trial, {**headers, name: strange}, body, f"a webhook with {name}: {strange!r}"
            )


@case("webhook_verification", "test method: foreign_webhook")
async def _webhook_of_another_account_is_marked_foreign(trial: Trial) -> None:
    assert trial.methods.foreign_webhook is not None, "required by the case"
    headers, body = trial.methods.foreign_webhook(trial.provider, NOW)
    event = trial.provider.verify_webhook(headers, body, now=NOW)
    require(
        bool(event.foreign_account), "foreign_account is empty for a webhook of another account"
    )


@case(*_WEBHOOKS)
async def _webhook_of_the_own_account_is_not_marked_foreign(trial: Trial) -> None:
    headers, body = _sample_webhook(trial, NOW)
    event = trial.provider.verify_webhook(headers, body, now=NOW)
    require_equal(event.foreign_account, "", "foreign_account of a webhook of the own account")
