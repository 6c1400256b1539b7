"""The same form of the back office sent several times at the same time is carried out once."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Any

import httpx2
import pytest

from bursar.access.models import ApiKey, AuditEntry, User
from bursar.access.roles import Role
from bursar.payments.models import Refund
from tests.flows.admin.office import PASSWORD, Office, office
from tests.shop import Shop

TIMES = 4


def _at_once(me: Office, path: str, **values: Any) -> list[httpx2.Response]:
    """Send one form *TIMES* times from one session; all start together."""
    sent = {**values, **me.open(path)}
    start = threading.Barrier(TIMES)
    answers: list[httpx2.Response] = []

    def send() -> None:
        window = Office()
        window.http.cookies.update(me.http.cookies)
        start.wait(20)
        answers.append(window.post(path, sent))

    threads = [threading.Thread(target=send) for _ in range(TIMES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_one_refund(shop: Shop) -> None:
    payment = shop.paid()
    me = office(Role.FINANCE)
    answers = _at_once(me, f"/actions/refund_payment/{payment.id}/", amount="3.92", reason="broken")
    assert [answer.status_code for answer in answers] == [302] * TIMES
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert [refund.amount_minor for refund in Refund.objects.all()] == [392]
    shop.run_jobs()
    assert (shop.fresh(payment).refunded_minor, shop.fresh(payment).pending_refund_minor) == (
        392,
        0,
    )
    assert AuditEntry.objects.filter(action="refund.create").count() == 1


def test_one_capture(shop: Shop) -> None:
    payment = shop.authorized()
    me = office(Role.FINANCE)
    answers = _at_once(me, f"/actions/capture_payment/{payment.id}/", amount="4.00")
    assert [answer.status_code for answer in answers] == [302] * TIMES
    shop.run_jobs()
    assert shop.fresh(payment).captured_minor == 400
    assert shop.attempts(payment).count(("capture", "succeeded")) == 1


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/actions/create_api_key/", {"name": "till", "scopes": ["orders:read"], "days": "30"}),
        ("/actions/create_user/", {"email": "n@example.com", "name": "N", "role": "support"}),
    ],
)
def test_one_secret_shown_to_one(shop: Shop, path: str, values: dict[str, Any]) -> None:
    me = office(Role.ADMIN)
    answers = _at_once(me, path, **values)
    assert [answer.status_code for answer in answers] == [200] * TIMES
    shown = Counter("b-secret" in answer.text for answer in answers)
    assert shown == {True: 1, False: TIMES - 1}
    if path == "/actions/create_api_key/":
        assert ApiKey.objects.count() == 1
        return
    # The one password that was shown is the one that works.
    [secret] = [found[1] for a in answers if (found := re.search(r'b-secret">([^<]+)<', a.text))]
    assert User.objects.count() == 2
    assert Office().sign_in("n@example.com", secret)
    assert not Office().sign_in("n@example.com", PASSWORD)
