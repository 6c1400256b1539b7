"""Invariants of orders: each name with the query that returns its violations."""

from __future__ import annotations

from collections.abc import Mapping

INVARIANTS: Mapping[str, str] = {
    "order totals equal the sums of their lines": (
        "SELECT o.id, o.reference, o.total_minor, SUM(l.gross_minor) AS lines_minor "
        "FROM bursar_order o LEFT JOIN bursar_orderline l ON l.order_id = o.id "
        "GROUP BY o.id, o.reference, o.total_minor, o.tax_minor "
        "HAVING COALESCE(SUM(l.gross_minor), 0) <> o.total_minor "
        "OR COALESCE(SUM(l.tax_minor), 0) <> o.tax_minor"
    ),
    "a payment has its order's currency and at most its total": (
        "SELECT p.id, p.order_id, p.amount_minor, p.currency FROM bursar_payment p "
        "JOIN bursar_order o ON o.id = p.order_id "
        "WHERE p.currency <> o.currency OR p.amount_minor > o.total_minor"
    ),
    "refunded units of a line do not exceed its quantity": (
        "SELECT l.id, l.order_id, l.quantity, SUM(r.quantity) AS refunded "
        "FROM bursar_orderline l JOIN bursar_refundline r ON r.order_line_id = l.id "
        "JOIN bursar_refund f ON f.id = r.refund_id AND f.status IN ('pending', 'succeeded') "
        "GROUP BY l.id, l.order_id, l.quantity HAVING SUM(r.quantity) > l.quantity"
    ),
}
