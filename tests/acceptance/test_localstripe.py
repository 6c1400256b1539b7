"""
localstripe, which is not ours, is charged end to end.

It is a smoke test, not an authority: it ignores idempotency keys, takes refunds beyond the charge,
and knows neither fees, disputes nor events of refunds.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from bursar.money import Money
from bursar.payments import payment_state
from bursar.providers import interface
from bursar.providers.interface import ChargeStatus, Operation, Outcome, Secret
from bursar.providers.stripe import StripeConfig, StripeProvider

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"


def _has_localstripe() -> bool:
    if not shutil.which(PYTHON):
        return False
    asked = subprocess.run([PYTHON, "-c", "import localstripe"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.fixture
def url() -> Iterator[str]:
    if not _has_localstripe():
        pytest.skip(".venv-bench has no localstripe (scripts/bench makes it)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runner = ROOT / "tests" / "stripe" / "localstripe_runner.py"
    process = subprocess.Popen([PYTHON, runner, str(port)])
    try:
        _wait_for(f"http://127.0.0.1:{port}/js.stripe.com/v3/")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except URLError:
            time.sleep(0.05)
    raise TimeoutError(url)


def test_localstripe_is_charged_captured_refunded_and_asked(url: str) -> None:
    async def run() -> None:
        config = StripeConfig(url=url, api_key=Secret("sk_test_12345"), payment_method_types="card")
        provider = StripeProvider(config)
        try:
            await _all(provider)
        finally:
            await provider.close()

    asyncio.run(run())


async def _all(provider: StripeProvider) -> None:
    method = "pm_card_visa"
    amount = Money(1_234, "EUR")
    paid = await provider.charge(interface.ChargeRequest(key="att_1", amount=amount, method=method))
    # It does not tell how much was received; a captured charge without that is whole.
    assert (paid.outcome, payment_state.captured_minor(paid.snapshots[0])) == (
        Outcome.SUCCEEDED,
        1_234,
    )
    found = await provider.get_status(
        interface.StatusRequest(operation=Operation.CHARGE, key="att_1", reference=paid.reference)
    )
    assert found.snapshots[0].status == ChargeStatus.CAPTURED
    assert found.snapshots[0].key == "att_1"
    held = await provider.charge(
        interface.ChargeRequest(key="att_2", amount=amount, method=method, capture=False)
    )
    assert held.snapshots[0].status == ChargeStatus.AUTHORIZED
    part = interface.CaptureRequest(
        key="att_3", reference=held.reference, amount=Money(1_000, "EUR")
    )
    captured = await provider.capture(part)
    assert captured.snapshots[0].status == ChargeStatus.CAPTURED
    refund = await provider.refund(
        interface.RefundRequest(key="att_4", reference=paid.reference, amount=Money(234, "EUR"))
    )
    assert (refund.outcome, refund.snapshots[0].parent_reference) == (
        Outcome.SUCCEEDED,
        paid.reference,
    )
    looked_up = await provider.get_status(
        interface.StatusRequest(
            operation=Operation.REFUND, key="att_4", parent_reference=paid.reference
        )
    )
    assert looked_up.reference == refund.reference
    declined = await provider.charge(
        interface.ChargeRequest(key="att_5", amount=amount, method="pm_card_chargeCustomerFail")
    )
    assert declined.outcome is Outcome.DECLINED
