"""A refund above the limit is approved by another person, not by another key of the same one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError
from starlette.testclient import TestClient

from bursar import clock, ids, logs, settings
from bursar.access import api_keys, users
from bursar.access.models import ApiKey, User
from bursar.access.roles import Role
from bursar.decorators import acting_as
from bursar.decorators.authorization import Principal
from bursar.payments import refund_approvals
from bursar.payments.models import Payment, Refund, RefundApproval
from bursar.queue.models import Job
from tests.conftest import Database
from tests.flows.admin.office import Office, office
from tests.shop import Shop, commit

ADMIN, OTHER = "admin@example.com", "other@example.com"


@pytest.fixture(autouse=True)
def _limited(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    changed = settings.current.model_copy(update={"refund_approval_thresholds": "EUR=5"})
    monkeypatch.setattr(settings, "current", changed)


def key_of(who: Office) -> str:
    """The token of a key that *who* makes for themselves."""
    return _token(
        who.send("/actions/create_api_key/", name="x", scopes=["refunds:write"], days="3").text
    )


def _token(page: str) -> str:
    return page[page.index("bk_test_") :][:51]


def ask(api: TestClient, payment: Payment, token: str) -> Refund:
    answer = api.post(
        f"/v1/payments/{payment.id}/refunds",
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": ids.new("k")},
        json={"amount": {"amount": 600, "currency": "EUR"}},
    )
    assert (answer.status_code, answer.json()["approval"]) == (201, "pending")
    return Refund.objects.get(id=answer.json()["id"])


def approve(who: Office, refund: Refund) -> int:
    return who.send(f"/actions/approve_refund/{refund.id}/").status_code


def test_who_asks_by_key_does_not_approve_as_a_person(shop: Shop, api: TestClient) -> None:
    payment, admin, other = shop.paid(), office(Role.ADMIN), office(Role.FINANCE, OTHER)
    refund = ask(api, payment, key_of(admin))
    page = admin.get(f"/actions/approve_refund/{refund.id}/").text
    assert f"(owner: {ADMIN})" in page
    refused = admin.send(f"/actions/approve_refund/{refund.id}/")
    assert (refused.status_code, "self_approval_forbidden" in refused.text) == (403, True)
    shop.run_jobs()
    assert (Job.objects.count(), shop.fresh(payment).refunded_minor) == (0, 0)
    assert approve(other, refund) == 302
    shop.run_jobs()
    assert shop.fresh(payment).refunded_minor == 600


def test_who_asks_as_a_person_does_not_approve_by_key(shop: Shop) -> None:
    payment, admin = shop.paid(), office(Role.ADMIN)
    admin.send(f"/actions/refund_payment/{payment.id}/", amount="6.00", reason="x")
    refund = Refund.objects.get()
    with (
        acting_as(principal("key_1", ADMIN)),
        pytest.raises(refund_approvals.SelfApprovalForbidden),
    ):
        commit(lambda: refund_approvals.approve(refund_id=refund.id, now=clock.now()))
    assert RefundApproval.objects.get().decided_at is None


def principal(name: str, email: str) -> Principal:
    person = User.objects.get(email=email)
    return Principal(name, frozenset({"refunds:approve"}), f"user:{person.pk}")


def test_two_keys_of_one_person_are_one_person(shop: Shop, api: TestClient) -> None:
    payment, admin = shop.paid(), office(Role.ADMIN)
    office(Role.ADMIN, OTHER)
    refund = ask(api, payment, key_of(admin))
    with (
        acting_as(principal("key_2", ADMIN)),
        pytest.raises(refund_approvals.SelfApprovalForbidden),
    ):
        commit(lambda: refund_approvals.approve(refund_id=refund.id, now=clock.now()))
    with acting_as(principal("key_3", OTHER)):
        commit(lambda: refund_approvals.approve(refund_id=refund.id, now=clock.now()))
    decided = RefundApproval.objects.get()
    assert (decided.decision, decided.decided_by) == ("approved", "key_3")


def test_who_rotates_a_key_of_another_is_who_asks_with_it(shop: Shop, api: TestClient) -> None:
    payment, admin, other = shop.paid(), office(Role.ADMIN), office(Role.ADMIN, OTHER)
    key_of(other)
    page = admin.send(f"/actions/rotate_api_key/{ApiKey.objects.get().id}/", hours="1").text
    refund = ask(api, payment, _token(page))
    assert approve(admin, refund) == 403
    assert approve(other, refund) == 302


def test_a_new_address_or_role_makes_no_second_person(shop: Shop, api: TestClient) -> None:
    payment, admin = shop.paid(), office(Role.ADMIN)
    other = office(Role.ADMIN, OTHER)
    refund = ask(api, payment, key_of(admin))
    commit(lambda: users.update_user(email=ADMIN, role=Role.FINANCE, now=clock.now()))
    commit(lambda: User.objects.filter(email=ADMIN).update(email="new@example.com"))
    assert approve(admin, refund) == 403
    assert approve(other, refund) == 302


def test_a_key_of_the_operator_is_approved_by_a_person_and_not_by_the_operator(
    shop: Shop, api: TestClient
) -> None:
    payment, finance = shop.paid(), office(Role.FINANCE)
    token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
    commit(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="x", scopes=["refunds:write"], now=now
        )
    )
    refund = ask(api, payment, token)
    with (
        logs.bound_contextvars(actor="root"),
        pytest.raises(refund_approvals.SelfApprovalForbidden),
    ):
        commit(lambda: refund_approvals.approve(refund_id=refund.id, now=clock.now()))
    assert approve(finance, refund) == 302


def test_who_asked_by_key_takes_it_back_as_a_person(shop: Shop, api: TestClient) -> None:
    payment, admin = shop.paid(), office(Role.ADMIN)
    refund = ask(api, payment, key_of(admin))
    assert admin.send(f"/actions/reject_refund/{refund.id}/").status_code == 302
    assert RefundApproval.objects.get().decided_by == f"user:{ADMIN} (withdrawn)"
    assert shop.fresh(payment).pending_refund_minor == 0


def test_the_database_refuses_an_approval_by_the_same_owner(shop: Shop, api: TestClient) -> None:
    payment, admin = shop.paid(), office(Role.ADMIN)
    refund = ask(api, payment, key_of(admin))
    owner = RefundApproval.objects.get().requested_owner
    approval = RefundApproval.objects.filter(refund_id=refund.id)

    def decide(by: str) -> Callable[[], int]:
        return lambda: approval.update(
            decision="approved", decided_by="somebody", decided_owner=by, decided_at=clock.now()
        )

    for by in (owner, ""):
        with pytest.raises(IntegrityError, match="refund_approval_by_another"):
            commit(decide(by))
    assert commit(decide("user:0")) == 1
