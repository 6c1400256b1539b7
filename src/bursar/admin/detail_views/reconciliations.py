"""Detail pages of reconciliations."""

from __future__ import annotations

from django.utils.html import format_html

from bursar.admin.formatting import (
    DetailPage,
    DetailTable,
    format_datetime,
    format_label,
    format_money,
    format_status,
    link_to,
)
from bursar.admin.queries import ROWS_MAX
from bursar.reconciliation.models import Reconciliation


def reconciliation(row: Reconciliation) -> DetailPage:
    """Build the page of a reconciliation: totals of both sides, breaks, and settlement lines."""
    sums = [
        (
            format_label(total["match_status"]),
            str(total["lines"]),
            format_money(total["lines_minor"], total["currency"]),
            str(total["entries"]),
            format_money(total["entries_minor"], total["currency"]),
        )
        for total in row.totals
    ]
    breaks = [
        (
            format_label(one.match_status),
            format_label(one.category),
            one.source,
            "-" if one.theirs_minor is None else format_money(one.theirs_minor, one.currency),
            "-" if one.ours_minor is None else format_money(one.ours_minor, one.currency),
            one.reason,
        )
        for one in row.breaks.order_by("pk")[:ROWS_MAX]
    ]
    lines = [
        (
            format_label(one.category),
            one.source,
            format_money(one.gross_minor, one.currency),
            format_money(one.fee_minor, one.currency),
            format_money(one.net_minor, one.currency),
            one.payout or "-",
            format_label(one.match_status),
        )
        for one in row.settled_lines.order_by("pk")[:ROWS_MAX]
    ]
    return DetailPage(
        title=format_html("Reconciliation of {}", row.provider_account_id),
        status=format_status("differs" if breaks else "matched"),
        details=[
            ("Report", row.file or "fetched from the provider"),
            ("Period end", format_datetime(row.period_end)),
            ("Provider account", link_to("provideraccount", row.provider_account_id)),
            ("Created", format_datetime(row.created_at)),
            ("ID", row.pk),
        ],
        tables=[
            DetailTable(
                "Totals",
                ["Match", "Report lines", "Report gross", "Ledger entries", "Ledger gross"],
                sums,
                numeric=("Report lines", "Report gross", "Ledger entries", "Ledger gross"),
            ),
            DetailTable(
                "Breaks",
                ["Match", "Category", "Reference", "Report", "Ledger", "Reason"],
                breaks,
                "Everything matches.",
                numeric=("Report", "Ledger"),
            ),
            DetailTable(
                "Settlement lines",
                ["Category", "Reference", "Gross", "Fee", "Net", "Payout", "Match"],
                lines,
                numeric=("Gross", "Fee", "Net"),
            ),
        ],
    )
