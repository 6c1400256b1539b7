"""
Demonstration: import invoices as orders, charge them in the sandbox with all kinds of faults,
refund some, process webhooks with faults, and check the books.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bursar import clock, errors, group_commit, ids, job_handlers, settings
from bursar.imports import mapping as invoice_mapping
from bursar.money import Money
from bursar.orders import imports
from bursar.orders.models import Order
from bursar.payments import provider_accounts, refunds
from bursar.payments.models import Attempt, Payment
from bursar.payments.statuses import AttemptStatus, PaymentStatus
from bursar.providers import standard_webhooks
from bursar.providers.interface import InvalidSignature
from bursar.providers.sandbox import SandboxProvider, server
from bursar.providers.sandbox.simulator import SandboxSimulator
from bursar.providers.sandbox.webhook_delivery import DeliveryFaults
from bursar.queue.models import Job, JobState
from bursar.queue.worker import Worker
from bursar.verify import checks
from bursar.webhooks import inbox

ACCOUNT = "sandbox"
DELIVERY_FAULTS = DeliveryFaults(dropped=0.1, late=0.2, reordered=0.2, duplicate=0.2, forged=0.05)
#: Jobs due later than this are left to the next run.
RETRY_WAIT_MAX = timedelta(seconds=4)
SECONDS_MAX = 45.0
REFUND_INTERVAL = 10

#: Called with the description of each step.
ProgressCallback = Callable[[str], None]


@dataclass(slots=True)
class DemoReport:
    """Result of one run."""

    imported_files: list[tuple[Path, imports.ImportReport]] = field(default_factory=list)
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    webhooks: Counter[str] = field(default_factory=Counter)
    refunds: int = 0
    payouts: list[Money] = field(default_factory=list)
    findings: list[checks.CheckResult] = field(default_factory=list)
    balance_owed: Mapping[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def invoices_folder() -> Path:
    """
    Return the folder of the example invoices, in the package or in the source tree.

    :raises errors.NotFound: if it is in neither.
    """
    for folder in (
        Path(__file__).parent / "invoices",
        Path(__file__).parents[3] / "examples" / "invoices",
    ):
        if (folder / "mapping.toml").is_file():
            return folder
    raise errors.NotFound("the example invoices are not installed; pass a folder of invoices")


def run(
    *, invoices: Path | None, port: int | None = None, watch: ProgressCallback = lambda _: None
) -> DemoReport:
    """
    Run the demonstration on a folder with CSV files and `mapping.toml`; default: the examples.

    With *port* the sandbox runs as a process listening on that loopback port (0: any free port).
    Needs a started installation. A second run imports nothing.
    """
    report, folder = DemoReport(), invoices or invoices_folder()
    with _sandbox(port) as simulator:
        with _timed_step(report, "import", watch, "importing invoices as orders"):
            for file in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
                report.imported_files.append((file, _import(file, folder / "mapping.toml")))
        with _timed_step(report, "charge", watch, "charging, with provider faults"):
            _process_until_idle(report, simulator, DELIVERY_FAULTS)
            _buyers_act(simulator)
            _process_until_idle(report, simulator, DELIVERY_FAULTS)
            report.payouts = [snapshot.amount for snapshot in simulator.create_payouts()]
        with _timed_step(report, "refund", watch, "refunding every tenth order"):
            report.refunds = _refund_some()
            _process_until_idle(report, simulator, DELIVERY_FAULTS)
        with _timed_step(
            report, "webhooks", watch, "30 days later: disputes, failed refunds, late webhooks"
        ):
            simulator.advance(timedelta(days=30).total_seconds())
            _process_until_idle(report, simulator, DeliveryFaults())
        # The balance is fetched before the sandbox's process ends.
        with _timed_step(report, "verify", watch, "checking the books"):
            report.findings = list(checks.run_checks())
        report.balance_owed = provider_accounts.fetch_balance(ACCOUNT) or {}
    return report


@contextmanager
def _sandbox(port: int | None) -> Iterator[SandboxSimulator]:
    """Create the sandbox account, in this process or a separate one, and open its simulator."""
    path = settings.current.home / "sandbox.sqlite3"
    terms = {"fee_basis_points": 150, "fee_fixed_minor": 20}
    if port is None:
        _open_account({"store": str(path), **terms})
        yield _provider().simulator
        return
    command = [sys.executable, "-m", server.__name__, "--store", str(path), "--port", str(port)]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in terms.items()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port_text = process.stdout.readline().strip().removeprefix("port=")
        _open_account({"url": f"http://127.0.0.1:{port_text}", "timeout_seconds": 2.0})
        simulator = SandboxSimulator(str(path))
        try:
            yield simulator
        finally:
            simulator.close()
            process.terminate()


@contextmanager
def _timed_step(
    report: DemoReport, name: str, watch: ProgressCallback, description: str
) -> Iterator[None]:
    watch(description)
    began = time.perf_counter()
    yield
    report.seconds[name] = time.perf_counter() - began


def _provider() -> SandboxProvider:
    provider = provider_accounts.get(ACCOUNT)
    assert isinstance(provider, SandboxProvider)
    return provider


def _open_account(config: Mapping[str, Any]) -> None:
    now = clock.now()
    group_commit.commits.run_blocking(
        lambda: provider_accounts.create_account(
            name=ACCOUNT, provider="sandbox", config=config, now=now
        )
    )


def _import(file: Path, mapping: Path) -> imports.ImportReport:
    return imports.import_file(
        path=file, mapping=invoice_mapping.load(mapping), provider_account=ACCOUNT, now=clock.now()
    )


def _process_until_idle(
    report: DemoReport, simulator: SandboxSimulator, disorder: DeliveryFaults
) -> None:
    """Run jobs and deliver webhooks until no more work is due soon."""
    position, until = 0, time.monotonic() + SECONDS_MAX
    while time.monotonic() < until:
        worker = Worker(job_handlers.HANDLERS)
        provider_accounts.run_sync(worker.run(until_empty=True))
        report.jobs += worker.outcomes
        position, delivered = _deliver(report, simulator, position, disorder)
        due = Job.objects.filter(state__in=[JobState.READY, JobState.LEASED]).exists()
        soon = Job.objects.filter(state=JobState.DELAYED, run_at__lte=clock.now() + RETRY_WAIT_MAX)
        if not (delivered or due or soon.exists()):
            return
        time.sleep(0.05)


def _deliver(
    report: DemoReport, simulator: SandboxSimulator, position: int, disorder: DeliveryFaults
) -> tuple[int, int]:
    """Receive the sandbox's webhooks after *position*. Returns the new position and the count."""
    (key, *_) = standard_webhooks.parse_keys(_provider().config.webhook_secret)
    deliveries = simulator.deliveries(key, after=position, faults=disorder, at=clock.now())
    for delivery in deliveries:
        try:
            new = inbox.receive_sync(
                provider_account=ACCOUNT, headers=delivery.headers, body=delivery.body
            )
            report.webhooks["stored" if new else "duplicate"] += 1
        except InvalidSignature:
            report.webhooks["forged, rejected"] += 1
        position = max(position, delivery.position)
    return position, len(deliveries)


