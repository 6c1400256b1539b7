"""What the provider keeps, converts and pays out is booked as it says."""

from __future__ import annotations

from bursar import clock
from bursar.money import Money
from bursar.payments import charges, facts, models
from bursar.providers.interface import ObjectKind, Snapshot
from tests.conftest import Database
from tests.shop import ACCOUNT, FEES, RECEIVABLE, Shop, commit

SOLD = {"sales:EUR": -840, "tax_payable:EUR": -160}
TRANSIT = f"cash_in_transit/{ACCOUNT}:EUR"


def test_a_fee_is_booked_once_however_often_it_is_told(database: Database, closing: None) -> None:
    shop = Shop(fee_basis_points=150, fee_fixed_minor=20)
    payment = shop.paid()
    expected = {**SOLD, FEES: 35, RECEIVABLE: 965}
    assert shop.balances() == expected

    shop.deliver(shop.deliveries(duplicate=1.0))

    assert shop.balances() == expected
    assert models.Fact.objects.filter(kind="fee").count() == 1
    assert models.FactLink.objects.get(kind="fee").payment_id == payment.id
    assert shop.agrees()


def test_a_fee_grows_with_each_capture(database: Database, closing: None) -> None:
    shop = Shop(fee_basis_points=100)
    payment = shop.authorized()
    seen = []
    for part in (400, 600):
        shop.capture(shop.fresh(payment), part)
        shop.run_jobs()
        seen.append(shop.balances()[FEES])
    shop.deliver(reversed(shop.deliveries()))
    assert seen == [4, 10]
    assert shop.balances() == {**SOLD, FEES: 10, RECEIVABLE: 990}
    assert shop.agrees()


def told(reference: str, parent_reference: str = "") -> Snapshot:
    return Snapshot(
        kind=ObjectKind.FEE,
        reference=reference,
        status="posted",
        amount=Money(25, "EUR"),
        parent_reference=parent_reference,
    )


def tell(snapshot: Snapshot) -> list[str]:
    return commit(
        lambda: facts.append_facts(
            provider_account=ACCOUNT, snapshots=[snapshot], source="settlement", now=clock.now()
        )
    )


def test_a_fee_a_month_later_belongs_to_its_charges_payment(shop: Shop) -> None:
    payment = shop.paid()
    charge = payment.attempts.get().reference
    assert tell(told("fee_1", parent_reference=charge)) == [payment.id]
    assert tell(told("fee_1", parent_reference=charge)) == [payment.id]
    assert shop.balances() == {**SOLD, FEES: 25, RECEIVABLE: 975}


def test_a_fee_of_no_payment_is_booked_without_asking_a_person(shop: Shop) -> None:
    assert tell(told("monthly")) == []
    assert shop.balances() == {FEES: 25, RECEIVABLE: -25}
    assert shop.reviews() == []


def test_a_fee_before_its_charge_is_taken_over_by_the_payment(shop: Shop) -> None:
    order_id = shop.place()
    payment = shop.payment(order_id)
    assert tell(told("fee_1", parent_reference="ch_1")) == []
    assert shop.balances() == {FEES: 25, RECEIVABLE: -25}
    commit(
        lambda: charges.prepare_charge(payment_id=payment.id, attempt_id="att_1", now=clock.now())
    )
    charge = Snapshot(
        kind=ObjectKind.CHARGE,
        reference="ch_1",
        status="captured",
        amount=Money(1000, "EUR"),
        captured_minor=1000,
        key="att_1",
    )
    assert tell(charge) == [payment.id]
    assert shop.balances() == {**SOLD, FEES: 25, RECEIVABLE: 975}
    subjects = set(models.FactLink.objects.values_list("kind", "linked_by"))
    assert subjects == {("charge", "key"), ("fee", "parent")}


def test_a_payout_is_on_its_way_to_the_bank(shop: Shop) -> None:
    shop.paid()
    shop.provider.simulator.create_payouts()
    shop.deliver(shop.deliveries())
    assert shop.balances() == {**SOLD, TRANSIT: 1000}
    assert shop.agrees()
    assert shop.reviews() == []


def test_what_is_settled_in_another_currency(database: Database, closing: None) -> None:
    shop = Shop(settlement_currency="EUR", rates={"USD": "0.9"}, fee_basis_points=100)
    payment = shop.paid(currency="USD")
    sold = {"fx_clearing:USD": 1000, "sales:USD": -840, "tax_payable:USD": -160}
    assert shop.balances() == {FEES: 9, "fx_clearing:EUR": -900, RECEIVABLE: 891, **sold}
    for _ in range(3):
        shop.refund(shop.fresh(payment), 333)
        shop.run_jobs()
        assert shop.agrees()
    shop.refund(shop.fresh(payment), 1)
    shop.run_jobs()
    assert shop.balances() == {FEES: 9, RECEIVABLE: -9, "sales:USD": -840, "sales_returns:USD": 840}
    assert shop.fresh(payment).status == "refunded"
