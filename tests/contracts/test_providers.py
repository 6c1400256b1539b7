"""Every provider keeps every promise of the interface, or says that it makes none."""

import asyncio
import contextlib
import dataclasses
import importlib.util
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bursar import ids
from bursar.money import Money
from bursar.providers import conformance, interface, registry
from bursar.providers.conformance import Verdict
from bursar.providers.interface import PaymentProvider, Secret
from bursar.providers.sandbox import SandboxConfig, SandboxProvider, server
from bursar.providers.sandbox.simulator import SandboxSimulator
from bursar.providers.stripe import StripeConfig, StripeProvider
from tests import faulty_database
from tests.stripe import server as stripe_server
from tests.stripe import simulator as stripe_simulator

ACME = Path(__file__).parents[2] / "examples" / "acme_provider"

Maker = Callable[[], PaymentProvider]

#: No call takes so long on a busy machine. An answer that never comes is a connection that breaks
#: without one: both leave the outcome unknown, and breaking it needs no clock. Real time-outs are in
#: tests/unit/providers/test_mixins.py.
DEADLINE_SECONDS = 30.0

WITHOUT_KEYS = {
    "same key twice creates one charge",
    "same key in parallel creates one charge",
    "same key with another amount is rejected",
    "retry of a timed out charge creates no second charge",
    "same key twice creates one refund",
}
WITHOUT_LOOKUP = {
    "timed out charge is returned by lookup by key",
    "lookup of a lost request returns not found",
    "lookup of an unknown key returns not found",
    "refund is returned by lookup by key",
}
OF_ACME = {
    "lookup of a lost request returns not found",
    "authorization is captured in several parts",
    "capture above the authorized amount is rejected",
    "authorization is voided only once",
    "charges and refunds are listed",
    "charge increases the balance by its net amount",
    "signed webhook is verified and parsed",
    "tampered webhook is rejected",
    "webhook outside the time tolerance is rejected",
    "webhook with non ascii headers is rejected",
    "webhook of another account is marked foreign",
    "webhook of the own account is not marked foreign",
    "refund of a disputed charge has a clear outcome",
}
#: What happens on the way only, which a book in this process has none of.
ON_THE_WAY = {
    "HTML response leaves the outcome unknown",
    "response of another content type leaves the outcome unknown",
    "JSON response of another schema leaves the outcome unknown",
}
OF_STRIPE = {
    "charges and refunds are listed",
    "amounts with 3 decimals are exact",
    "amounts with 4 decimals are exact",
    "lookup of a lost request returns not found",
}


@contextlib.asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve *app* in this event loop; yields its address."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def in_process(**config) -> AsyncIterator[Maker]:
    yield lambda: SandboxProvider(SandboxConfig(durable=False, **config))


@contextlib.asynccontextmanager
async def over_http() -> AsyncIterator[Maker]:
    simulator, config = SandboxSimulator(durable=False), SandboxConfig(slow_seconds=0.0)
    async with (
        listening(server.application(simulator, config)) as url,
        listening(faulty_database.before(url, hang_seconds=0)) as front,
    ):
        yield lambda: SandboxProvider(SandboxConfig(url=front, timeout_seconds=DEADLINE_SECONDS))
    simulator.close()


@contextlib.asynccontextmanager
async def acme() -> AsyncIterator[Maker]:
    app = stand_in().application()
    async with (
        listening(app) as url,
        listening(faulty_database.before(url, hang_seconds=0)) as front,
    ):
        config = {"url": front, "api_key": "acme-test-key", "timeout_seconds": DEADLINE_SECONDS}
        yield lambda: registry.create_provider("acme", "acme-main", config)


@contextlib.asynccontextmanager
async def stripe(**config) -> AsyncIterator[Maker]:
    app = stripe_server.application(stripe_simulator.StripeSimulator())
    async with (
        listening(app) as url,
        listening(faulty_database.before(url, hang_seconds=0)) as front,
    ):
        made = StripeConfig(
            url=front,
            api_key=Secret(stripe_server.KEY),
            timeout_seconds=DEADLINE_SECONDS,
            webhook_secret=Secret(stripe_server.SECRET),
            **config,
        )
        yield lambda: StripeProvider(made)


