"""Money is given back: in full, in parts, by lines, at once from many sides, and by others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bursar import clock, errors, group_commit, ids
from bursar.cli import refunds as refund_command
from bursar.money import CurrencyMismatch, Money
from bursar.orders import operations, queries
from bursar.orders import refunds as refunding_lines
from bursar.orders.models import Order
from bursar.payments import models, refunds
from bursar.pricing import baskets
from bursar.providers.interface import RefundRequest
from tests.shop import RECEIVABLE, Shop, commit

RETURNED = {"sales:EUR": -840, "sales_returns:EUR": 840}


def refund_lines(shop: Shop, order_id: str, quantities: dict[int, int], key: str = "") -> str:
    refund_id = ids.new(ids.REFUND)
    return commit(
        lambda: refunding_lines.refund_lines(
            order_id=order_id,
            quantities=quantities,
            refund_id=refund_id,
            now=clock.now(),
            idempotency_key=key or None,
        )
    )


def test_a_full_refund_takes_sales_and_tax_back(shop: Shop) -> None:
    payment = shop.paid()
    refund_id = shop.refund(payment, 1000)
    assert shop.fresh(payment).pending_refund_minor == 1000

    shop.run_jobs()

    payment = shop.fresh(payment)
    assert (payment.status, payment.refunded_minor, payment.pending_refund_minor) == (
        "refunded",
        1000,
        0,
    )
    assert shop.refund_of(refund_id).status == "succeeded"
    assert queries.fetch_payment_status(Order.objects.get()) == "refunded"
    assert shop.balances() == RETURNED
    assert shop.agrees()


def test_partial_refunds_share_the_tax_and_leave_none(shop: Shop) -> None:
    payment = shop.paid()
    taxes = []
    for amount in (333, 333, 334):
        refund_id = shop.refund(shop.fresh(payment), amount)
        taxes.append(shop.refund_of(refund_id).tax_minor)
        shop.run_jobs()
    assert taxes == [53, 53, 54]
    assert shop.fresh(payment).status == "refunded"
    assert shop.balances() == RETURNED


def test_lines_are_refunded_by_unit_with_their_tax_and_remainder(shop: Shop) -> None:
    lines = [
        baskets.Line(sku="a", description="A", quantity=3, unit_price="3.33", tax_rate="10"),
        baskets.Line(sku="b", description="B", quantity=1, unit_price="5.00"),
    ]
    payment = shop.paid(lines=lines)
    assert payment.amount_minor == 999 + 100 + 500

    parts = []
    for quantities in ({1: 1}, {1: 1}, {1: 1, 2: 1}):
        refund = shop.refund_of(refund_lines(shop, payment.order_id, quantities))
        parts.append((refund.amount_minor, refund.tax_minor))
        shop.run_jobs()

    assert parts == [(366, 33), (366, 33), (867, 34)]
    assert shop.fresh(payment).status == "refunded"
    assert shop.balances() == {"sales:EUR": -1499, "sales_returns:EUR": 1499}
    with pytest.raises(
        refunding_lines.QuantityExceedsRefundable,
        match="line 1 has 0 refundable units, 1 requested",
    ):
        refund_lines(shop, payment.order_id, {1: 1})


def test_units_whose_refund_failed_are_worth_what_is_left_of_the_line(shop: Shop) -> None:
    lines = [baskets.Line(sku="a", description="A", quantity=3, unit_price="0.34")]
    # 1.02 in three; with 3 units of 0.34 nothing rounds, so take a line that does.
    lines = [
        *lines,
        baskets.Line(sku="b", description="B", quantity=7, unit_price="0.10", tax_rate="19"),
    ]
    payment = shop.paid("tok_refund_fails_later", lines=lines)
    first = refund_lines(shop, payment.order_id, {2: 2})
    second = refund_lines(shop, payment.order_id, {2: 4})
    shop.run_jobs()
    simulator = shop.provider.simulator
    simulator.advance(86_400)
    # Only the first comes back: the second's news is dropped.
    reference = models.FactLink.objects.get(refund_id=first).reference
    shop.deliver(d for d in shop.deliveries() if reference.encode() in d.body)

    assert shop.refund_of(first).status == "failed"
    third = refund_lines(shop, payment.order_id, {2: 3})
    amounts = [shop.refund_of(one).amount_minor for one in (second, third)]
    assert sum(amounts) == 70 + 13


def test_a_refund_by_lines_is_safe_to_repeat(shop: Shop) -> None:
    payment = shop.paid()
    first = refund_lines(shop, payment.order_id, {1: 2}, key="back")
    assert refund_lines(shop, payment.order_id, {1: 2}, key="back") == first
    with pytest.raises(errors.IdempotencyKeyReused):
        refund_lines(shop, payment.order_id, {1: 1}, key="back")
    with pytest.raises(errors.IdempotencyKeyReused):
        shop.refund(payment, shop.refund_of(first).amount_minor, idempotency_key="back")
    assert models.Refund.objects.count() == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({}, "at least one line is required"),
        ({9: 1}, "the order has no line 9"),
        ({1: 0}, "a whole number of at least 1"),
        ({1: -1}, "a whole number of at least 1"),
        ({1: True}, "a whole number of at least 1"),
    ],
)
def test_lines_that_are_none_are_refused(
    shop: Shop, quantities: dict[int, int], message: str
) -> None:
    payment = shop.paid()
    with pytest.raises(errors.ValidationError, match=message):
        refund_lines(shop, payment.order_id, quantities)


def test_what_is_not_paid_is_not_refunded(shop: Shop) -> None:
    order_id = shop.place()
    with pytest.raises(refunding_lines.OrderNotPaid, match=f"{order_id} has no captured payment"):
        refund_lines(shop, order_id, {1: 1})
    with pytest.raises(operations.OrderNotFound, match="order 'ord_0' not found"):
        refund_lines(shop, "ord_0", {1: 1})
    with pytest.raises(
        refunds.RefundExceedsBalance, match=r"1 EUR exceeds the refundable 0.00 EUR"
    ):
        shop.refund(shop.payment(order_id), 1)


def test_a_refund_is_positive_and_in_the_payments_currency(shop: Shop) -> None:
    payment = shop.paid()
    with pytest.raises(CurrencyMismatch, match="is in EUR, not USD"):
        shop.refund(payment, 100, currency="USD")
    for amount in (0, -1):
        with pytest.raises(errors.ValidationError, match="greater than zero"):
            shop.refund(payment, amount)


def test_one_key_is_one_refund(shop: Shop) -> None:
    payment = shop.paid()
    first = shop.refund(payment, 300, idempotency_key="k")
    assert shop.refund(payment, 300, idempotency_key="k") == first
    with pytest.raises(errors.IdempotencyKeyReused):
        shop.refund(payment, 400, idempotency_key="k")
    with pytest.raises(errors.IdempotencyKeyReused):
        shop.refund(payment, 300, idempotency_key="k", reason="damaged")
    assert shop.fresh(payment).pending_refund_minor == 300


def test_refunds_made_at_once_never_exceed_what_is_left(shop: Shop) -> None:
    """From threads with commits of their own: on PostgreSQL as many connections."""
    payment = shop.paid()
    several = 4 if payment._state.db == "default" and _is_postgres() else 1
    groups = [group_commit.GroupCommit() for _ in range(several)]

    def refund(number: int) -> bool:
        refund_id = ids.new(ids.REFUND)
        try:
            groups[number % several].run_blocking(
                lambda: refunds.create_refund(
                    refund_id=refund_id,
                    payment_id=payment.id,
                    amount=Money(300, "EUR"),
                    now=clock.now(),
                )
            )
        except refunds.RefundExceedsBalance:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(refund, range(16)))
    for group in groups:
        group.close()

    assert sum(done) == 3
    assert shop.fresh(payment).pending_refund_minor == 900
    shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.refunded_minor, payment.pending_refund_minor) == (900, 0)
    assert shop.agrees()


def test_units_refunded_at_once_never_exceed_the_line(shop: Shop) -> None:
    lines = [
        baskets.Line(sku="a", description="A", quantity=2, unit_price="1.00"),
        baskets.Line(sku="b", description="B", quantity=1, unit_price="8.00"),
    ]
    payment = shop.paid(lines=lines)
    several = 4 if _is_postgres() else 1
    groups = [group_commit.GroupCommit() for _ in range(several)]

    def refund(number: int) -> bool:
        refund_id = ids.new(ids.REFUND)
        try:
            groups[number % several].run_blocking(
                lambda: refunding_lines.refund_lines(
                    order_id=payment.order_id,
                    quantities={1: 1},
                    refund_id=refund_id,
                    now=clock.now(),
                )
            )
        except refunding_lines.QuantityExceedsRefundable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(refund, range(8)))
    for group in groups:
        group.close()
    assert sum(done) == 2


def _is_postgres() -> bool:
    from django.db import connection

    return connection.vendor == "postgresql"


def test_a_refund_that_comes_back_can_be_made_again(shop: Shop) -> None:
    payment = shop.paid("tok_refund_fails_later")
    first = shop.refund(payment, 1000)
    shop.run_jobs()
    assert (shop.fresh(payment).status, shop.balances()) == ("refunded", RETURNED)

    shop.provider.simulator.advance(86_400)
    shop.deliver(shop.deliveries())

    payment = shop.fresh(payment)
    assert (payment.status, payment.refunded_minor, payment.pending_refund_minor) == (
        "captured",
        0,
        0,
    )
    assert shop.refund_of(first).status == "failed"
    assert shop.balances()[RECEIVABLE] == 1000
    assert shop.agrees()

    second = shop.refund(payment, 1000)
    assert shop.refund_of(second).tax_minor == 160
    shop.run_jobs()
    assert (shop.fresh(payment).status, shop.balances()) == ("refunded", RETURNED)
    assert shop.agrees()


def test_a_pending_refund_stays_reserved_until_it_succeeds(shop: Shop) -> None:
    payment = shop.paid("tok_refund_pending")
    refund_id = shop.refund(payment, 400)
    shop.run_jobs(rounds=2)
    payment = shop.fresh(payment)
    assert (payment.status, payment.refunded_minor, payment.pending_refund_minor) == (
        "captured",
        0,
        400,
    )
    assert shop.agrees()

    shop.provider.simulator.advance(86_400)
    shop.run_jobs()
    payment = shop.fresh(payment)
    assert (payment.status, payment.refunded_minor, payment.pending_refund_minor) == (
        "partially_refunded",
        400,
        0,
    )
    assert shop.refund_of(refund_id).status == "succeeded"
    assert shop.agrees()


def by_hand(shop: Shop, payment: models.Payment, amount_minor: int) -> None:
    """Refund at the provider's own dashboard, without a key of ours."""
    shop.provider.simulator.refund(
        RefundRequest(
            key=f"dashboard-{amount_minor}",
            reference=payment.attempts.get(operation="charge").reference,
            amount=Money(amount_minor, payment.currency),
        )
    )


