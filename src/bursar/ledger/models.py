"""Tables of the ledger."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from bursar.fields import CurrencyField, IdField, MinorField


class Account(models.Model):
    """
    A ledger account in one currency, named `<path>:<currency>` such as `sales:EUR`.

    Guarantees: the name ends in the account's currency; an account is never renamed or deleted.
    """

    name = IdField(max_length=120)
    currency = CurrencyField()

    class Meta:
        verbose_name = "ledger account"
        constraints = (
            models.CheckConstraint(
                name="account_name_ends_in_currency",
                condition=Q(name__endswith=F("currency")),
            ),
        )

    def __str__(self) -> str:
        return str(self.name)


class Transfer(models.Model):
    """
    *amount_minor* from the credit account to the debit account: one row is a balanced entry.

    Guarantees: the amount is positive; the two accounts differ and are of the transfer's
    currency; a transfer is never changed or deleted, a correction is another transfer.
    *subject* is a payment's id, or names a provider object without a payment. *posting_date* is
    the day in the accounting time zone (`BURSAR_TIME_ZONE`).
    """

    subject = models.CharField(max_length=160, db_index=True)
    debit_account = models.ForeignKey(Account, models.PROTECT, related_name="debits")
    credit_account = models.ForeignKey(Account, models.PROTECT, related_name="credits")
    amount_minor = MinorField()
    currency = CurrencyField()
    posting_date = models.DateField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="transfer_amount_is_positive", condition=Q(amount_minor__gt=0)
            ),
            models.CheckConstraint(
                name="transfer_accounts_differ",
                condition=~Q(debit_account=F("credit_account")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.debit_account_id} from {self.credit_account_id}: {self.amount_minor}"
