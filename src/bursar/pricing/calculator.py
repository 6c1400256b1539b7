"""
Price calculation: pure and exact, with every step recorded on its line.

The steps are: unit price times quantity, rounded to the minor unit; discounts before tax; taxes,
rounded by the rules' mode; discounts after tax; the fee for the payment method. All intermediate
amounts are whole minor units; halves are rounded as the rules say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date

from bursar import errors
from bursar.money import MINOR_MAX, InvalidAmount, Money, exponent_of
from bursar.pricing import baskets, discounts, rounding, taxes
from bursar.pricing.baskets import Basket, Line
from bursar.pricing.discounts import Discount, DiscountRun, prorate
from bursar.pricing.pricelists import Item
from bursar.pricing.quotes import AppliedDiscount, PricedLine, Quote, TaxRounding, TaxTotal
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.rules import NONE, Rules
from bursar.pricing.taxes import Tax

#: Ten to the power of the most decimals of a unit price (12).
_UNIT_PRICE_SCALE = 10**12


class PriceNotFound(errors.ValidationError):
    """The line has no unit price, and no applicable price list has the SKU."""

    code = "price_not_found"


class _Row:
    """
    A line during the calculation: its amounts, tax, and discounts before and after tax.

    *own_tax* is the tax if it were the only line.
    """

    __slots__ = (
        "amount",
        "component_minors",
        "discounts_after_tax",
        "discounts_before_tax",
        "fee",
        "includes_tax",
        "line",
        "list_minor",
        "net",
        "own_tax",
        "tax",
        "unit_price",
    )

    def __init__(
        self, line: Line, unit_price: str, list_minor: int, tax: Tax, *, includes_tax: bool
    ) -> None:
        self.line, self.unit_price, self.tax, self.includes_tax = (
            line,
            unit_price,
            tax,
            includes_tax,
        )
        self.list_minor = self.amount = list_minor
        self.discounts_before_tax: list[tuple[str, int]] = []
        self.discounts_after_tax: list[tuple[str, int]] = []
        self.component_minors: list[int] = []
        self.net = self.own_tax = 0
        self.fee = False

    @property
    def gross(self) -> int:
        return self.net + sum(self.component_minors)

    def sort_key(self) -> tuple[str | int, ...]:
        """Return a key that orders lines of equal amount independently of their position."""
        line = self.line
        return (
            line.sku,
            self.unit_price,
            self.tax.code.value,
            self.tax.rate,
            line.quantity,
            line.description,
            self.includes_tax,
        )


def price(
    basket: Basket,
    *,
    day: date,
    rules: Rules = NONE,
    coupon_use_counts: Mapping[str, int] | None = None,
) -> Quote:
    """
    Price *basket* on *day* by *rules*; *coupon_use_counts* are the previous uses by coupon.

    :raises baskets.EmptyBasket: if there are no lines;
    :raises PriceNotFound: if a unit price is neither given nor listed;
    :raises taxes.TaxRateNotFound: if the rules have no rate for a line's category and place;
    :raises taxes.InvalidVatId: if the VAT number is invalid, or of another country;
    :raises discounts.CouponNotApplicable: if a coupon is unknown, not valid, used up or without effect;
    :raises errors.ValidationError: if a quantity, price or rate is invalid; lines count from 1.
    """
    baskets.check(basket)
    rows = list(_rows(basket, rules, day))
    applicable_rules: list[Discount] = []
    used_coupons: set[str] = set()
    if rules.discounts or basket.coupons:
        applicable_rules = discounts.applicable(
            rules.discounts, basket, day=day, coupon_use_counts=coupon_use_counts or {}
        )
        before_tax_rules = [rule for rule in applicable_rules if not rule.after_tax]
        used_coupons = _apply_discounts(basket, rows, before_tax_rules, rules.half, after_tax=False)
    totals = _apply_taxes(rows, rules)
    after_tax_rules = [rule for rule in applicable_rules if rule.after_tax]
    used_coupons |= _apply_discounts(basket, rows, after_tax_rules, rules.half, after_tax=True)
    for coupon in basket.coupons:
        if coupon not in used_coupons:
            raise discounts.CouponNotApplicable(
                f"coupon {coupon[:40]!r}: no discount applies to this basket", param="coupons"
            )
    if basket.payment_method and (fee := _fee(basket, rows, rules, day)):
        rows.append(fee)
        totals = _apply_taxes(rows, rules)  # a tax on both lines and fee is rounded once
        _apply_discounts(basket, rows, after_tax_rules, rules.half, after_tax=True)
    return _quote(basket, rows, totals, rules, applicable_rules)


# --- List prices --------------------------------------------------------------------------------


def _rows(basket: Basket, rules: Rules, day: date) -> Iterator[_Row]:
    lists = rules.lists.on(basket, day)
    minor_units_per_unit = 10 ** exponent_of(basket.currency)
    for number, line in enumerate(basket.lines, 1):
        item, list_includes_tax = None, False
        if not (line.unit_price and (line.tax_rate or line.tax_code or line.tax_category)):
            for prices, items in lists:
                if line.sku in items:
                    item, list_includes_tax = items[line.sku], prices.includes_tax
                    break
        with_tax = bool(basket.prices_include_tax) if line.unit_price else list_includes_tax
        try:
            text, list_minor = _list_amount(line, item, minor_units_per_unit, rules.half)
            tax = _tax(basket, line, item, rules, day)
        except errors.ValidationError as error:
            where = f"lines[{number}].{error.param}" if error.param != "vat_id" else "vat_id"
            raise type(error)(error.message, param=where) from error
        yield _Row(line, text, list_minor, tax, includes_tax=with_tax)


def _list_amount(
    line: Line, item: Item | None, minor_units_per_unit: int, half: HalfRounding
) -> tuple[str, int]:
    """Return the price of the first unit, and of all units in minor units, rounded once."""
    if line.unit_price:
        pieces = [(line.quantity, line.unit_price)]
    elif item is not None:
        pieces = item.pieces(line.quantity)
    else:
        raise PriceNotFound(f"no price list has a price for {line.sku[:40]!r}", param="unit_price")
    exact = 0
    for quantity, text in pieces:
        try:
            digits, decimals = rounding.parse_decimal(text)
        except InvalidAmount as error:
            raise InvalidAmount(error.message, param="unit_price") from error
        exact += digits * quantity * 10 ** (12 - decimals)
    list_minor = rounding.divide(exact * minor_units_per_unit, _UNIT_PRICE_SCALE, half)
    if list_minor > MINOR_MAX:
        raise InvalidAmount(
            f"an amount is at most {MINOR_MAX:,} minor units in size", param="unit_price"
        )
    return pieces[0][1], list_minor


def _tax(basket: Basket, line: Line, item: Item | None, rules: Rules, day: date) -> Tax:
    try:
        if line.tax_rate or line.tax_code:
            return taxes.make_tax(line.tax_rate, line.tax_code)
        category = line.tax_category or (item.tax_category if item else "")
        if not category:
            return taxes.make_tax("0")
        supply = item.supply if item and not line.tax_category else line.supply
        return _choose_tax(basket, category, supply, rules, day)
    except taxes.InvalidVatId:
        raise
    except errors.ValidationError as error:
        which = "tax_category" if isinstance(error, taxes.TaxRateNotFound) else "tax_rate"
        raise type(error)(error.message, param=which) from error


def _choose_tax(
    basket: Basket, category: str, supply: taxes.Supply, rules: Rules, day: date
) -> Tax:
    abroad = taxes.country_of(basket.vat_id) if basket.vat_id else ""
    return taxes.choose_tax(
        rules.rates,
        seller=rules.seller,
        buyer=basket.country or abroad,
        vat_id=basket.vat_id,
        category=category,
        supply=supply,
        day=day,
    )


# --- Discounts ----------------------------------------------------------------------------------


def _apply_discounts(
    basket: Basket,
    rows: Sequence[_Row],
    rules: Sequence[Discount],
    half: HalfRounding,
    *,
    after_tax: bool,
) -> set[str]:
    """Apply discount *rules* to the lines. Returns the coupons that had an effect."""
    if not rules:
        return set()
    line_rows = rows[: len(basket.lines)]
    keys = [row.sort_key() for row in line_rows]
    run = DiscountRun(
        basket, [row.net if after_tax else row.amount for row in line_rows], keys, half
    )
    used = {rule.coupon for rule in rules if run.apply(rule)}
    for row, amount, steps in zip(line_rows, run.amounts, run.steps, strict=True):
        if after_tax:
            row.net, row.discounts_after_tax = amount, steps
        else:
            row.amount, row.discounts_before_tax = amount, steps
    return used


# --- Taxes --------------------------------------------------------------------------------------


def _apply_taxes(rows: Iterable[_Row], rules: Rules) -> list[TaxTotal]:
    """Set net and tax of every row. Returns the totals by tax."""
    groups: dict[Tax, list[_Row]] = {}
    for row in rows:
        _tax_row(row, rules.half)
        groups.setdefault(row.tax, []).append(row)
    round_by_sum: Callable[[Tax, Sequence[_Row], HalfRounding], None] | None = _SUM_ROUNDING.get(
        rules.mode
    )
    totals = []
    for tax, tax_rows in groups.items():
        if round_by_sum is not None:
            # Sorted, so that equal remainders do not depend on the order of lines.
            round_by_sum(
                tax, sorted(tax_rows, key=lambda row: (row.amount, row.sort_key())), rules.half
            )
        tax_minor = sum(sum(row.component_minors) for row in tax_rows)
        totals.append(
            TaxTotal(
                tax=tax,
                base_minor=sum(row.net for row in tax_rows),
                tax_minor=tax_minor,
                component_minors=tuple(
                    map(sum, zip(*(row.component_minors for row in tax_rows), strict=True))
                ),
                rounding_minor=tax_minor - sum(row.own_tax for row in tax_rows),
            )
        )
    return sorted(
        totals, key=lambda each: (each.tax.code.value, each.tax.rate, each.tax.components)
    )


def _tax_row(row: _Row, half: HalfRounding) -> None:
    tax, amount = row.tax, row.amount
    if row.includes_tax:
        row.net = tax.net_of(amount, half)
        row.own_tax = amount - row.net
        row.component_minors = _split(row.own_tax, tax)
    else:
        row.net, row.component_minors = amount, tax.on(amount, half)
        row.own_tax = sum(row.component_minors)


def _split(tax_minor: int, tax: Tax) -> list[int]:
    return [tax_minor] if len(tax.weights) == 1 else prorate(tax_minor, tax.weights)


def _round_by_net(tax: Tax, rows: Sequence[_Row], half: HalfRounding) -> None:
    nets = [row.net for row in rows]
    for part, minor in enumerate(tax.on(sum(nets), half)):
        for row, share in zip(rows, prorate(minor, nets), strict=True):
            row.component_minors[part] = share


def _round_by_gross(tax: Tax, rows: Sequence[_Row], half: HalfRounding) -> None:
    gross = [row.gross for row in rows]
    total_gross = sum(gross)
    shares = prorate(total_gross - tax.net_of(total_gross, half), gross)
    for row, gross_minor, share in zip(rows, gross, shares, strict=True):
        row.net, row.component_minors = gross_minor - share, _split(share, tax)


_SUM_ROUNDING = {TaxRounding.SUM_BY_NET: _round_by_net, TaxRounding.KEEP_GROSS: _round_by_gross}


# --- Fee and result -----------------------------------------------------------------------------


def _fee(basket: Basket, rows: Sequence[_Row], rules: Rules, day: date) -> _Row | None:
    for fee in rules.fees:
        if fee.is_for(basket.payment_method, basket.currency):
            amount_due = Money(sum(row.gross for row in rows), basket.currency)
            minor = fee.on(amount_due)
            if not minor:
                return None
            category = fee.tax_category
            tax = (
                _choose_tax(basket, category, taxes.Supply.SERVICES, rules, day)
                if category
                else taxes.make_tax(fee.tax_rate or "0")
            )
            unit = f"{Money(minor, basket.currency).amount:f}"
            line = Line(sku=f"fee:{fee.method}", description=fee.name)
            row = _Row(line, unit, minor, tax, includes_tax=True)
            row.fee = True
            return row
    return None


def _quote(
    basket: Basket,
    rows: Sequence[_Row],
    totals: Sequence[TaxTotal],
    rules: Rules,
    applicable_rules: Sequence[Discount],
) -> Quote:
    lines = tuple(_priced_line(row) for row in rows)
    net = Money(sum(row.net for row in rows), basket.currency)
    tax = Money(sum(each.tax_minor for each in totals), basket.currency)
    limits = {
        coupon: min(
            (r.limit for r in applicable_rules if r.coupon == coupon and r.limit), default=None
        )
        for coupon in basket.coupons
    }
    return Quote(
        currency=basket.currency,
        lines=lines,
        taxes=tuple(totals),
        net=net,
        tax=tax,
        total=net + tax,
        discount_minor=sum(line.discount_minor for line in lines),
        rounding_minor=sum(each.rounding_minor for each in totals),
        mode=rules.mode,
        half=rules.half,
        coupons=tuple(limits.items()),
        rules=rules.digest,
    )


def _priced_line(row: _Row) -> PricedLine:
    tax_minor = sum(row.component_minors)
    return PricedLine(
        line=row.line,
        unit_price=row.unit_price,
        includes_tax=row.includes_tax,
        list_minor=row.list_minor,
        discounts=tuple(
            AppliedDiscount(name, minor)
            for name, minor in (*row.discounts_before_tax, *row.discounts_after_tax)
        ),
        tax=row.tax,
        net_minor=row.net,
        tax_minor=tax_minor,
        component_minors=tuple(row.component_minors),
        rounding_minor=tax_minor - row.own_tax,
        fee=row.fee,
    )
