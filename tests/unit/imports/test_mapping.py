from __future__ import annotations

from pathlib import Path

import pytest

from bursar.imports import mapping
from bursar.imports.mapping import Action, MappingSource, Reason

EXAMPLES = Path(__file__).parents[3] / "examples"
COLUMNS = """
[columns]
invoice = "I"
placed_at = "T"
sku = "S"
description = "D"
quantity = "Q"
unit_price = "P"
"""
SMALL = f"""
name = "small"
{COLUMNS}
[format]
time = "%Y-%m-%d"
time_zone = "UTC"
[currency]
fixed = "EUR"
[tax_rate]
fixed = "19"
"""


def test_a_small_mapping_chooses_nothing() -> None:
    actual = mapping.parse(SMALL)

    assert actual == mapping.InvoiceMapping(
        name="small",
        columns=mapping.ColumnMapping(
            invoice="I", placed_at="T", sku="S", description="D", quantity="Q", unit_price="P"
        ),
        format=mapping.FileFormat(
            delimiter=",",
            decimal_mark=".",
            time="%Y-%m-%d",
            time_zone="UTC",
            missing_line_end_allowed=False,
        ),
        currency=MappingSource(fixed="EUR"),
        tax_rate=MappingSource(fixed="19"),
        method=MappingSource(),
        buyer=(),
        credit_notes=None,
        unsellable=mapping.Unsellable(action=Action.REFUSE, reasons=()),
    )
    assert actual.columns_read() == ["I", "T", "S", "D", "Q", "P"]


def test_the_mapping_of_the_retail_data() -> None:
    actual = mapping.load(EXAMPLES / "mappings" / "online-retail.toml")

    assert actual.credit_notes == mapping.CreditNotes(invoice_prefix="C", action=Action.LIST)
    assert actual.unsellable.reasons == (Reason.QUANTITY, Reason.PRICE, Reason.DESCRIPTION)
    assert actual.buyer == (("country", "Country"), ("customer", "CustomerID"))


@pytest.mark.parametrize(
    ("before", "after", "param", "message"),
    [
        ('name = "small"', "", "name", "name is missing; it must be a string"),
        (
            '"small"',
            '"a/b"',
            "name",
            "name must be 1 to 60 of a-z, 0-9, - and _, beginning with a letter or digit",
        ),
        ('"small"', "3", "name", "name must be a string"),
        ('sku = "S"', "", "columns.sku", "columns.sku is missing; it must be a string"),
        ('sku = "S"', 'sku = ""', "columns.sku", "columns.sku must have 1 to 200 characters"),
        (
            'sku = "S"',
            'sku = "S"\nprice = "P"',
            "columns.price",
            (
                "columns.price is unknown; valid keys: description, invoice, placed_at, quantity, "
                "sku, unit_price"
            ),
        ),
        (
            '"UTC"',
            '"Mars/Base"',
            "format.time_zone",
            "format.time_zone must be an IANA time zone such as Europe/London",
        ),
        (
            '"UTC"',
            '"../../etc/passwd"',
            "format.time_zone",
            "format.time_zone must be an IANA time zone such as Europe/London",
        ),
        (
            'time_zone = "UTC"',
            "",
            "format.time_zone",
            "format.time_zone is required if format.time has no %z, and not allowed otherwise",
        ),
        (
            "%Y-%m-%d",
            "%Y-%m-%d %z",
            "format.time_zone",
            "format.time_zone is required if format.time has no %z, and not allowed otherwise",
        ),
        (
            "%Y-%m-%d",
            "%H:%M",
            "format.time",
            "format.time must have year, month and day, as in %Y-%m-%d %H:%M",
        ),
        (
            '"%Y-%m-%d"',
            '"%Y"\ndelimiter = "x"',
            "format.delimiter",
            r"format.delimiter must be one of ',', ';', '\t', '|'".replace("\t", "\\t"),
        ),
        (
            'fixed = "EUR"',
            'fixed = "euro"',
            "currency.fixed",
            "currency.fixed is invalid: 'euro' is not an active ISO 4217 currency code or supported asset",
        ),
        (
            'fixed = "EUR"',
            "",
            "currency.fixed",
            "currency.fixed or column is required, not both",
        ),
        (
            'fixed = "EUR"',
            'fixed = "EUR"\ncolumn = "C"',
            "currency.fixed",
            "currency.fixed or column is required, not both",
        ),
        (
            'fixed = "19"',
            'fixed = "19 %"',
            "tax_rate.fixed",
            "tax_rate.fixed is invalid: '19 %' is not a percentage such as 19 or 5.5",
        ),
        (
            'fixed = "19"',
            'fixed = "19"\n[unsellable]\naction = "skip"',
            "unsellable.action",
            "unsellable.action must be one of 'list', 'refuse'",
        ),
        (
            'fixed = "19"',
            'fixed = "19"\n[unsellable]\naction = "list"',
            "unsellable.reasons",
            "unsellable.reasons is missing; it must be an array of reasons",
        ),
        (
            'fixed = "19"',
            'fixed = "19"\n[unsellable]\naction = "list"\nreasons = ["ugly"]',
            "unsellable.reasons",
            (
                "unsellable.reasons must be some of quantity_not_positive, price_not_positive, "
                "description_missing, sku_missing"
            ),
        ),
        (
            'fixed = "19"',
            'fixed = "19"\n[credit_notes]\ninvoice_prefix = "C"',
            "credit_notes.action",
            "credit_notes.action is missing; it must be a string",
        ),
        (
            'fixed = "19"',
            'fixed = "19"\n[method]\nfixed = "4242 4242 4242 4242"',
            "method.fixed",
            "method.fixed is invalid: looks like a card number; a payment method is a provider token",
        ),
        (
            'fixed = "19"',
            'fixed = "19"\n[extra]',
            "extra",
            "extra is unknown; valid keys: buyer, columns, credit_notes, currency, format, method, name, tax_rate, unsellable",
        ),
        (
            'fixed = "EUR"',
            "fixed = EUR",
            None,
            "invalid TOML: Invalid value (at line 16, column 9)",
        ),
    ],
)
def test_a_wrong_key_is_named(before: str, after: str, param: str | None, message: str) -> None:
    with pytest.raises(mapping.InvalidMapping) as refusal:
        mapping.parse(SMALL.replace(before, after))

    assert (refusal.value.param, refusal.value.message) == (param, message)


def test_comments_do_not_change_what_a_mapping_is() -> None:
    plain, commented = mapping.parse(SMALL), mapping.parse(f"# hello\n{SMALL}")
    other = mapping.parse(SMALL.replace("19", "7"))

    assert plain.digest() == commented.digest()
    assert plain.digest() != other.digest()


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(mapping.InvalidMapping, match="is not UTF-8"):
        mapping.load(path)

    path.write_bytes(b"#" * 70_000)
    with pytest.raises(mapping.InvalidMapping, match="larger than"):
        mapping.load(path)

    path.write_bytes(b"a = " + b"[" * 50_000)
    with pytest.raises(mapping.InvalidMapping, match="invalid TOML"):
        mapping.load(path)

    with pytest.raises(mapping.InvalidMapping, match="cannot be read"):
        mapping.load(tmp_path)