def _buyers_act(simulator: SandboxSimulator) -> None:
    """Approve every second payment that requires action; reject the others."""
    waiting = Attempt.objects.filter(status=AttemptStatus.REQUIRES_ACTION).order_by("id")
    for number, attempt in enumerate(waiting):
        try:
            simulator.complete_action(attempt.reference, approve=number % 2 == 0)
        except errors.NotFound:
            continue  # completed in an earlier run; its webhook is still pending


def _refund_some() -> int:
    """Refund half of every tenth paid order, once over all runs. Returns the count."""
    references = Order.objects.order_by("reference").values_list("id", flat=True)
    chosen = list(references)[::REFUND_INTERVAL]
    paid = Payment.objects.filter(order_id__in=chosen, status=PaymentStatus.CAPTURED)
    refunded = 0
    for payment in paid.order_by("id"):
        half = Money(max(1, payment.captured_minor // 2), payment.currency)
        _create_refund(payment, half)
        refunded += 1
    return refunded


def _create_refund(payment: Payment, amount: Money) -> None:
    refund_id, now = ids.new(ids.REFUND), clock.now()
    group_commit.commits.run_blocking(
        lambda: refunds.create_refund(
            refund_id=refund_id,
            payment_id=payment.id,
            amount=amount,
            reason="demonstration",
            idempotency_key=f"demo/{payment.id}",
            now=now,
        )
    )
