"""What holds of every price: drawn baskets, rules and modes. PROPERTY_EXAMPLES sets how many."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.pricing import calculator, rules
from bursar.pricing.baskets import Basket, Line
from bursar.pricing.quotes import Quote, TaxRounding
from tests.unit.pricing.baskets import DAY, EXAMPLES, mode

prices = st.integers(0, 10**7).map(lambda tenths: f"{tenths // 1000}.{tenths % 1000:03}")
rates = st.sampled_from(["0", "5", "7", "19", "20", "25.5", "8.1", "2.6", "100"])
modes = st.sampled_from([mode.value for mode in TaxRounding])
lines = st.builds(
    Line,
    sku=st.sampled_from("abc"),
    unit_price=prices,
    tax_rate=rates,
    quantity=st.integers(1, 50),
)
baskets = st.builds(
    Basket,
    currency=st.sampled_from(["EUR", "JPY", "KWD", "CLF"]),
    lines=st.lists(lines, min_size=1, max_size=6).map(tuple),
    prices_include_tax=st.booleans(),
    payment_method=st.sampled_from(["", "card"]),
)


@st.composite
def discounts(draw: st.DrawFn) -> str:
    """Up to four discounts, as TOML."""
    text = ""
    for at in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["percent", "tiers", "take"]))
        text += f'[[discounts]]\nname = "{at}"\n'
        text += {
            "percent": f'percent = "{draw(st.sampled_from(["0", "3", "10", "33.33", "100"]))}"\n'
            f'scope = "{draw(st.sampled_from(["line", "order"]))}"\n',
            "tiers": 'tiers = [{ units = 5, percent = "5" }, { units = 20, percent = "12.5" }]\n',
            "take": f"take = {draw(st.integers(2, 5))}\npay = 1\n",
        }[kind]
        text += f"exclusive = {str(draw(st.booleans())).lower()}\n"
        text += f"after_tax = {str(draw(st.booleans())).lower()}\n"
        if draw(st.booleans()):
            text += 'skus = ["a", "b"]\n'
    return text


FEE = '[[fees]]\nmethod = "card"\nname = "Fee"\npercent = "2.9"\ntax_rate = "19"\n'


def priced(basket: Basket, text: str) -> Quote:
    return calculator.price(basket, day=DAY, rules=rules.parse(text, name="drawn"))


many = settings(max_examples=EXAMPLES, deadline=None)


@many
@given(baskets, modes, discounts())
def test_parts_sum_to_totals_and_nothing_is_negative(basket, name, text):
    quote = priced(basket, mode(name) + text + FEE)
    assert sum(each.net_minor for each in quote.lines) == quote.net.amount_minor
    assert sum(each.tax_minor for each in quote.lines) == quote.tax.amount_minor
    assert sum(each.gross_minor for each in quote.lines) == quote.total.amount_minor
    assert quote.net + quote.tax == quote.total
    for each in quote.lines:
        assert each.net_minor >= 0
        assert each.tax_minor >= 0
        assert sum(each.component_minors) == each.tax_minor
        # A net price that rounding by sums moved up may be taken off whole, after tax.
        assert each.discount_minor <= each.list_minor + abs(each.rounding_minor)
    for total in quote.taxes:
        mine = [each for each in quote.lines if each.tax == total.tax]
        assert sum(each.tax_minor for each in mine) == total.tax_minor
        assert sum(each.rounding_minor for each in mine) == total.rounding_minor


@many
@given(baskets, modes, discounts(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(basket, name, text, draw):
    shuffled = list(basket.lines)
    draw.shuffle(shuffled)
    other = Basket(
        currency=basket.currency,
        lines=tuple(shuffled),
        prices_include_tax=basket.prices_include_tax,
        payment_method=basket.payment_method,
    )
    one, two = (priced(each, mode(name) + text + FEE) for each in (basket, other))
    assert (one.net, one.tax, one.total, one.taxes) == (two.net, two.tax, two.total, two.taxes)


@many
@given(baskets, st.sampled_from(["sum_by_net", "sum_by_net_keep_gross"]))
def test_the_tax_of_a_rate_is_rounded_once(basket, name):
    quote = priced(basket, mode(name))
    for total in quote.taxes:
        exact = Fraction(total.base_minor * total.tax.total_weight, total.tax.scale)
        # With gross prices kept, the net sum is what was rounded, and the tax is the rest.
        off = Fraction(1, 2) * (
            1 if name == "sum_by_net" else 1 + Fraction(total.tax.total_weight, total.tax.scale)
        )
        assert abs(total.tax_minor - exact) <= off


@many
@given(baskets)
def test_doubling_every_quantity_doubles_the_net_before_rounding(basket):
    net = Basket(currency=basket.currency, lines=basket.lines)
    double = Basket(
        currency=basket.currency,
        lines=tuple(
            Line(
                sku=each.sku,
                unit_price=each.unit_price,
                tax_rate=each.tax_rate,
                quantity=2 * each.quantity,
            )
            for each in basket.lines
        ),
    )
    one, two = priced(net, ""), priced(double, "")
    for single, twice in zip(one.lines, two.lines, strict=True):
        assert abs(twice.net_minor - 2 * single.net_minor) <= 1


@many
@given(st.lists(st.tuples(st.integers(0, 10**6), rates), min_size=1, max_size=6))
def test_gross_to_net_to_gross_is_the_same_within_a_minor_unit_a_line(drawn):
    def of(minors: list[int], *, inclusive: bool, name: str) -> Quote:
        return priced(
            Basket(
                currency="EUR",
                prices_include_tax=inclusive,
                lines=tuple(
                    Line(sku=str(at), unit_price=f"{minor // 100}.{minor % 100:02}", tax_rate=rate)
                    for at, (minor, (_, rate)) in enumerate(zip(minors, drawn, strict=True))
                ),
            ),
            mode(name),
        )

    gross = [minor for minor, _ in drawn]
    one = of(gross, inclusive=True, name="line")
    back = of([each.net_minor for each in one.lines], inclusive=False, name="line")
    for asked, each in zip(gross, back.lines, strict=True):
        assert abs(each.gross_minor - asked) <= 1
    kept = of(gross, inclusive=True, name="sum_by_net_keep_gross")
    assert [each.gross_minor for each in kept.lines] == gross
    # Net prices in this mode: what they come to, asked as gross prices, comes to the same.
    nets = of(gross, inclusive=False, name="sum_by_net_keep_gross")
    again = of(
        [each.gross_minor for each in nets.lines], inclusive=True, name="sum_by_net_keep_gross"
    )
    assert [(each.net_minor, each.tax_minor) for each in again.lines] == [
        (each.net_minor, each.tax_minor) for each in nets.lines
    ]


@pytest.mark.parametrize("percent", ["0.5", "2.9", "50", "99"])
@many
@given(st.integers(1, 10**6), st.integers(1, 500))
def test_a_grossed_up_fee_is_the_least_that_leaves_what_was_asked(percent, asked, fixed):
    text = (
        f'[[fees]]\nmethod = "card"\nname = "Fee"\npercent = "{percent}"\ngross_up = true\n'
        f'fixed = "{fixed // 100}.{fixed % 100:02}"\ncurrency = "EUR"\n'
    )
    basket = Basket(
        currency="EUR",
        payment_method="card",
        lines=(Line(sku="a", unit_price=f"{asked // 100}.{asked % 100:02}"),),
    )
    paid = priced(basket, text).total.amount_minor

    def left(total: int) -> int:
        exact = Fraction(total) * Fraction(percent) / 100
        return int(total - int(exact + Fraction(1, 2)) - fixed)

    assert left(paid) >= asked > left(paid - 1)
