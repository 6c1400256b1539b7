"""Reconciling, disputes and the check of an account as a person meets them."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from bursar.access.roles import Role
from bursar.cli.commands import app
from bursar.payments.models import Payment
from tests.conftest import Database
from tests.flows.admin.office import office
from tests.flows.stripe.conftest import ACCOUNT, StripeShop
from tests.flows.stripe.test_settlement import lines, reconcile, write
from tests.stripe import report as reports
from tests.stripe import server


@pytest.fixture
def database(sqlite_only: Database) -> Database:
    """What the provider tells is the same on both; `test_settlement` has it on PostgreSQL too."""
    return sqlite_only


@pytest.fixture
def say(stripe):
    """Run a command in this process, on the test's database; exit status and what it printed."""

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(words))
        return result.exit_code, re.sub(r"\s+", " ", result.output)

    return run


def paid_out(stripe) -> StripeShop:
    shop: StripeShop = stripe()
    shop.paid()
    shop.refund(shop.paid(lines=lines(2_345)), 345)
    shop.run_jobs()
    shop.book.pay_out()
    shop.hear()
    return shop


def test_a_report_that_matches_exits_with_zero(stripe, say, tmp_path):
    path = write(tmp_path, reports.rows(paid_out(stripe).book))
    status, told = say("reconcile", str(path), "--account", ACCOUNT)
    assert status == 0, told
    assert "4 lines loaded from report.csv" in told
    assert "Breaks" not in told
    status, told = say("reconcile", str(path), "--account", ACCOUNT)
    assert (status, "report.csv was loaded before" in told) == (0, True)


def test_a_report_that_does_not_exits_with_one_and_says_why(stripe, say, tmp_path):
    rows = reports.rows(paid_out(stripe).book)
    rows[0].update(fee="0.50", net="9.50")
    status, told = say("reconcile", str(write(tmp_path, rows)), "--account", ACCOUNT)
    assert status == 1
    assert "fee_mismatch" in told
    assert "fee of 0.50 EUR reported, 0.40 EUR in our books" in told.replace("│", "")


def test_without_a_file_the_provider_is_asked(stripe, say):
    paid_out(stripe)
    status, told = say("reconcile", "--account", ACCOUNT, "--since", "2020-01-01")
    assert (status, f"4 lines loaded from {ACCOUNT}" in told) == (0, True), told


def test_disputes_are_listed_and_answered(stripe, say):
    shop = stripe()
    shop.paid("pm_card_createDispute")
    shop.hear()
    [dispute] = shop.book.listed("dispute")
    assert dispute["id"] in say("disputes")[1]
    status, told = say(
        "disputes",
        "answer",
        dispute["id"],
        "--account",
        ACCOUNT,
        "--submit",
        "--evidence",
        "uncategorized_text=It was delivered.",
    )
    assert (status, told.strip()) == (0, f"{dispute['id']}: under_review")
    assert dispute["evidence"]["uncategorized_text"] == "It was delivered."
    assert "No dispute needs a response." in say("disputes")[1]


def test_the_check_says_what_is_missing(stripe, say, monkeypatch):
    stripe()
    status, told = say("accounts", "check", ACCOUNT)
    assert status == 1
    for words in (
        "a test key: no real money moves",
        "connected to account acct_1",
        "not set: required for 3-D Secure redirects",
        "from Stripe's",
        "is not registered",
        server.HOOK_URL,
        "digits that differ from ISO 4217: ISK 2, MGA 0, UGX 2",
    ):
        assert words in told, words
    assert f"https://localhost/hooks/{ACCOUNT}" in told.replace("\n", "")
    assert server.KEY not in told


def test_a_payment_is_followed_from_order_to_the_bank(stripe, tmp_path):
    shop = paid_out(stripe)
    reconcile(write(tmp_path, reports.rows(shop.book)))
    payment = Payment.objects.get(refunded_minor__gt=0)
    me = office(Role.VIEWER)
    text = re.sub(r"<[^>]+>|\s+", " ", me.get(f"/bursar/payment/{payment.id}/change/").text)
    text = re.sub(r"\s+", " ", text)
    story = [
        "Payment created",
        "requested from stripe-eu",
        "API response: charge of",
        "Posted",
        "Refund of",
        "Refund of",
        "API response: refund of",
        "Settled by stripe-eu: charge",
        "Settled by stripe-eu: refund",
        "Payout po_",
        f"cash_in_transit/{ACCOUNT}:EUR",
    ]
    for words in story:
        assert words in text, words
    assert (
        text.index("Payment created")
        < text.index("requested from stripe-eu")
        < text.index("Settled by")
    )
    runs = me.get("/bursar/reconciliation/").text
    assert "report.csv" in runs
    page = re.search(r"/admin/bursar/reconciliation/(rec_\w+)/change/", runs)
    assert page is not None
    shown = me.get(f"/bursar/reconciliation/{page[1]}/change/").text
    assert "Everything matches." in shown
