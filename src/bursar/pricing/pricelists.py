"""Price lists: unit prices by currency, customer group, day and quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import msgspec

from bursar.pricing.baskets import Basket
from bursar.pricing.taxes import Supply


class PriceTier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unit price from a minimum of *units*."""

    units: int
    price: str


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Unit price of *sku*: one *price*, or *tiers* by quantity, of which the first begins at one unit.

    With `volume` tiering all units have the price of the tier that the quantity reaches; with
    `graduated` each unit has the price of its own tier. Prices are plain decimals in major units
    and may have more digits than the minor unit.
    """

    sku: str
    price: str = ""
    tiers: tuple[PriceTier, ...] = ()
    tiering: Literal["volume", "graduated"] = "volume"
    tax_category: str = ""
    supply: Supply = Supply.GOODS

    def pieces(self, quantity: int) -> list[tuple[int, str]]:
        """Return pairs of units and unit price that add up to *quantity* units."""
        tiers = self.tiers or (PriceTier(units=1, price=self.price),)
        reached = [tier for tier in tiers if tier.units <= quantity]
        if self.tiering == "volume":
            return [(quantity, reached[-1].price)]
        ends = [tier.units - 1 for tier in reached[1:]] + [quantity]
        return [(end - tier.units + 1, tier.price) for tier, end in zip(reached, ends, strict=True)]


class PriceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in a currency, for customer *groups* (empty: all); both days are included."""

    currency: str
    items: tuple[Item, ...]
    groups: tuple[str, ...] = ()
    includes_tax: bool = False
    valid_from: date | None = None
    valid_until: date | None = None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Price lists indexed by SKU."""

    lists: tuple[tuple[PriceList, Mapping[str, Item]], ...] = ()

    @classmethod
    def of(cls, lists: Sequence[PriceList]) -> PriceBook:
        """Index *lists* by SKU."""
        return cls(tuple((each, {item.sku: item for item in each.items}) for each in lists))

    def on(self, basket: Basket, day: date) -> list[tuple[PriceList, Mapping[str, Item]]]:
        """Return the lists valid for a basket on *day*; those of its customer group come first."""
        return [*self._on(basket, day, own=True), *self._on(basket, day, own=False)]

    def _on(
        self, basket: Basket, day: date, *, own: bool
    ) -> Iterator[tuple[PriceList, Mapping[str, Item]]]:
        for prices, items in self.lists:
            of_group = basket.customer_group in prices.groups if own else not prices.groups
            ended = prices.valid_until is not None and prices.valid_until < day
            begun = prices.valid_from is None or prices.valid_from <= day
            if prices.currency == basket.currency and of_group and begun and not ended:
                yield prices, items
