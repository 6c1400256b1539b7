from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.db import DatabaseError, connection

from bursar import errors, group_commit
from bursar.imports import mapping, row_errors
from bursar.money import Money
from bursar.orders import imports
from bursar.orders.invoice_rows import SkippedRow
from bursar.orders.models import Order, OrderLine
from bursar.payments import provider_accounts
from bursar.payments.models import Payment
from tests.conftest import Database

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
HEADER = "number,when,code,text,count,price,money,tax,token,who\n"
GOOD = "A-1,2026-03-01 10:00,LMP,Storm lantern,2,10.00,EUR,19,tok_visa,c-1\n"
MAPPING = """
name = "shop"
[columns]
invoice = "number"
placed_at = "when"
sku = "code"
description = "text"
quantity = "count"
unit_price = "price"
[buyer]
customer = "who"
[format]
time = "%Y-%m-%d %H:%M"
time_zone = "Europe/Berlin"
[currency]
column = "money"
[tax_rate]
column = "tax"
[method]
column = "token"
"""
LISTING = """
[credit_notes]
invoice_prefix = "CN-"
action = "list"
[unsellable]
action = "list"
reasons = ["quantity_not_positive", "price_not_positive", "description_missing"]
"""


def count_rows() -> Mapping[str, int]:
    """How many rows each table of Bursar holds."""
    tables = sorted(model._meta.db_table for model in apps.get_app_config("bursar").get_models())
    counts = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
    assert {"bursar_order", "bursar_importedfile", "bursar_job"} <= set(counts)
    return counts


def add_sandbox() -> None:
    group_commit.commits.run_blocking(
        lambda: provider_accounts.create_account(
            name="sandbox", provider="sandbox", config={}, now=NOW
        )
    )


def take_in(
    folder: Path,
    rows: str | bytes,
    *,
    text: str = MAPPING,
    name: str = "shop.csv",
    account: str | None = None,
    method: str = "",
    now: datetime = NOW,
) -> imports.ImportReport:
    path = folder / name
    path.write_bytes(rows if isinstance(rows, bytes) else (HEADER + rows).encode())
    return imports.import_file(
        path=path,
        mapping=mapping.parse(text),
        provider_account=account,
        method=method,
        now=now,
    )


def refused(folder: Path, rows: str | bytes, **how: str) -> list[str]:
    """What is said about a file, after which nothing has changed."""
    before = count_rows()
    with pytest.raises(row_errors.ImportRefused) as refusal:
        take_in(folder, rows, **how)  # type: ignore[arg-type]
    assert count_rows() == before
    return [str(problem) for problem in refusal.value.problems]


def test_an_invoice_is_an_order_with_its_lines(database: Database, tmp_path: Path) -> None:
    rows = (
        GOOD
        + "A-2,2026-07-01 09:30,ROP,Rope,1,7.50,EUR,7,tok_visa,c-2\n"
        + "A-1,2026-03-01 09:59,TEA,Tea,3,1.05,EUR,7,tok_visa,c-1\n"
    )

    report = take_in(tmp_path, rows)

    assert report == imports.ImportReport(
        file="shop.csv",
        orders=2,
        existing_orders=0,
        lines=3,
        sums=(Money(2380 + 337 + 802, "EUR"),),
        skipped_rows=(),
    )
    order = Order.objects.get(reference="A-1")
    assert (order.total_minor, order.tax_minor, order.currency) == (2717, 402, "EUR")
    assert order.placed_at == datetime(2026, 3, 1, 8, 59, tzinfo=UTC)
    assert Order.objects.get(reference="A-2").placed_at == datetime(2026, 7, 1, 7, 30, tzinfo=UTC)
    assert order.buyer == {"customer": "c-1"}
    assert order.idempotency_key == "import/shop/A-1"
    lines = order.lines.order_by("position").values_list("sku", "quantity", "gross_minor")
    assert list(lines) == [("LMP", 2, 2380), ("TEA", 3, 337)]
    assert Payment.objects.count() == 0


def test_with_an_account_every_order_is_to_be_charged(database: Database, tmp_path: Path) -> None:
    add_sandbox()

    take_in(tmp_path, GOOD, account="sandbox")

    payment = Payment.objects.get()
    assert (payment.amount_minor, payment.payment_method_token, payment.status) == (
        2380,
        "tok_visa",
        "pending",
    )
    assert count_rows()["bursar_job"] == 1


def test_a_method_may_be_given_where_the_mapping_has_none(
    database: Database, tmp_path: Path
) -> None:
    add_sandbox()
    text = MAPPING.replace('[method]\ncolumn = "token"', "")

    take_in(tmp_path, GOOD, text=text, account="sandbox", method="tok_amex")

    assert Payment.objects.get().payment_method_token == "tok_amex"