def test_a_refund_made_at_the_provider_counts_against_what_is_left(shop: Shop) -> None:
    payment = shop.paid()
    by_hand(shop, payment, 700)
    shop.deliver(shop.deliveries())

    payment = shop.fresh(payment)
    assert (payment.status, payment.refunded_minor) == ("partially_refunded", 700)
    assert shop.agrees()
    with pytest.raises(
        refunds.RefundExceedsBalance, match=r"4.00 EUR exceeds the refundable 3.00 EUR"
    ):
        shop.refund(payment, 400)
    rest = shop.refund(payment, 300)
    assert shop.refund_of(rest).tax_minor == 48
    shop.run_jobs()
    assert shop.balances() == RETURNED


def test_a_refund_told_only_by_the_charges_total_counts_too(shop: Shop) -> None:
    payment = shop.paid()
    by_hand(shop, payment, 700)
    shop.deliver(d for d in shop.deliveries() if b'"type":"refund.' not in d.body)
    assert shop.fresh(payment).refunded_minor == 700
    shop.deliver(shop.deliveries())
    assert shop.fresh(payment).refunded_minor == 700
    assert shop.agrees()


def test_a_refund_the_provider_turns_down_is_released(shop: Shop) -> None:
    """More was refunded by hand than we had heard of."""
    payment = shop.paid()
    by_hand(shop, payment, 700)
    refund_id = shop.refund(payment, 500)
    shop.run_jobs()
    assert shop.refund_of(refund_id).status == "failed"
    assert shop.fresh(payment).pending_refund_minor == 0
    shop.deliver(shop.deliveries())
    payment = shop.fresh(payment)
    assert (payment.refunded_minor, payment.pending_refund_minor) == (700, 0)
    assert shop.agrees()


