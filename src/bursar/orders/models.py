"""Tables of orders."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from bursar import ids
from bursar.fields import CurrencyField, IdField, MinorField


class Order(models.Model):
    """
    An order with frozen prices.

    Guarantees: totals are the sums of the lines; currency and totals never change; one
    *idempotency_key* is one order. *pricing_explanation* has rounding, discounts and taxes of the
    whole order, and is empty if no pricing rules applied. The payment status is derived from its
    payments (`orders.queries.fetch_payment_status`). *buyer* is a snapshot that may be erased.
    """

    id = IdField(ids.ORDER)
    reference = models.CharField(max_length=120, db_index=True)
    currency = CurrencyField()
    total_minor = MinorField()
    tax_minor = MinorField()
    buyer = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    idempotency_key = models.CharField(max_length=255, unique=True)
    fingerprint = models.CharField(max_length=32)
    pricing_explanation = models.JSONField(default=dict)
    placed_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="order_total_not_negative", condition=Q(total_minor__gte=0)
            ),
            models.CheckConstraint(
                name="order_tax_within_total",
                condition=Q(tax_minor__gte=0, tax_minor__lte=F("total_minor")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.id} ({self.reference})"


class OrderLine(models.Model):
    """
    One priced line of an order.

    Guarantees: net + tax = gross; quantity is positive. *unit_price* is an exact decimal in major
    units, stored as text because SQLite stores decimal columns as floats. *tax_code* is the VAT
    category of EN 16931.
    """

    order = models.ForeignKey(Order, models.PROTECT, related_name="lines")
    position = models.IntegerField()
    sku = models.CharField(max_length=80)
    description = models.CharField(max_length=300)
    quantity = models.BigIntegerField()
    unit_price = models.CharField(max_length=40)
    tax_rate = models.CharField(max_length=20, default="0")
    tax_code = models.CharField(max_length=2, default="")
    net_minor = MinorField()
    tax_minor = MinorField()
    gross_minor = MinorField()
    pricing_explanation = models.JSONField(default=dict)

    class Meta:
        constraints = (
            models.UniqueConstraint(name="order_line_position", fields=["order", "position"]),
            models.CheckConstraint(
                name="order_line_quantity_positive", condition=Q(quantity__gt=0)
            ),
            models.CheckConstraint(
                name="order_line_gross_is_net_plus_tax",
                condition=Q(gross_minor=F("net_minor") + F("tax_minor")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.order_id} line {self.position}"


class CouponUsage(models.Model):
    """
    Number of orders that used a coupon.

    Guarantees: at most the limit of the pricing rules in force when each order was placed.
    """

    code = models.CharField(max_length=60, primary_key=True)
    use_count = models.BigIntegerField()

    class Meta:
        constraints = (
            models.CheckConstraint(name="coupon_use_count_positive", condition=Q(use_count__gt=0)),
        )

    def __str__(self) -> str:
        return f"{self.code}: {self.use_count}"