@pytest.mark.parametrize(
    ("text", "account", "method", "message"),
    [
        (
            "",
            "sandbox",
            "",
            "charging needs a payment method: set [method] in the mapping or pass one",
        ),
        ("column", "sandbox", "tok_visa", "the mapping already sets the payment method"),
        ("", None, "tok_visa", "a payment method needs a provider account"),
        (
            "",
            "sandbox",
            "4242424242424242",
            "looks like a card number; card numbers are never stored",
        ),
    ],
)
def test_there_is_one_method(
    tmp_path: Path, text: str, account: str | None, method: str, message: str
) -> None:
    chosen = MAPPING if text else MAPPING.replace('[method]\ncolumn = "token"', "")

    with pytest.raises(errors.ValidationError) as refusal:
        take_in(tmp_path, GOOD, text=chosen, account=account, method=method)

    assert refusal.value.message == message


def test_the_same_file_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    add_sandbox()
    first = take_in(tmp_path, GOOD, account="sandbox")
    before = count_rows()

    again = take_in(
        tmp_path, GOOD, name="renamed.csv", account="sandbox", now=NOW + timedelta(days=1)
    )

    assert count_rows() == before
    assert again.already_imported
    assert not first.already_imported
    assert (again.file, again.orders, again.sums) == ("shop.csv", 1, first.sums)


def test_what_fails_at_the_very_end_leaves_nothing(database: Database, tmp_path: Path) -> None:
    add_sandbox()
    before = count_rows()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE bursar_importedfile RENAME COLUMN purpose TO gone")

    with pytest.raises(DatabaseError):
        take_in(tmp_path, GOOD + GOOD.replace("A-1", "A-2"), account="sandbox")

    assert count_rows() == before