def by_command(shop: Shop, payment: models.Payment, **options: Any) -> tuple[str, str]:
    """`bursar refund`: the refund's id and the rest of what it prints."""
    given = {
        "amount": "",
        "lines": [],
        "reason": "",
        "key": "",
        "allow_duplicate": False,
        **options,
    }
    refund_id, _, rest = refund_command.refund(order=payment.order_id, **given).partition(" ")
    shop.run_jobs()
    return refund_id, rest


@pytest.mark.parametrize("given", [{"amount": "2.50"}, {"lines": ["1=1"]}, {}])
def test_the_same_command_repeated_is_the_same_refund(shop: Shop, given: dict[str, Any]) -> None:
    payment = shop.paid()
    first, rest = by_command(shop, payment, reason="broken", **given)
    assert rest == "created; a worker processes it"
    again, rest = by_command(shop, payment, reason="broken", **given)
    made = models.Refund.objects.get()
    assert (again, made.id) == (first, first)
    assert rest == (
        f"already exists: {Money(made.amount_minor, 'EUR')}, "
        f"{made.created_at:%Y-%m-%d %H:%M} UTC, status succeeded. No further refund was created; "
        "to create another one, add --allow-duplicate"
    )
    assert shop.fresh(payment).refunded_minor == made.amount_minor


def test_another_command_and_one_that_is_asked_for_again_are_other_refunds(shop: Shop) -> None:
    payment = shop.paid()
    by_command(shop, payment, amount="1.00")
    by_command(shop, payment, amount="1")  # the same amount
    assert shop.fresh(payment).refunded_minor == 100
    by_command(shop, payment, amount="1.00", reason="late")
    by_command(shop, payment, amount="1.00", allow_duplicate=True)
    by_command(shop, payment, amount="1.00", key="mine")
    assert by_command(shop, payment, amount="1.00", key="mine")[1].endswith("use another --key")
    assert shop.fresh(payment).refunded_minor == 400
    by_command(shop, shop.paid(), amount="1.00")
    assert models.Refund.objects.count() == 5


def test_a_line_named_twice_is_refused(shop: Shop) -> None:
    with pytest.raises(errors.ValidationError, match="each line may occur only once"):
        by_command(shop, shop.paid(), lines=["1=1", "1=2"])
