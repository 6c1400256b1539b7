"""Tables of reconciliation: settlement lines, runs, matched entries and breaks."""

from __future__ import annotations

from django.db import models

from bursar import ids
from bursar.fields import CurrencyField, IdField, MinorField
from bursar.payments.models import ProviderAccount
from bursar.providers.interface import Category
from bursar.reconciliation.settlement_matching import MatchStatus


class Reconciliation(models.Model):
    """
    One run: the report file (if any), the end of its period, and the totals by match status.

    Guarantees: never changed or deleted; *totals* counts every line and entry of the run once.
    """

    id = IdField(ids.RECONCILIATION)
    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT)
    file = models.CharField(max_length=255, default="")
    period_end = models.DateTimeField()
    totals = models.JSONField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.id)


class SettlementReportLine(models.Model):
    """
    A settlement line as loaded, and the run that settled it.

    Guarantees: its content never changes; net = gross - fee; a line reported twice is two rows
    (*duplicate_index* 0, 1, ...), of which only the first is matched.
    """

    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT, db_index=False)
    reference = models.CharField(max_length=160)
    duplicate_index = models.IntegerField(default=0)
    category = models.CharField(max_length=20, choices=[(c.value, c.name) for c in Category])
    source = models.CharField(max_length=160)
    parent_reference = models.CharField(max_length=160, default="")
    currency = CurrencyField()
    gross_minor = MinorField()
    fee_minor = MinorField()
    net_minor = MinorField()
    paid_minor = MinorField(null=True)
    paid_currency = models.CharField(max_length=8, default="")
    rate = models.CharField(max_length=40, default="")
    payout = models.CharField(max_length=160, default="")
    occurred_at = models.DateTimeField()
    loaded_at = models.DateTimeField()
    reconciliation = models.ForeignKey(
        Reconciliation, models.PROTECT, null=True, related_name="settled_lines"
    )
    match_status = models.CharField(
        max_length=20, default="", choices=[(v.value, v.name) for v in MatchStatus]
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="settlement_line_once",
                fields=["provider_account", "reference", "duplicate_index"],
            ),
            models.CheckConstraint(
                name="settlement_line_net_is_gross_less_fee",
                condition=models.Q(net_minor=models.F("gross_minor") - models.F("fee_minor")),
            ),
        )
        indexes = (
            models.Index(name="settlement_line_source", fields=["provider_account", "source"]),
            models.Index(name="settlement_line_payout", fields=["provider_account", "payout"]),
            models.Index(
                name="settlement_line_open",
                fields=["provider_account"],
                condition=models.Q(reconciliation__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return f"{self.category} {self.reference}"


class MatchedEntry(models.Model):
    """
    The part of one movement in our books that a run settled.

    Guarantees: never changed or deleted; a movement that grows later (a further partial capture)
    is settled by another row.
    """

    reconciliation = models.ForeignKey(Reconciliation, models.PROTECT, related_name="entries")
    provider_account = models.ForeignKey(ProviderAccount, models.PROTECT, db_index=False)
    category = models.CharField(max_length=20)
    source = models.CharField(max_length=160)
    gross_minor = MinorField()
    fee_minor = MinorField()

    class Meta:
        indexes = (
            models.Index(
                name="matched_entry_source", fields=["provider_account", "category", "source"]
            ),
        )

    def __str__(self) -> str:
        return f"{self.category} {self.source}"


class SettlementBreak(models.Model):
    """
    A difference that a run found: its match status, and the reason as text.

    Guarantees: never changed or deleted; the next run reports again what is still open.
    """

    reconciliation = models.ForeignKey(Reconciliation, models.PROTECT, related_name="breaks")
    match_status = models.CharField(max_length=20, choices=[(v.value, v.name) for v in MatchStatus])
    category = models.CharField(max_length=20)
    source = models.CharField(max_length=160)
    currency = CurrencyField()
    ours_minor = MinorField(null=True)
    theirs_minor = MinorField(null=True)
    reason = models.CharField(max_length=400)

    def __str__(self) -> str:
        return f"{self.match_status} {self.source}"
