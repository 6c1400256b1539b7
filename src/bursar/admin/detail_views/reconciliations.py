"""Pages of reconciliations."""

from __future__ import annotations

from django.utils.html import format_html

from bursar.admin.filters import ROWS_MAX
from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    format_datetime,
    humanize,
    link_to,
    money,
    state,
)
from bursar.reconciliation.models import Reconciliation


def reconciliation(row: Reconciliation) -> DetailPage:
    """A run: how both sides add up, and what does not match."""
    sums = [
        (
            humanize(total["match_status"]),
            str(total["lines"]),
            money(total["lines_minor"], total["currency"]),
            str(total["entries"]),
            money(total["entries_minor"], total["currency"]),
        )
        for total in row.totals
    ]
    broken = [
        (
            humanize(one.match_status),
            humanize(one.category),
            one.source,
            "-" if one.theirs_minor is None else money(one.theirs_minor, one.currency),
            "-" if one.ours_minor is None else money(one.ours_minor, one.currency),
            one.reason,
        )
        for one in row.breaks.order_by("pk")[:ROWS_MAX]
    ]
    lines = [
        (
            humanize(one.category),
            one.source,
            money(one.gross_minor, one.currency),
            money(one.fee_minor, one.currency),
            money(one.net_minor, one.currency),
            one.payout or "-",
            humanize(one.match_status),
        )
        for one in row.settled_lines.order_by("pk")[:ROWS_MAX]
    ]
    return DetailPage(
        title=format_html("Reconciliation of {}", row.provider_account_id),
        state=state("differs" if broken else "matched"),
        facts=[
            ("report", row.file or "asked of the provider"),
            ("period end", format_datetime(row.period_end)),
            ("at", link_to("provideraccount", row.provider_account_id)),
            ("run", format_datetime(row.created_at)),
            ("id", row.pk),
        ],
        tables=[
            DetailTable(
                "How both sides add up",
                ["class", "lines", "their gross", "ours", "our gross"],
                sums,
            ),
            DetailTable(
                "What does not match",
                ["class", "movement", "of", "theirs", "ours", "why"],
                broken,
                "Everything matches.",
            ),
            DetailTable(
                "Lines settled by this run",
                ["movement", "of", "gross", "fee", "net", "payout", "class"],
                lines,
            ),
        ],
    )
