"""The command `bursar quote`: a quote as a table or JSON."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from bursar.pricing.quotes import Quote


def price(
    basket: Annotated[Path, typer.Argument(help="JSON file, or - for standard input.")],
    rules: Annotated[
        Optional[Path],  # noqa: UP045  (Typer reads this at run time)
        typer.Option(help="TOML file of pricing rules; default: BURSAR_PRICING_RULES."),
    ] = None,
    on: Annotated[
        Optional[datetime],  # noqa: UP045
        typer.Option(formats=["%Y-%m-%d"], help="Day of the quote; default: today."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the quote as JSON.")] = False,
) -> None:
    """Price the basket in BASKET and explain each step. Writes nothing and redeems no coupon."""
    from zoneinfo import ZoneInfo

    from bursar import clock, errors, settings
    from bursar.pricing import baskets, calculator
    from bursar.pricing import rules as pricing_rules

    try:
        data = (
            typer.get_binary_stream("stdin").read() if str(basket) == "-" else basket.read_bytes()
        )
    except OSError as error:
        raise errors.ValidationError(
            f"{basket} cannot be read: {error.strerror}", param="BASKET"
        ) from error
    path = rules or settings.current.pricing_rules
    loaded_rules = pricing_rules.load(path) if path else pricing_rules.parse("", name="no rules")
    zone = ZoneInfo(settings.current.time_zone)
    day = on.date() if on else clock.now().astimezone(zone).date()
    quote = calculator.price(baskets.read(data), day=day, rules=loaded_rules)
    if json:
        import orjson

        typer.echo(orjson.dumps(quote.to_json()))
    else:
        _print_quote(quote)


def _print_quote(quote: Quote) -> None:
    from rich.markup import escape

    from bursar.cli import output
    from bursar.money import Money

    def money(minor: int) -> str:
        return f"{Money(minor, quote.currency).amount:,f}"

    lines = output.table(
        f"Quote in {quote.currency}",
        "",
        "item",
        "quantity",
        "unit price",
        "list price",
        "net",
        "tax",
        "tax rate",
        "gross",
        numbers=("", "quantity", "unit price", "list price", "net", "tax", "gross"),
    )
    for position, line in enumerate(quote.lines, 1):
        tax_rate = f"{line.tax.rate} % {line.tax.code.value}"
        with_tax = " incl." if line.includes_tax else ""
        lines.add_row(
            str(position),
            escape(line.line.description or line.line.sku),
            f"{line.line.quantity:,}",
            line.unit_price + with_tax,
            money(line.list_minor),
            money(line.net_minor),
            money(line.tax_minor),
            tax_rate,
            money(line.gross_minor),
        )
        for discount in line.discounts:
            lines.add_row(
                "",
                f"  [dim]{escape(discount.name)}[/]",
                "",
                "",
                f"[dim]-{money(discount.amount_minor)}[/]",
                "",
                "",
                "",
                "",
            )
    output.console.print(lines)
    taxes = output.table(
        "Taxes", "code", "rate", "base", "tax", "reason", numbers=("rate", "base", "tax")
    )
    for each in quote.taxes:
        taxes.add_row(
            each.tax.code.value,
            f"{each.tax.rate} %",
            money(each.base_minor),
            money(each.tax_minor),
            each.tax.reason,
        )
        if len(each.tax.components) > 1:
            for (name, rate), minor in zip(each.tax.components, each.component_minors, strict=True):
                taxes.add_row(
                    "", f"[dim]{rate} %[/]", f"[dim]{escape(name)}[/]", f"[dim]{money(minor)}[/]"
                )
    output.console.print(taxes)
    if quote.discount_minor:
        output.echo(f"discounts {money(quote.discount_minor)}")
    if quote.rounding_minor:
        output.echo(
            f"rounding  {money(quote.rounding_minor)} of tax, compared with rounding per line ({quote.mode.value})"
        )
    output.echo(f"net {money(quote.net.amount_minor)}, tax {money(quote.tax.amount_minor)}")
    output.echo(f"[bold]total {quote.total}[/]")
