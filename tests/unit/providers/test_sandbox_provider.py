"""The sandbox as a provider: small, in this process or in its own, with the same troubles."""

import asyncio
import base64
import contextlib
import pickle
import subprocess
import sys
import tracemalloc

import pytest

from bursar import errors
from bursar.money import Money
from bursar.providers import registry
from bursar.providers.interface import (
    ChargeRequest,
    ObjectKind,
    Operation,
    Outcome,
    RefundRequest,
    Secret,
    StatusRequest,
)
from bursar.providers.sandbox import SandboxConfig, SandboxProvider, serializers
from bursar.providers.sandbox.provider import DEADLINE
from bursar.providers.sandbox.scenarios import METADATA_KEY


def request(method, key="att_1", **more):
    return ChargeRequest(key=key, amount=Money(1_000, "EUR"), method=method, **more)


def test_an_instance_is_slotted_and_takes_no_more_than_its_slots():
    config = SandboxConfig()
    SandboxProvider(config)
    tracemalloc.start()
    kept = [SandboxProvider(config) for _ in range(1_000)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not hasattr(kept[0], "__dict__")
    assert not hasattr(config, "__dict__")
    # Header and GC links, and three slots: weak references, config, book; plus the list's pointer.
    assert size / 1_000 < 80


def test_a_secret_is_neither_shown_nor_pickled():
    config = SandboxConfig(webhook_secret=Secret("whsec_hush"))
    assert "hush" not in repr(config)
    with pytest.raises(TypeError):
        pickle.dumps(config)


@contextlib.contextmanager
def in_own_process(*arguments, book):
    command = [sys.executable, "-m", "bursar.providers.sandbox.server", "--store", str(book)]
    server = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        assert line.startswith("port="), line
        yield f"http://127.0.0.1:{line.strip().removeprefix('port=')}"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


async def outcome_of(provider, method, key):
    try:
        return (await provider.charge(request(method, key))).outcome.value
    except errors.BursarError as error:
        return "unknown" if isinstance(error, errors.OutcomeUnknown) else error.code


TROUBLES = {
    "tok_visa": ("succeeded", "succeeded"),
    "tok_slow": ("succeeded", "succeeded"),
    "tok_timeout_after_charge": ("unknown", "succeeded"),
    "tok_reset_mid_response": ("unknown", "succeeded"),
    "tok_garbage_response": ("unknown", "succeeded"),
    "tok_timeout_before": ("unknown", "not_found"),
    "tok_unavailable_once": ("succeeded", "succeeded"),
}


async def tried(provider):
    seen = {}
    for method in TROUBLES:
        told = await outcome_of(provider, method, method)
        asked = StatusRequest(operation=Operation.CHARGE, key=method)
        seen[method] = (told, (await provider.get_status(asked)).outcome.value)
    with pytest.raises(errors.Unavailable):
        await provider.charge(request("tok_unavailable", "away"))
    refund = RefundRequest(
        key="r1",
        reference=(await provider.charge(request("tok_visa", "tok_visa"))).reference,
        amount=Money(400, "EUR"),
        metadata={METADATA_KEY: "tok_timeout_after_charge"},
    )
    with pytest.raises(errors.OutcomeUnknown):
        await provider.refund(refund)
    again = await provider.refund(refund)
    kinds = [one.kind async for one in provider.list_objects()]
    balances = await provider.balances()
    await provider.close()
    return seen, again.outcome, sorted(kinds), balances


EXPECTED = (
    TROUBLES,
    Outcome.SUCCEEDED,
    [ObjectKind.CHARGE] * 6 + [ObjectKind.REFUND],
    {"EUR": 5_600},
)


def test_in_this_process_trouble_is_raised():
    provider = SandboxProvider(SandboxConfig(durable=False, slow_seconds=0.0))
    assert asyncio.run(tried(provider)) == EXPECTED


def test_in_its_own_process_trouble_is_real(tmp_path):
    with in_own_process("--slow-seconds", "0", book=tmp_path / "book.sqlite3") as url:
        provider = SandboxProvider(SandboxConfig(url=url, timeout_seconds=0.3))
        assert asyncio.run(tried(provider)) == EXPECTED


def test_a_killed_sandbox_still_knows_what_it_answered(tmp_path):
    book = tmp_path / "book.sqlite3"

    async def charge(url):
        provider = SandboxProvider(SandboxConfig(url=url))
        told = await provider.charge(request("tok_visa"))
        await provider.close()
        return told

    with in_own_process(book=book) as url:
        first = asyncio.run(charge(url))
    with in_own_process(book=book) as url:
        assert asyncio.run(charge(url)) == first


def test_a_request_that_comes_too_late_is_not_carried_out(tmp_path):
    async def late(url):
        provider = SandboxProvider(SandboxConfig(url=url, timeout_seconds=0.2))
        with pytest.raises(errors.OutcomeUnknown):
            await provider.call(
                "POST",
                "/v1/charges",
                json=serializers.charge_out(request("tok_visa")),
                key="att_1",
                headers={DEADLINE: "1000000000"},
            )
        asked = StatusRequest(operation=Operation.CHARGE, key="att_1")
        found = await provider.get_status(asked)
        await provider.close()
        return found.outcome

    with in_own_process(book=tmp_path / "book.sqlite3") as url:
        assert asyncio.run(late(url)) is Outcome.NOT_FOUND


def test_a_tester_controls_it_over_http(tmp_path):
    arguments = ("--fee-basis-points", "100", "--webhook-secret", "hush", "--seed", "3")

    async def controlled(url):
        config = {"url": url, "webhook_secret": "hush"}
        provider = registry.create_provider("sandbox", "main", config)
        assert isinstance(provider, SandboxProvider)
        waits = await provider.charge(request("tok_requires_action"))
        approve = {"approve": True}
        done = await provider.call("POST", f"/control/actions/{waits.reference}", json=approve)
        await provider.charge(request("tok_dispute_lost", "att_2"))
        moved = await provider.call("POST", "/control/advance", json={"seconds": 86_400})
        balances = await provider.balances()
        paid = await provider.call("POST", "/control/pay_out", json={})
        asked = {"limit": "3", "forged": "1"}
        told = (await provider.call("GET", "/control/deliveries", params=asked)).body
        unreadable = pytest.raises(errors.Invalid)
        with unreadable:
            await provider.call("POST", "/v1/charges", json={"amount": 5}, key="att_9")
        with unreadable:
            await provider.call("POST", "/control/actions/none", json={})
        await provider.close()
        return done.body["status"], moved.body, balances, len(paid.body), told

    with in_own_process(*arguments, book=tmp_path / "book.sqlite3") as url:
        status, moved, balances, payouts, told = asyncio.run(controlled(url))

    assert (status, moved, balances, payouts) == ("captured", {"happened": 1}, {"EUR": 980}, 1)
    bodies = [base64.b64decode(one["body"]) for one in told]
    assert [one["forged"] for one in told] == [True, False] * 3
    assert len(set(bodies)) == 6


def test_without_lookup_a_key_alone_finds_nothing():
    provider = SandboxProvider(SandboxConfig(durable=False, lookup_by_key=False))

    async def asked():
        made = await provider.charge(request("tok_visa"))
        found = StatusRequest(operation=Operation.CHARGE, key="x", reference=made.reference)
        assert (await provider.get_status(found)).outcome is Outcome.SUCCEEDED
        with pytest.raises(errors.OutcomeUnknown):
            await provider.get_status(StatusRequest(operation=Operation.CHARGE, key="att_1"))
        await provider.close()

    asyncio.run(asked())
