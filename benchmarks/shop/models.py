"""Tables of the peers' shop; runs in .venv-bench, where django-payments is installed."""

# These are no models of the settings that mypy's plugin knows:
# mypy: ignore-errors

from __future__ import annotations

from django.db import models
from payments.models import BasePayment


class Order(models.Model):
    reference = models.CharField(max_length=120)
    currency = models.CharField(max_length=3)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    idempotency_key = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=12, default="placed")
    created_at = models.DateTimeField(auto_now_add=True)


class OrderLine(models.Model):
    order = models.ForeignKey(Order, models.PROTECT, related_name="lines")
    sku = models.CharField(max_length=80)
    description = models.CharField(max_length=300)
    quantity = models.IntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=2)


class Payment(BasePayment):
    """The payment of django-payments."""

    order = models.ForeignKey(Order, models.PROTECT)


class Intent(models.Model):
    """The naive shape's payment, its row written before the provider is called."""

    order = models.ForeignKey(Order, models.PROTECT)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=12, default="created")
    reference = models.CharField(max_length=80, default="")
    created_at = models.DateTimeField(auto_now_add=True)


class LedgerRow(models.Model):
    intent = models.ForeignKey(Intent, models.PROTECT)
    debit = models.CharField(max_length=80)
    credit = models.CharField(max_length=80)
    amount_minor = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
