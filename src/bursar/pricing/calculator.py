"""
The price of a basket: pure, exact, every step on its line.

The steps, in this order: a unit's price times the quantity, rounded to the minor unit; the
discounts before tax; the taxes, rounded where the rules' mode says; the discounts after tax; the
fee for the payment method. All in between are whole minor units; a half goes where the rules say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date

from bursar import errors
from bursar.money import MINOR_MAX, BadAmount, Money, exponent_of
from bursar.pricing import baskets, discounts, rounding, taxes
from bursar.pricing.baskets import Basket, Line
from bursar.pricing.discounts import Discount, DiscountRun, shared
from bursar.pricing.pricelists import Item
from bursar.pricing.quotes import Discounted, PricedLine, Quote, TaxRounding, TaxTotal
from bursar.pricing.rounding import HalfRounding
from bursar.pricing.rules import NONE, Rules
from bursar.pricing.taxes import Tax

#: The most decimals of a unit price, and ten to that.
_FINEST = 10**12


class NoPrice(errors.ValidationError):
    """No unit price was given, and no price list that holds has one."""

    code = "price_not_found"


class _Row:
    """
    A line on its way: what it costs, the tax on that, and the two kinds of discount.

    *alone* is the tax it would bear if it were the only line.
    """

    __slots__ = (
        "after",
        "alone",
        "amount",
        "before",
        "fee",
        "includes_tax",
        "line",
        "listed",
        "net",
        "parts",
        "tax",
        "unit_price",
    )

    def __init__(
        self, line: Line, unit_price: str, listed: int, tax: Tax, *, includes_tax: bool
    ) -> None:
        self.line, self.unit_price, self.tax, self.includes_tax = (
            line,
            unit_price,
            tax,
            includes_tax,
        )
        self.listed = self.amount = listed
        self.before: list[tuple[str, int]] = []
        self.after: list[tuple[str, int]] = []
        self.parts: list[int] = []
        self.net = self.alone = 0
        self.fee = False

    @property
    def gross(self) -> int:
        return self.net + sum(self.parts)

    def key(self) -> tuple[str | int, ...]:
        """What tells lines apart that cost the same; who has it is the same for every purpose."""
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
    basket: Basket, *, day: date, rules: Rules = NONE, redeemed: Mapping[str, int] | None = None
) -> Quote:
    """
    Price *basket* as on *day* by *rules*; *redeemed* tells how often each coupon was used before.

    :raises baskets.EmptyBasket: if there are no lines;
    :raises NoPrice: if a unit price is neither given nor listed;
    :raises taxes.UnknownTax: if no tax is known for a line's category and place;
    :raises taxes.BadVatId: if the VAT number is none, or of another country;
    :raises discounts.CouponRefused: if a coupon is unknown, not valid, used up or without effect;
    :raises errors.ValidationError: if a quantity, price or rate is not one; lines count from 1.
    """
    baskets.check(basket)
    rows = list(_rows(basket, rules, day))
    found: list[Discount] = []
    used: set[str] = set()
    if rules.discounts or basket.coupons:
        found = discounts.applicable(rules.discounts, basket, day=day, redeemed=redeemed or {})
        before = [rule for rule in found if not rule.after_tax]
        used = _take(basket, rows, before, rules.half, after=False)
    totals = _taxed(rows, rules)
    late = [rule for rule in found if rule.after_tax]
    used |= _take(basket, rows, late, rules.half, after=True)
    for coupon in basket.coupons:
        if coupon not in used:
            raise discounts.CouponRefused(
                f"coupon {coupon[:40]!r}: it takes nothing off this basket", param="coupons"
            )
    if basket.payment_method and (fee := _fee(basket, rows, rules, day)):
        rows.append(fee)
        totals = _taxed(rows, rules)  # one tax may be on lines and fee, and is rounded once
        _take(basket, rows, late, rules.half, after=True)
    return _quote(basket, rows, totals, rules, found)


# --- What the lines cost ------------------------------------------------------------------------


def _rows(basket: Basket, rules: Rules, day: date) -> Iterator[_Row]:
    lists = rules.lists.on(basket, day)
    ten_to = 10 ** exponent_of(basket.currency)
    for number, line in enumerate(basket.lines, 1):
        item, listed_with_tax = None, False
        if not (line.unit_price and (line.tax_rate or line.tax_code or line.tax_category)):
            for prices, items in lists:
                if line.sku in items:
                    item, listed_with_tax = items[line.sku], prices.includes_tax
                    break
        with_tax = bool(basket.prices_include_tax) if line.unit_price else listed_with_tax
        try:
            text, listed = _listed(line, item, ten_to, rules.half)
            tax = _tax(basket, line, item, rules, day)
        except errors.ValidationError as error:
            where = f"lines[{number}].{error.param}" if error.param != "vat_id" else "vat_id"
            raise type(error)(error.message, param=where) from error
        yield _Row(line, text, listed, tax, includes_tax=with_tax)


def _listed(line: Line, item: Item | None, ten_to: int, half: HalfRounding) -> tuple[str, int]:
    """The first unit's price, and that of all units in minor units, rounded once."""
    if line.unit_price:
        pieces = [(line.quantity, line.unit_price)]
    elif item is not None:
        pieces = item.pieces(line.quantity)
    else:
        raise NoPrice(f"no price is listed for {line.sku[:40]!r}", param="unit_price")
    exact = 0
    for quantity, text in pieces:
        try:
            digits, decimals = rounding.decimal(text)
        except BadAmount as error:
            raise BadAmount(error.message, param="unit_price") from error
        exact += digits * quantity * 10 ** (12 - decimals)
    listed = rounding.divide(exact * ten_to, _FINEST, half)
    if listed > MINOR_MAX:
        raise BadAmount(
            f"an amount is at most {MINOR_MAX:,} minor units in size", param="unit_price"
        )
    return pieces[0][1], listed


