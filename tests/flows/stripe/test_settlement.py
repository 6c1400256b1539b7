"""From charges to a settled payout: the report reconciles to nothing, and planted trouble is named."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from bursar import clock
from bursar.imports.row_errors import ImportRefused
from bursar.payments import models, provider_accounts
from bursar.payments.statuses import CaptureMethod
from bursar.pricing import baskets
from bursar.providers.interface import Category
from bursar.reconciliation import run, settlement_reports
from bursar.reconciliation.models import SettlementBreak, SettlementReportLine
from bursar.reconciliation.settlement_matching import MatchStatus
from tests.flows.stripe.conftest import ACCOUNT, StripeShop
from tests.stripe import report as reports

DAY = 86_400


def write(tmp_path, rows, name="report.csv", columns=reports.COLUMNS):
    path = tmp_path / name
    path.write_text(reports.write(rows, columns), "utf-8")
    return path


def reconcile(path, **told):
    loaded = settlement_reports.read_file(path, provider_account=ACCOUNT)
    return run.reconcile(loaded, provider_account=ACCOUNT, now=clock.now(), **told)


def found(report) -> Counter[str]:
    return Counter(one.match_status.value for one in report.results)


def lines(cents: int):
    """An order of so many cents, no two alike."""
    return (
        baskets.Line(
            sku="a",
            description="a",
            quantity=1,
            unit_price=f"{cents // 100}.{cents % 100:02d}",
            tax_rate="0",
        ),
    )


def busy(stripe, *, charges: int) -> StripeShop:
    """Charges, refunds, partial captures, two disputes and charges abroad, a week ago."""
    shop: StripeShop = stripe(
        settlement="eur",
        rates={"usd": "0.9173"},
        config={"multicapture": True},
        now=int(clock.now().timestamp()) - 7 * DAY,
    )
    for number in range(charges):
        shop.place(lines=lines(1_000 + number), currency="USD" if number % 10 == 3 else "EUR")
    for number in range(2):
        shop.place("pm_card_createDispute", lines=lines(7_000 + number))
    shop.run_jobs()
    payments = list(models.Payment.objects.order_by("id"))
    for payment in payments[:charges:7]:
        shop.refund(payment, 300)
    for payment in payments[1:charges:20]:
        shop.refund(payment, 200)
        shop.run_jobs(rounds=1)
        shop.refund(payment, 150)
    split = shop.place(lines=lines(9_000), capture_method=CaptureMethod.MANUAL)
    shop.run_jobs()
    for part in (4_000, 5_000):
        shop.capture(shop.payment(split), part)
        shop.run_jobs()
    shop.book.close_dispute(shop.book.listed("dispute")[0]["id"], won=True)
    shop.book.close_dispute(shop.book.listed("dispute")[1]["id"], won=False)
    shop.hear()
    shop.book.now += 4 * DAY
    return shop


# --- fourteen kinds of trouble -------------------------------------------------------------------


class Trouble:
    """A report that can be spoilt, row by row."""

    def __init__(self, shop: StripeShop) -> None:
        self.shop = shop
        self.rows = reports.rows(shop.book)

    def take(self, category: str, **told: str) -> reports.Row:
        """A row of a kind that nothing was done to yet."""
        for row in self.rows:
            fits = all(row[name] == value for name, value in told.items())
            if row["reporting_category"] == category and "spoilt" not in row and fits:
                row["spoilt"] = "yes"
                return row
        raise AssertionError(category)

    def add_to(self, row: reports.Row, **cents: int) -> None:
        for name, more in cents.items():
            row[name] = f"{float(row[name]) + more / 100:.2f}"
        row["net"] = f"{float(row['gross']) - float(row['fee']):.2f}"


def fee_changed(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="")
    t.add_to(row, fee=5)
    return row["payment_intent_id"]


def exchange_rate(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="usd")
    t.add_to(row, gross=17)
    return row["payment_intent_id"]


def rounding(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="usd")
    t.add_to(row, gross=-1)
    return row["payment_intent_id"]


def wrong_currency(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="")
    row["currency"] = "gbp"
    return row["payment_intent_id"]


def missing_line(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="")
    t.rows.remove(row)
    return row["payment_intent_id"]


def extra_line(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="")
    t.rows.append(
        {
            **row,
            "balance_transaction_id": "txn_extra",
            "payment_intent_id": "pi_extra",
            "source_id": "ch_extra",
            "gross": "77.77",
            "fee": "1.00",
            "net": "76.77",
        }
    )
    return "pi_extra"


def duplicate_line(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="")
    t.rows.append(dict(row))
    return row["payment_intent_id"]


def sign_flipped(t: Trouble) -> str:
    row = t.take("refund")
    row["gross"] = row["gross"].removeprefix("-")
    row["net"] = row["gross"]
    return row["source_id"]


def reference_mangled(t: Trouble) -> str:
    row = t.take("charge", customer_facing_currency="")
    name = row["payment_intent_id"]
    row["payment_intent_id"] = row["source_id"] = name[:-3]
    return name


def capture_split(t: Trouble) -> str:
    [row] = {one["payment_intent_id"] for one in t.rows if one["gross"] in {"40.00", "50.00"}}
    return row


def refund_split(t: Trouble) -> str:
    row = t.take("refund", gross="-3.00")
    name = row["source_id"]
    part = {
        **row,
        "gross": "-1.00",
        "net": "-1.00",
        "source_id": "re_split",
        "balance_transaction_id": "txn_split",
    }
    t.add_to(row, gross=100)
    row["source_id"] = "re_rest"
    t.rows.append(part)
    return name


def chargeback(t: Trouble) -> str:
    [charge] = [c for c in t.shop.book.listed("charge") if c["amount"] == 1_040]
    made = t.shop.book.dispute(charge["id"])
    t.shop.delivered = len(t.shop.book.events)  # its webhook is lost
    moved = t.shop.book.moves[-1]
    t.shop.book.paid_out[moved["id"]] = t.rows[0]["automatic_payout_id"]
    t.rows.append(reports._row(t.shop.book, moved, t.rows[0]["automatic_payout_id"]))
    return str(made["id"])


def late_line(t: Trouble) -> str:
    t.shop.book.now += DAY
    t.shop.paid(lines=lines(8_642))
    return str(t.shop.book.listed("payment_intent")[0]["id"])


def payout_short(t: Trouble) -> str:
    row = t.take("payout")
    t.add_to(row, gross=250)
    return row["source_id"]


TROUBLES = {
    fee_changed: "fee_mismatch",
    exchange_rate: "amount_mismatch",
    rounding: "amount_mismatch",
    capture_split: "matched",
    refund_split: "matched",
    chargeback: "missing_in_books",
    late_line: "late",
    duplicate_line: "duplicate",
    wrong_currency: "currency_mismatch",
    missing_line: "missing_at_provider",
    extra_line: "missing_in_books",
    sign_flipped: "amount_mismatch",
    payout_short: "amount_mismatch",
    reference_mangled: "ambiguous",
}


def test_fourteen_kinds_of_trouble_are_each_classified_right(stripe, tmp_path):
    shop = busy(stripe, charges=45)
    shop.book.pay_out()
    shop.hear()
    trouble = Trouble(shop)
    expected = {plant(trouble): verdict for plant, verdict in TROUBLES.items()}
    assert len(expected) == len(TROUBLES) == 14

    report = reconcile(write(tmp_path, trouble.rows))

    got: dict[str, set[str]] = {}
    for one in report.results:
        for each in (*one.entries, *one.lines):
            got.setdefault(each.source, set()).add(one.match_status.value)
    for source, verdict in expected.items():
        assert verdict in got[source], (source, verdict, got[source])
    planted = set(expected)
    others = {
        source
        for source, verdicts in got.items()
        if verdicts != {"matched"} and source not in planted
    }
    assert others <= {
        s.source
        for one in report.results
        if one.match_status is MatchStatus.AMBIGUOUS
        for s in one.lines
    }
    told = Counter(one.match_status.value for one in report.breaks)
    assert told == Counter(v for v in TROUBLES.values() if v != "matched")
    assert SettlementBreak.objects.count() == len(report.breaks) == 12
    # What the books missed is booked now; what nobody can know is asked of a person.
    assert models.Fact.objects.filter(source="settlement", reference="pi_extra").exists()
    assert shop.reviews().count(run.REVIEW_CODE) == 11


# --- one by one ----------------------------------------------------------------------------------


def test_a_charge_whose_webhook_and_answer_were_lost_is_booked_from_the_report(stripe, tmp_path):
    shop = stripe()
    made = shop.book.create_intent(
        {
            "amount": "1234",
            "currency": "eur",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
    )
    shop.book.pay_out()

    report = reconcile(write(tmp_path, reports.rows(shop.book)))

    assert [(o.match_status, o.reason) for o in report.breaks] == [
        (MatchStatus.MISSING_IN_BOOKS, "no such movement in our books")
    ] * 2
    charge = models.Fact.objects.get(kind="charge")
    assert (charge.reference, charge.captured_minor, charge.source) == (
        made["id"],
        1234,
        "settlement",
    )
    assert provider_accounts.receivable_balances(ACCOUNT) == (
        provider_accounts.fetch_balance(ACCOUNT) or {}
    )
    assert "unmatched_provider_object" in shop.reviews()


def test_the_api_tells_the_same_as_the_report(stripe):
    shop = busy(stripe, charges=20)
    since = clock.now() - timedelta(days=30)
    asked = settlement_reports.fetch_lines(provider_account=ACCOUNT, since=since)
    report = run.reconcile(asked, provider_account=ACCOUNT, now=clock.now())
    assert found(report).keys() == {"matched"}
    again = run.reconcile(asked, provider_account=ACCOUNT, now=clock.now())
    assert (again.loaded, again.results) == (0, [])
    assert shop.agrees()


def test_what_is_late_comes_with_the_next_report(stripe, tmp_path):
    shop = stripe()
    shop.paid()
    shop.book.pay_out()
    first = reports.rows(shop.book)
    shop.paid()
    shop.hear()
    assert found(reconcile(write(tmp_path, first))) == {"matched": 2, "late": 1}
    shop.book.pay_out()
    shop.hear()
    second = [row for row in reports.rows(shop.book) if row not in first]
    report = reconcile(write(tmp_path, second, "second.csv"))
    assert found(report) == {"matched": 2}
    assert shop.reviews() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"net": "9.99"}, "line 2, net: net is 999, gross less fee 960"),
        ({"gross": "ten"}, "line 2, gross: is not an amount"),
        ({"gross": "10.001"}, "line 2, gross: has more decimals than EUR"),
        ({"currency": "zzz"}, "line 2, currency: is not a supported currency"),
        ({"created_utc": "yesterday"}, "line 2, created_utc: is not a date and time"),
        ({"balance_transaction_id": ""}, "line 2, reference: must not be empty"),
    ],
)
def test_a_report_with_a_mistake_changes_nothing(stripe, tmp_path, change, said):
    shop = stripe()
    shop.paid()
    shop.book.pay_out()
    rows = reports.rows(shop.book)
    with pytest.raises(ImportRefused) as caught:
        reconcile(write(tmp_path, [{**rows[0], **change}, *rows[1:]]))
    assert str(caught.value.problems[0]) == said
    assert not SettlementReportLine.objects.exists()


def test_a_report_without_a_column_it_needs_names_it(stripe, tmp_path):
    shop = stripe()
    shop.paid()
    shop.book.pay_out()
    columns = tuple(c for c in reports.COLUMNS if c != "payment_intent_id")
    with pytest.raises(ImportRefused, match="payment_intent_id"):
        reconcile(write(tmp_path, reports.rows(shop.book), columns=columns))


def test_columns_may_come_in_any_order(stripe, tmp_path):
    shop = stripe()
    shop.paid()
    shop.book.pay_out()
    shop.hear()
    rows = reports.rows(shop.book)
    path = write(tmp_path, rows, columns=tuple(reversed(reports.COLUMNS)))
    assert found(reconcile(path)) == {"matched": 2}
    first = SettlementReportLine.objects.order_by("id").first()
    assert first is not None
    assert (first.category, first.gross_minor, first.fee_minor) == (Category.CHARGE, 1000, 40)


def test_a_capture_after_its_first_part_was_settled_is_matched_with_the_rest(stripe, tmp_path):
    shop = stripe(config={"multicapture": True})
    payment = shop.authorized()
    shop.capture(payment, 400)
    shop.run_jobs()
    shop.book.pay_out()
    shop.hear()
    first = reports.rows(shop.book)
    assert found(reconcile(write(tmp_path, first))) == {"matched": 2}
    shop.capture(shop.fresh(payment), 600)
    shop.run_jobs()
    shop.book.pay_out()
    shop.hear()
    second = [row for row in reports.rows(shop.book) if row not in first]
    report = reconcile(write(tmp_path, second, "second.csv"))
    assert found(report) == {"matched": 2}
    assert provider_accounts.receivable_balances(ACCOUNT) == (
        provider_accounts.fetch_balance(ACCOUNT) or {}
    )