def test_the_same_file_twice_at_once_comes_in_once(database: Database, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        coming = [pool.submit(take_in, tmp_path, GOOD, name=f"{number}.csv") for number in range(4)]
        reports = [future.result() for future in coming]

    assert Counter(report.already_imported for report in reports) == {False: 1, True: 3}
    assert (Order.objects.count(), OrderLine.objects.count()) == (1, 1)


def test_an_invoice_in_two_files_is_placed_once(database: Database, tmp_path: Path) -> None:
    take_in(tmp_path, GOOD)
    more = GOOD + GOOD.replace("A-1", "A-2")

    report = take_in(tmp_path, more, name="more.csv", now=NOW + timedelta(days=1))

    assert (report.orders, report.existing_orders, report.already_imported) == (2, 1, False)
    assert Order.objects.count() == 2


def test_an_invoice_with_other_content_refuses_its_file(database: Database, tmp_path: Path) -> None:
    take_in(tmp_path, GOOD)
    known = Order.objects.get().id
    other = GOOD.replace("A-1", "A-0") + GOOD.replace("10.00", "11.00")

    actual = refused(tmp_path, other, name="other.csv")

    assert actual == [
        (
            f"line 3: invoice A-1 already exists as {known} (imported from shop.csv) with different "
            "content, provider account or payment method"
        )
    ]


def test_an_uncharged_file_is_not_charged_by_coming_again(
    database: Database, tmp_path: Path
) -> None:
    add_sandbox()
    take_in(tmp_path, GOOD)

    actual = refused(tmp_path, GOOD, account="sandbox")

    assert len(actual) == 1
    assert "with different content, provider account or payment method" in actual[0]


def test_credit_notes_and_unsellable_rows_are_listed_by_choice(
    database: Database, tmp_path: Path
) -> None:
    rows = (
        "CN-1,2026-03-01 10:00,LMP,Storm lantern,-1,10.00,EUR,19,,c-1\n"
        + GOOD
        + GOOD.replace(",2,10.00", ",-3,10.00")
        + GOOD.replace("10.00", "0.00")
        + GOOD.replace("10.00", "-0.50")
        + GOOD.replace("Storm lantern", " ")
    )

    report = take_in(tmp_path, rows, text=MAPPING + LISTING)

    assert (report.orders, report.lines, report.sums) == (1, 1, (Money(2380, "EUR"),))
    assert report.credit_notes == (SkippedRow(line=2, invoice="CN-1", reason="credit_note"),)
    assert report.unsellable == (
        SkippedRow(line=4, invoice="A-1", reason="quantity_not_positive"),
        SkippedRow(line=5, invoice="A-1", reason="price_not_positive"),
        SkippedRow(line=6, invoice="A-1", reason="price_not_positive"),
        SkippedRow(line=7, invoice="A-1", reason="description_missing"),
    )
    again = take_in(tmp_path, rows, text=MAPPING + LISTING)
    assert again.skipped_rows == report.skipped_rows


NOT_LISTED = "to skip such rows, list the reason in [unsellable] of the mapping"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            GOOD.replace("EUR", "EURO"),
            "line 3, money: 'EURO' is not an active ISO 4217 currency code or supported asset",
        ),
        (
            GOOD.replace("EUR", "eur"),
            "line 3, money: 'eur' is not an active ISO 4217 currency code or supported asset",
        ),
        (GOOD.replace("10.00", "10.005"), "line 3, price: '10.005' has 3 decimals; EUR has 2"),
        (
            GOOD.replace("10.00", "10.0").replace("EUR", "JPY"),
            "line 3, price: '10.0' has 1 decimals; JPY has 0",
        ),
        (GOOD.replace(",2,", ",-2,"), f"line 3, count: quantity not positive: '-2'; {NOT_LISTED}"),
        (GOOD.replace(",2,", ",0,"), f"line 3, count: quantity not positive: '0'; {NOT_LISTED}"),
        (GOOD.replace("10.00", "-1"), f"line 3, price: price not positive: '-1'; {NOT_LISTED}"),
        (GOOD.replace("10.00", "0"), f"line 3, price: price not positive: '0'; {NOT_LISTED}"),
        (GOOD.replace("Storm lantern", ""), f"line 3, text: description missing: ''; {NOT_LISTED}"),
        (GOOD.replace("LMP", ""), f"line 3, code: sku missing: ''; {NOT_LISTED}"),
        (
            GOOD.replace("10.00", "1" + 30 * "0"),
            "line 3, price: an amount is at most 9,007,199,254,740,991 minor units in size",
        ),
        (
            GOOD.replace(",2,", ",1" + 30 * "0" + ","),
            "line 3, count: quantity must be a whole number from 1 to 1,000,000,000, not 1000000000000000000000000000000",
        ),
        (
            GOOD.replace("10.00", "90000000000000.00"),
            "line 3, price: an amount is at most 9,007,199,254,740,991 minor units in size",
        ),
        (
            GOOD.replace("10.00", "NaN"),
            "line 3, price: 'NaN' is not a plain decimal number such as 12.30",
        ),
        (
            GOOD.replace("10.00", "1e400"),
            "line 3, price: '1e400' is not a plain decimal number such as 12.30",
        ),
        (
            GOOD.replace("10.00", "١٠"),
            "line 3, price: '١٠' is not a plain decimal number such as 12.30",
        ),
        (
            GOOD.replace("10.00", "1_0"),
            "line 3, price: '1_0' is not a plain decimal number such as 12.30",
        ),
        (
            GOOD.replace("10.00", '"1,000.00"'),
            "line 3, price: '1,000.00' is not a plain decimal number such as 12.30",
        ),
        (
            GOOD.replace("10.00", "=1+1"),
            "line 3, price: '=1+1' is not a plain decimal number such as 12.30",
        ),
        (GOOD.replace(",2,", ",٢,"), "line 3, count: '٢' is not a whole number such as 12"),
        (GOOD.replace(",2,", ",²,"), "line 3, count: '²' is not a whole number such as 12"),
        (GOOD.replace(",2,", ",1.5,"), "line 3, count: '1.5' is not a whole number such as 12"),
        (GOOD.replace(",2,", ",,"), "line 3, count: '' is not a whole number such as 12"),
        (
            GOOD.replace(",19,", ",19 %,"),
            "line 3, tax: '19 %' is not a percentage such as 19 or 5.5",
        ),
        (GOOD.replace(",19,", ",101,"), "line 3, tax: '101' is not a percentage such as 19 or 5.5"),
        (
            GOOD.replace("2026-03-01", "2026-02-30"),
            "line 3, when: '2026-02-30 10:00' is not a time in the format %Y-%m-%d %H:%M",
        ),
        (
            GOOD.replace("2026-03-01", "٢026-03-01"),
            "line 3, when: '٢026-03-01 10:00' is not a time in the format %Y-%m-%d %H:%M",
        ),
        (
            GOOD.replace("2026-03-01 10:00", "2026-03-29 02:30"),
            "line 3, when: '2026-03-29 02:30' does not exist in Europe/Berlin: clocks were set forward",
        ),
        (
            GOOD.replace("Storm lantern", "4242 4242 4242 4242"),
            "line 3, text: looks like a card number; card numbers are never stored",
        ),
        (
            GOOD.replace("10.00", "4242424242424242"),
            "line 3, price: looks like a card number; card numbers are never stored",
        ),
        (
            GOOD.replace("A-1", "4242-4242-4242-4242"),
            "line 3, number: looks like a card number; card numbers are never stored",
        ),
        (
            GOOD.replace("A-1", ""),
            "line 3, number: invoice number missing: use 1 to 120 printable characters, no leading or trailing spaces",
        ),
        (
            GOOD.replace("A-1", " A-1"),
            "line 3, number: ' A-1' is not an invoice number: use 1 to 120 printable characters, no leading or trailing spaces",
        ),
        (GOOD.replace("Storm", 300 * "x"), "line 3, text: must have at most 300 characters"),
        (GOOD.replace("EUR", "GBP"), "line 3, money: 'GBP', but line 2 of this invoice has 'EUR'"),
        (GOOD.replace("c-1", "c-2"), "line 3, who: 'c-2', but line 2 of this invoice has 'c-1'"),
        (GOOD.replace(",c-1", ""), "line 3: 9 columns where the header has 10"),
        (GOOD.replace("c-1", "c-1,x"), "line 3: 11 columns where the header has 10"),
        (
            GOOD.replace("Storm lantern", '"Storm lantern'),
            "line 3: a quote opened here is not closed",
        ),
        (
            GOOD.replace("lantern", "lan\0tern"),
            "line 3: NUL byte; if the file is UTF-16, save it as UTF-8",
        ),
        (
            GOOD.replace("c-1\n", "c-"),
            "line 3: the last line has no line end; is the file truncated?",
        ),
    ],
    ids=lambda value: "" if value.startswith("line") else None,
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_bad_row_is_told_by_its_line_and_nothing_changes(
    database: Database, tmp_path: Path, row: str, expected: str
) -> None:
    assert refused(tmp_path, GOOD + row) == [expected]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "line 1: the file is empty"),
        (HEADER.encode(), "line 1: the file has a header but no rows"),
        ((HEADER + GOOD).encode("utf-16"), "line 1: the file is UTF-16; save it as UTF-8"),
        (HEADER.replace("who", "text").encode(), "line 1: column 'text' occurs twice"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_bad_file_is_told_and_nothing_changes(
    database: Database, tmp_path: Path, data: bytes, expected: str
) -> None:
    assert refused(tmp_path, data) == [expected]


def test_an_unknown_provider_account_is_told_and_nothing_changes(
    database: Database, tmp_path: Path
) -> None:
    actual = refused(tmp_path, GOOD, account="nobody")

    assert actual == ["line 2: provider account 'nobody' not found"]


def test_a_refused_credit_note_is_a_mistake(database: Database, tmp_path: Path) -> None:
    text = MAPPING + '[credit_notes]\ninvoice_prefix = "CN-"\naction = "refuse"\n'

    actual = refused(tmp_path, GOOD.replace("A-1", "CN-1"), text=text)

    assert actual == ["line 2, number: 'CN-1' is a credit note; the mapping refuses credit notes"]


def test_a_row_without_a_token_cannot_be_charged(database: Database, tmp_path: Path) -> None:
    add_sandbox()

    actual = refused(tmp_path, GOOD.replace("tok_visa", ""), account="sandbox")

    assert actual == ["line 2, token: payment method missing"]


def test_a_card_number_is_never_echoed(database: Database, tmp_path: Path) -> None:
    with pytest.raises(row_errors.ImportRefused) as refusal:
        take_in(tmp_path, GOOD.replace("Storm lantern", "card 4242424242424242"))

    assert "4242" not in f"{refusal.value} {refusal.value.problems} {refusal.value.facts}"
    assert refusal.value.problems[0].rule == "card_number_refused"


def test_all_mistakes_are_told_at_once_up_to_a_thousand(database: Database, tmp_path: Path) -> None:
    bad = GOOD.replace("10.00", "NaN").replace(",2,", ",x,")

    actual = refused(tmp_path, GOOD + bad + GOOD.replace(",19,", ",x,"))
    assert actual == [
        "line 3, price: 'NaN' is not a plain decimal number such as 12.30",
        "line 3, count: 'x' is not a whole number such as 12",
        "line 4, tax: 'x' is not a percentage such as 19 or 5.5",
    ]
    with pytest.raises(row_errors.ImportRefused) as refusal:
        take_in(tmp_path, 600 * bad)
    assert (len(refusal.value.problems), refusal.value.more) == (1000, True)
    assert str(refusal.value) == (
        "shop.csv: 1000 or more errors, first: line 2, price: 'NaN' is not a plain "
        "decimal number such as 12.30; nothing was imported"
    )


def test_decimal_commas_and_semicolons(database: Database, tmp_path: Path) -> None:
    text = MAPPING.replace("[format]", '[format]\ndelimiter = ";"\ndecimal_mark = ","')
    rows = (HEADER + GOOD).replace(",", ";").replace("10.00", "10,50").replace(";19;", ";5,5;")

    report = take_in(tmp_path, rows.encode(), text=text)

    assert report.sums == (Money(2100 + 116, "EUR"),)  # 115.5 is rounded half to even
    pointed = rows.replace("10,50", "10.50")
    assert refused(tmp_path, pointed.encode(), text=text) == [
        "line 2, price: '10.50' has a decimal point; the mapping's decimal_mark is a comma"
    ]