def stand_in():
    """The made-up bank's server, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("acme_stand_in", ACME / "stand_in.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def acme_installed(tmp_path_factory):
    """The example plug-in, installed by pip from a copy of its folder, and importable."""
    folder = tmp_path_factory.mktemp("acme")
    source, target = folder / "source", folder / "target"
    source.mkdir()
    for name in ("pyproject.toml", "bursar_acme.py", "README.md"):
        (source / name).write_bytes((ACME / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--target",
            target,
            source,
        ],
        check=True,
        timeout=50,
    )
    sys.path.append(str(target))
    importlib.invalidate_caches()
    yield target
    sys.path.remove(str(target))


SETTINGS: dict[str, tuple[Any, dict[str, Any], set[str]]] = {
    "sandbox": (in_process, {}, ON_THE_WAY),
    "sandbox-fees-fx": (
        in_process,
        {
            "fee_basis_points": 250,
            "fee_fixed_minor": 25,
            "settlement_currency": "USD",
            "rates": {"EUR": "1.0873", "JPY": "0.0067"},
        },
        ON_THE_WAY,
    ),
    "sandbox-keyless": (in_process, {"idempotency_keys": False}, ON_THE_WAY | WITHOUT_KEYS),
    "sandbox-lookupless": (in_process, {"lookup_by_key": False}, ON_THE_WAY | WITHOUT_LOOKUP),
    "sandbox-blind": (
        in_process,
        {"idempotency_keys": False, "lookup_by_key": False},
        ON_THE_WAY | WITHOUT_KEYS | WITHOUT_LOOKUP,
    ),
    "sandbox-http": (over_http, {}, set()),
    "acme": (acme, {}, OF_ACME),
    "stripe": (stripe, {"multicapture": True}, OF_STRIPE),
    "stripe-one-capture": (stripe, {}, {"authorization is captured in several parts"}),
}


def through(methods: conformance.Conformance) -> conformance.Conformance:
    """What can be told to fail when a `faulty` server stands before the provider's."""
    faults = {name: f"{methods.approved}__{name}" for name in faulty_database.FAULTS}
    return dataclasses.replace(
        methods, faults=faults, timeout_after=faults.pop("timeout_after"), lost=faults.pop("lost")
    )


#: Settings of a provider that is tried whole in another: the cases that need what is other in them.
_KEYS = {
    "idempotency_keys",
    "lookup_by_key",
    "test method: timeout_after",
    "test method: lost",
    *(f"fault: {name}" for name in conformance.faults.UNREADABLE_RESPONSES),
}
VARIANTS: dict[str, set[str]] = {
    "sandbox-fees-fx": {"capture", "list_objects", "balance"},
    "sandbox-keyless": _KEYS,
    "sandbox-lookupless": _KEYS,
    "sandbox-blind": _KEYS,
    "stripe-one-capture": {"capture"},
}
TRIED = [
    pytest.param(name, case, id=f"{name}-{case.name}")
    for name in SETTINGS
    for case in conformance.cases()
    if name not in VARIANTS or VARIANTS[name] & set(case.needs)
]


@pytest.mark.parametrize(("name", "case"), TRIED)
def test_a_provider_keeps_its_promises(request, name, case):
    setting, config, not_supported = SETTINGS[name]
    if name == "acme":
        request.getfixturevalue("acme_installed")

    async def tried():
        async with setting(**config) as make:
            provider = make()
            methods = conformance.conformance_of(provider)
            await provider.close()
            told = methods if setting is in_process else through(methods)
            return await conformance.run_case(make, case, told)

    result = asyncio.run(tried())

    expected = Verdict.NOT_SUPPORTED if case.name in not_supported else Verdict.PASSED
    assert (result.verdict, result.detail if expected is Verdict.PASSED else "") == (expected, "")


def test_the_plug_in_is_found_and_charges(acme_installed):
    assert {"acme", "sandbox"} <= set(registry.names())

    async def charged():
        async with acme() as make:
            provider = make()
            amount = Money(1_999, "EUR")
            request = interface.ChargeRequest(key="att_1", amount=amount, method="solvent")
            result = await provider.charge(request)
            await provider.close()
            return result

    result = asyncio.run(charged())

    assert result.outcome is interface.Outcome.SUCCEEDED
    assert [(s.kind, s.status, s.amount, s.key) for s in result.snapshots] == [
        (interface.ObjectKind.CHARGE, "captured", Money(1_999, "EUR"), "att_1")
    ]


def test_the_plug_in_has_about_25_lines_of_code():
    text = (ACME / "bursar_acme.py").read_text(encoding="utf-8")
    code = [line for line in re.sub(r'"""[^"]*"""', "", text).splitlines() if line.strip()]
    assert len(code) == 28


def test_the_suite_catches_a_provider_that_charges_twice():
    class Forgetful(SandboxProvider):
        __slots__ = ()

        async def charge(self, request, /):
            return await super().charge(dataclasses.replace(request, key=ids.new("att")))

    def make():
        provider = object.__new__(Forgetful)
        SandboxProvider.__init__(provider, SandboxConfig(durable=False))
        return provider

    results = asyncio.run(conformance.run_suite(make))
    assert len(results) >= 40
    failed = {one.name for one in results if one.verdict is Verdict.FAILED}

    assert "same key twice creates one charge" in failed
    assert "same key in parallel creates one charge" in failed
    assert "timed out charge is returned by lookup by key" in failed
