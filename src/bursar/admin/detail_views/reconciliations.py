"""Pages of reconciliations."""

from __future__ import annotations

from django.utils.html import format_html

from bursar.admin.filters import ROWS_MAX
from bursar.admin.formatting import Page, Table, at, link_to, money, state, words
from bursar.reconciliation.models import Reconciliation


def reconciliation(row: Reconciliation) -> Page:
    """A run: how both sides add up, and what does not match."""
    sums = [
        (
            words(total["verdict"]),
            str(total["lines"]),
            money(total["lines_minor"], total["currency"]),
            str(total["entries"]),
            money(total["entries_minor"], total["currency"]),
        )
        for total in row.totals
    ]
    broken = [
        (
            words(one.verdict),
            words(one.category),
            one.source,
            "-" if one.theirs_minor is None else money(one.theirs_minor, one.currency),
            "-" if one.ours_minor is None else money(one.ours_minor, one.currency),
            one.reason,
        )
        for one in row.breaks.order_by("pk")[:ROWS_MAX]
    ]
    lines = [
        (
            words(one.category),
            one.source,
            money(one.gross_minor, one.currency),
            money(one.fee_minor, one.currency),
            money(one.net_minor, one.currency),
            one.payout or "-",
            words(one.verdict),
        )
        for one in row.settled.order_by("pk")[:ROWS_MAX]
    ]
    return Page(
        title=format_html("Reconciliation of {}", row.provider_account_id),
        state=state("differs" if broken else "matched"),
        facts=[
            ("report", row.file or "asked of the provider"),
            ("until", at(row.until)),
            ("at", link_to("provideraccount", row.provider_account_id)),
            ("run", at(row.created_at)),
            ("id", row.pk),
        ],
        tables=[
            Table(
                "How both sides add up",
                ["class", "lines", "their gross", "ours", "our gross"],
                sums,
            ),
            Table(
                "What does not match",
                ["class", "movement", "of", "theirs", "ours", "why"],
                broken,
                "Everything matches.",
            ),
            Table(
                "Lines settled by this run",
                ["movement", "of", "gross", "fee", "net", "payout", "class"],
                lines,
            ),
        ],
    )