def _tax(basket: Basket, line: Line, item: Item | None, rules: Rules, day: date) -> Tax:
    try:
        if line.tax_rate or line.tax_code:
            return taxes.make(line.tax_rate, line.tax_code)
        category = line.tax_category or (item.tax_category if item else "")
        if not category:
            return taxes.make("0")
        supply = item.supply if item and not line.tax_category else line.supply
        return _chosen(basket, category, supply, rules, day)
    except taxes.BadVatId:
        raise
    except errors.ValidationError as error:
        which = "tax_category" if isinstance(error, taxes.UnknownTax) else "tax_rate"
        raise type(error)(error.message, param=which) from error


def _chosen(basket: Basket, category: str, supply: taxes.Supply, rules: Rules, day: date) -> Tax:
    abroad = taxes.country_of(basket.vat_id) if basket.vat_id else ""
    return taxes.choose(
        rules.rates,
        seller=rules.seller,
        buyer=basket.country or abroad,
        vat_id=basket.vat_id,
        category=category,
        supply=supply,
        day=day,
    )


# --- Discounts ----------------------------------------------------------------------------------


def _take(
    basket: Basket,
    rows: Sequence[_Row],
    rules: Sequence[Discount],
    half: HalfRounding,
    *,
    after: bool,
) -> set[str]:
    """Take *rules* off the lines; returns the coupons that took something."""
    if not rules:
        return set()
    mine = rows[: len(basket.lines)]
    keys = [row.key() for row in mine]
    taking = DiscountRun(basket, [row.net if after else row.amount for row in mine], keys, half)
    used = {rule.coupon for rule in rules if taking.apply(rule)}
    for row, amount, steps in zip(mine, taking.amounts, taking.steps, strict=True):
        if after:
            row.net, row.after = amount, steps
        else:
            row.amount, row.before = amount, steps
    return used


# --- Taxes --------------------------------------------------------------------------------------


