"""Three hundred charges, refunds, disputes and charges abroad flow to a payout that reconciles."""

from __future__ import annotations

import pytest

from bursar.payments import provider_accounts
from bursar.reconciliation.settlement_matching import MatchStatus
from tests.flows.stripe.conftest import ACCOUNT, stripe  # noqa: F401  (a fixture)
from tests.flows.stripe.test_settlement import busy, reconcile, write
from tests.stripe import report as reports


@pytest.mark.timeout(120)
def test_they_flow_to_a_payout_and_reconcile_to_nothing(stripe, tmp_path):  # noqa: F811
    shop = busy(stripe, charges=300)
    assert len(shop.book.listed("charge")) == 303
    [payout] = shop.book.pay_out()
    shop.hear()
    path = write(tmp_path, reports.rows(shop.book))

    report = reconcile(path)

    assert [one for one in report.results if one.match_status is not MatchStatus.MATCHED] == []
    assert report.loaded == len(reports.rows(shop.book)) == sum(t.lines for t in report.totals)
    assert report.is_clean
    # The parts of an authorization have no fee of their own until the report: it told them.
    assert (
        provider_accounts.receivable_balances(ACCOUNT)
        == (provider_accounts.fetch_balance(ACCOUNT) or {})
        == {}
    )
    in_transit = shop.balances()[f"cash_in_transit/{ACCOUNT}:EUR"]
    assert in_transit == payout["amount"]
    assert shop.reviews() == []

    again = reconcile(path)
    assert (again.loaded, again.is_already_loaded, again.results) == (0, True, [])
