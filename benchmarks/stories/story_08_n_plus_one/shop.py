"""Makes an installation in HOME with COUNT orders, each paid: python -m ... HOME COUNT."""

from __future__ import annotations

import os
import sys

HOME, COUNT = sys.argv[1], int(sys.argv[2])
os.environ["BURSAR_HOME"] = HOME

from bursar.cli import bootstrap  # noqa: E402

bootstrap.start()

from bursar import clock, group_commit  # noqa: E402
from bursar.orders.models import Order, OrderLine  # noqa: E402
from bursar.payments.models import Payment, ProviderAccount  # noqa: E402


def main() -> None:
    group_commit.commits.run_blocking(_fill)
    bootstrap.stop()


def _fill() -> None:
    now, numbers = clock.now(), range(COUNT)
    ProviderAccount.objects.create(name="eu", provider="sandbox", created_at=now)
    Order.objects.bulk_create(
        Order(
            id=f"ord_{n:08}",
            reference=f"R-{n}",
            currency="EUR",
            total_minor=100 + n,
            tax_minor=0,
            idempotency_key=f"k{n}",
            fingerprint="f",
            placed_at=now,
            created_at=now,
        )
        for n in numbers
    )
    OrderLine.objects.bulk_create(
        OrderLine(
            order_id=f"ord_{n:08}",
            position=1,
            quantity=1,
            unit_price="1",
            net_minor=100 + n,
            tax_minor=0,
            gross_minor=100 + n,
        )
        for n in numbers
    )
    Payment.objects.bulk_create(
        Payment(
            id=f"pay_{n:08}",
            order_id=f"ord_{n:08}",
            provider_account_id="eu",
            currency="EUR",
            amount_minor=100 + n,
            tax_minor=0,
            captured_minor=100 + n,
            status="captured",
            payment_method_token="m",
            created_at=now,
            updated_at=now,
        )
        for n in numbers
    )


if __name__ == "__main__":
    main()