def _taxed(rows: Iterable[_Row], rules: Rules) -> list[TaxTotal]:
    """Set net and tax of every row, and sum them by tax."""
    groups: dict[Tax, list[_Row]] = {}
    for row in rows:
        _alone(row, rules.half)
        groups.setdefault(row.tax, []).append(row)
    together: Callable[[Tax, Sequence[_Row], HalfRounding], None] | None = _TOGETHER.get(rules.mode)
    totals = []
    for tax, mine in groups.items():
        if together is not None:
            # So that equal remainders do not depend on the order of the lines.
            together(tax, sorted(mine, key=lambda row: (row.amount, row.key())), rules.half)
        tax_minor = sum(sum(row.parts) for row in mine)
        totals.append(
            TaxTotal(
                tax=tax,
                base_minor=sum(row.net for row in mine),
                tax_minor=tax_minor,
                part_minors=tuple(map(sum, zip(*(row.parts for row in mine), strict=True))),
                rounding_minor=tax_minor - sum(row.alone for row in mine),
            )
        )
    return sorted(totals, key=lambda each: (each.tax.code.value, each.tax.rate, each.tax.parts))


def _alone(row: _Row, half: HalfRounding) -> None:
    tax, amount = row.tax, row.amount
    if row.includes_tax:
        row.net = tax.net_of(amount, half)
        row.alone = amount - row.net
        row.parts = _split(row.alone, tax)
    else:
        row.net, row.parts = amount, tax.on(amount, half)
        row.alone = sum(row.parts)


def _split(tax_minor: int, tax: Tax) -> list[int]:
    return [tax_minor] if len(tax.weights) == 1 else shared(tax_minor, tax.weights)


def _by_net(tax: Tax, rows: Sequence[_Row], half: HalfRounding) -> None:
    nets = [row.net for row in rows]
    for part, minor in enumerate(tax.on(sum(nets), half)):
        for row, share in zip(rows, shared(minor, nets), strict=True):
            row.parts[part] = share


def _by_gross(tax: Tax, rows: Sequence[_Row], half: HalfRounding) -> None:
    gross = [row.gross for row in rows]
    whole = sum(gross)
    shares = shared(whole - tax.net_of(whole, half), gross)
    for row, kept, share in zip(rows, gross, shares, strict=True):
        row.net, row.parts = kept - share, _split(share, tax)


_TOGETHER = {TaxRounding.SUM_BY_NET: _by_net, TaxRounding.KEEP_GROSS: _by_gross}


# --- Fee and result -----------------------------------------------------------------------------


def _fee(basket: Basket, rows: Sequence[_Row], rules: Rules, day: date) -> _Row | None:
    for fee in rules.fees:
        if fee.is_for(basket.payment_method, basket.currency):
            asked = Money(sum(row.gross for row in rows), basket.currency)
            minor = fee.on(asked)
            if not minor:
                return None
            category = fee.tax_category
            tax = (
                _chosen(basket, category, taxes.Supply.SERVICES, rules, day)
                if category
                else taxes.make(fee.tax_rate or "0")
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
    found: Sequence[Discount],
) -> Quote:
    lines = tuple(_priced(row) for row in rows)
    net = Money(sum(row.net for row in rows), basket.currency)
    tax = Money(sum(each.tax_minor for each in totals), basket.currency)
    limits = {
        coupon: min((r.limit for r in found if r.coupon == coupon and r.limit), default=None)
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


def _priced(row: _Row) -> PricedLine:
    tax_minor = sum(row.parts)
    return PricedLine(
        line=row.line,
        unit_price=row.unit_price,
        includes_tax=row.includes_tax,
        list_minor=row.listed,
        discounts=tuple(Discounted(name, minor) for name, minor in (*row.before, *row.after)),
        tax=row.tax,
        net_minor=row.net,
        tax_minor=tax_minor,
        part_minors=tuple(row.parts),
        rounding_minor=tax_minor - row.alone,
        fee=row.fee,
    )
