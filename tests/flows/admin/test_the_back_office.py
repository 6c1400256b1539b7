"""The back office: who gets in, what they see, what they decide, and that nothing else changes."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.contrib.admin.utils import quote
from django.db.backends.utils import CursorWrapper
from django_otp import oath
from django_otp.plugins.otp_totp.models import TOTPDevice

from bursar import clock, settings
from bursar.access import totp, users
from bursar.access.models import AuditEntry, User
from bursar.access.roles import SCOPES_OF, Role
from bursar.admin import model_admins
from bursar.admin.actions.urls import GLOBAL_ACTIONS, OBJECT_ACTIONS
from bursar.admin.home import figures
from bursar.decorators import cache_of
from bursar.orders.models import Order
from bursar.payments import reviews
from bursar.payments.models import Payment, Refund, RefundApproval, Review
from bursar.queue import jobs
from bursar.queue.models import Job
from tests.conftest import Database
from tests.flows.admin.office import PASSWORD, Office, add, office
from tests.shop import Shop, commit

LIMITED = "EUR=5"


@pytest.fixture(autouse=True)
def _figures_are_worked_out_anew() -> None:
    cache_of(figures).clear()


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    """Refunds above 5 EUR need a second person."""
    changed = settings.current.model_copy(update={"refund_approval_thresholds": LIMITED})
    monkeypatch.setattr(settings, "current", changed)


# --- Who gets in --------------------------------------------------------------------------------


def test_a_stranger_sees_the_sign_in_and_nothing_else(database: Database) -> None:
    stranger = Office()
    for path in ("/", "/bursar/payment/", "/actions/create_api_key/", "/search/?s=x"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (
            302,
            "/admin/login/",
        )
    assert stranger.get("/login/").status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_wrong_passwords_lock_out_for_a_while_and_the_right_one_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = add(Role.FINANCE)
    at_the_door = Office()
    tries = [at_the_door.sign_in(email, "wrong") for _ in range(users.FAILED_LOGINS_MAX)]
    assert not any(tries)
    assert at_the_door.sign_in(email) is False
    person = User.objects.get()
    assert person.locked_until is not None
    assert AuditEntry.objects.filter(action="user.lock", subject=email).count() == 1
    later = clock.now() + timedelta(minutes=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert at_the_door.sign_in(email)
    person.refresh_from_db()
    assert [person.failed_login_count, person.locked_until] == [0, None]


def test_an_unknown_address_and_a_wrong_password_look_the_same(database: Database) -> None:
    email = add(Role.VIEWER)
    at_the_door = Office()

    def told(name: str) -> str:
        page = at_the_door.send("/login/", username=name, password="wrong", code="").text
        return page[page.index('role="alert"') :][:200]

    assert told(email) == told("nobody@example.com")


def _code(device: TOTPDevice, *, drift: int = 0) -> str:
    return f"{oath.totp(device.bin_key, drift=drift):06d}"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_second_factor_is_set_up_and_then_needed(database: Database) -> None:
    email = add(Role.ADMIN)
    me = Office()
    assert me.sign_in(email)
    page = me.get("/actions/set_up_mfa/")
    assert "<svg" in page.text
    device = TOTPDevice.objects.get()
    wrong = me.send("/actions/set_up_mfa/", code="000000")
    assert (wrong.status_code, "invalid_one_time_code" in wrong.text) == (422, True)
    commit(lambda: TOTPDevice.objects.update(throttling_failure_count=0))
    assert me.send("/actions/set_up_mfa/", code=_code(device)).status_code == 302
    commit(lambda: TOTPDevice.objects.update(last_t=-1))
    device = totp.device_of(User.objects.get())
    other = Office()
    assert not other.sign_in(email)
    commit(lambda: TOTPDevice.objects.update(throttling_failure_count=0))
    assert not other.sign_in(email, code="123")
    commit(lambda: TOTPDevice.objects.update(throttling_failure_count=0))
    assert other.sign_in(email, code=_code(device))
    assert not Office().sign_in(email, code=_code(device)), "each code is good once"


def test_where_a_second_factor_is_required_nobody_gets_far_without(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = add(Role.ADMIN)
    strict = settings.current.model_copy(update={"require_mfa": True})
    monkeypatch.setattr(settings, "current", strict)
    me = Office()
    assert me.sign_in(email)
    assert me.get("/").status_code == 302
    assert me.get("/actions/set_up_mfa/").status_code == 200


def test_who_is_made_inactive_is_out_at_once(database: Database) -> None:
    me = office(Role.VIEWER)
    assert me.get("/").status_code == 200
    add(Role.ADMIN)
    commit(lambda: users.update_user(email="viewer@example.com", is_active=False, now=clock.now()))
    assert me.get("/").status_code == 302


# --- What each role sees and may do -------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", list(Role))
def test_each_role_sees_its_lists_and_no_others(shop: Shop, role: Role) -> None:
    me = office(role)
    for model, shown in model_admins.LISTS.items():
        expected = 200 if shown.scope in SCOPES_OF[role] else 403
        answer = me.get(f"/bursar/{model._meta.model_name}/")
        assert (model.__name__, answer.status_code) == (model.__name__, expected)
    home = me.get("/")
    assert ("/bursar/user/" in home.text) == (role is Role.ADMIN)


NEEDED = {
    "refund_payment": "refunds:write",
    "approve_refund": "refunds:approve",
    "reject_refund": "refunds:write",
    "capture_payment": "payments:write",
    "cancel_payment": "payments:write",
    "resolve_review": "reviews:write",
    "retry_job": "jobs:write",
    "rotate_api_key": "keys:write",
    "revoke_api_key": "keys:write",
    "update_user": "users:write",
    "reset_password": "users:write",
    "create_api_key": "keys:write",
    "create_user": "users:write",
    "create_monitor": "monitors:write",
    "edit_monitor": "monitors:write",
    "delete_monitor": "monitors:write",
}


def test_every_decision_has_a_scope_but_that_about_oneself() -> None:
    assert {*OBJECT_ACTIONS, *GLOBAL_ACTIONS} == {*NEEDED, "set_up_mfa"}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", list(Role))
def test_each_role_decides_what_it_may_and_nothing_else(database: Database, role: Role) -> None:
    me = office(role)
    for name, scope in NEEDED.items():
        path = f"/actions/{name}/" if name in GLOBAL_ACTIONS else f"/actions/{name}/nothing/"
        answer = me.get(path)
        may = scope in SCOPES_OF[role]
        # What is allowed finds nothing of that name; what is not is refused before it looks.
        expected = (200 if name in GLOBAL_ACTIONS else 404) if may else 403
        assert (name, answer.status_code) == (name, expected)


def test_nothing_can_be_edited_added_or_deleted_by_a_form_of_djangos(shop: Shop) -> None:
    payment = shop.paid()
    admin = office(Role.ADMIN)
    before = Payment.objects.values().get()
    for path in ("add/", f"{quote(payment.id)}/delete/"):
        assert admin.get(f"/bursar/payment/{path}").status_code in {403, 404}
    changed = admin.send(f"/bursar/payment/{quote(payment.id)}/change/", amount_minor="1")
    assert changed.status_code in {200, 403, 405}
    assert Payment.objects.values().get() == before


# --- What is decided ----------------------------------------------------------------------------


def test_a_refund_above_the_limit_waits_for_somebody_else(shop: Shop, limited: None) -> None:
    payment = shop.paid()
    fin, other = office(Role.FINANCE), office(Role.FINANCE, "second@example.com")
    decided = fin.send(f"/actions/refund_payment/{payment.id}/", amount="6.00", reason="broken")
    assert decided.status_code == 302
    refund = Refund.objects.get()
    assert Job.objects.filter(name="refund").count() == 0
    page = fin.get(f"/bursar/payment/{quote(payment.id)}/change/").text
    assert "Pending approval" in page
    own = fin.send(f"/actions/approve_refund/{refund.id}/")
    assert (own.status_code, "self_approval_forbidden" in own.text) == (403, True)
    assert other.send(f"/actions/approve_refund/{refund.id}/").status_code == 302
    assert other.send(f"/actions/approve_refund/{refund.id}/").status_code == 409
    shop.run_jobs()
    assert shop.fresh(payment).refunded_minor == 600
    trail = list(AuditEntry.objects.order_by("pk").values_list("action", "actor"))
    assert ("refund.create", "user:finance@example.com") in trail
    assert ("refund.approve", "user:second@example.com") in trail


def test_a_rejected_refund_frees_what_it_reserved(shop: Shop, limited: None) -> None:
    payment = shop.paid()
    fin = office(Role.FINANCE)
    fin.send(f"/actions/refund_payment/{payment.id}/", amount="", reason="all of it")
    refund = Refund.objects.get()
    assert shop.fresh(payment).pending_refund_minor == 1000
    assert fin.send(f"/actions/reject_refund/{refund.id}/").status_code == 302
    assert (shop.fresh(payment).pending_refund_minor, Refund.objects.get().status) == (
        0,
        "canceled",
    )
    shop.run_jobs()
    assert shop.fresh(payment).refunded_minor == 0
    assert RefundApproval.objects.get().decided_by.endswith("(withdrawn)")
    small = fin.send(f"/actions/refund_payment/{payment.id}/", amount="5.00", reason="a part")
    assert small.status_code == 302
    shop.run_jobs()
    assert shop.fresh(payment).refunded_minor == 500


def test_two_browsers_race_for_the_same_refund(shop: Shop) -> None:
    payment = shop.paid()
    people_at_it = [office(Role.FINANCE), office(Role.SUPPORT)]
    statuses: list[int] = []

    def give_back(who: Office) -> None:
        answer = who.send(f"/actions/refund_payment/{payment.id}/", amount="10.00", reason="once")
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=give_back, args=[who]) for who in people_at_it]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [302, 409]
    assert Refund.objects.count() == 1


def test_a_part_is_captured_and_what_is_refused_is_told_on_the_form(shop: Shop) -> None:
    payment = shop.authorized()
    fin = office(Role.FINANCE)
    much = fin.send(f"/actions/capture_payment/{payment.id}/", amount="99.00")
    assert (much.status_code, "payment_not_capturable" in much.text) == (409, True)
    odd = fin.send(f"/actions/capture_payment/{payment.id}/", amount="1.234")
    assert (odd.status_code, "invalid_amount" in odd.text) == (422, True)
    assert fin.send(f"/actions/capture_payment/{payment.id}/", amount="4.00").status_code == 302
    shop.run_jobs()
    assert shop.fresh(payment).captured_minor == 400


def test_a_review_is_answered_and_a_dead_letter_tried_again(shop: Shop) -> None:
    now = clock.now()

    def make() -> None:
        reviews.create_review(
            code="over_captured", subject="s", payment_id=None, detail={}, now=now
        )
        jobs.enqueue("charge", {"payment_id": "pay_gone"}, now=now)

    commit(make)
    shop.run_jobs()
    review, dead = Review.objects.get(), Job.objects.get(state="dead")
    admin = office(Role.ADMIN)
    page = admin.get(f"/bursar/review/{quote(review.id)}/change/").text
    assert f"/admin/actions/resolve_review/{review.id}/" in page
    empty = admin.send(f"/actions/resolve_review/{review.id}/", resolution="")
    assert (empty.status_code, Review.objects.get().resolved_at) == (200, None)
    assert (
        admin.send(f"/actions/resolve_review/{review.id}/", resolution="paid twice").status_code
        == 302
    )
    resolved = Review.objects.get()
    assert (resolved.resolution, resolved.resolved_by) == ("paid twice", "user:admin@example.com")
    assert admin.send(f"/actions/retry_job/{dead.pk}/").status_code == 302
    assert Job.objects.get(pk=dead.pk).state == "ready"
    assert admin.send(f"/actions/retry_job/{dead.pk}/").status_code == 409


def test_keys_and_people_are_made_and_shown_once(database: Database) -> None:
    admin = office(Role.ADMIN)
    made = admin.send("/actions/create_api_key/", name="shop", scopes=["orders:read"], days="30")
    token = made.text[made.text.index("bk_test_") :][:51]
    assert token not in admin.get("/bursar/apikey/").text
    added = admin.send("/actions/create_user/", email="New@Example.com", name="New", role="support")
    assert added.status_code == 200
    twice = admin.send("/actions/create_user/", email="new@example.com", name="New", role="support")
    assert twice.status_code == 409
    new = User.objects.get(email="new@example.com")
    assert (
        admin.send(f"/actions/update_user/{new.pk}/", role="viewer", active="on").status_code == 302
    )
    me = User.objects.get(email="admin@example.com")
    last = admin.send(f"/actions/update_user/{me.pk}/", role="viewer", active="on")
    assert (last.status_code, User.objects.get(pk=me.pk).role) == (409, "admin")


def test_what_people_type_is_never_code(shop: Shop) -> None:
    payment = shop.paid()
    admin = office(Role.ADMIN)
    evil = "<script>alert(1)</script>"
    admin.send(f"/actions/refund_payment/{payment.id}/", amount="1.00", reason=evil)
    shop.run_jobs()
    for path in (f"/bursar/payment/{quote(payment.id)}/change/", "/bursar/refund/"):
        page = admin.get(path)
        assert evil not in page.text
        assert "&lt;script&gt;" in page.text
        assert "script-src 'self' 'unsafe-eval';" in page.headers["Content-Security-Policy"]


def test_a_form_without_its_token_or_with_a_card_number_changes_nothing(shop: Shop) -> None:
    payment = shop.paid()
    admin = office(Role.ADMIN)
    path = f"/admin/actions/refund_payment/{payment.id}/"
    assert admin.http.post(path, data={"reason": "x"}).status_code == 403
    card = admin.send(f"/actions/refund_payment/{payment.id}/", reason="card 4111 1111 1111 1111")
    assert (card.status_code, "4111" in card.text) == (422, False)
    assert "<code>card_number_refused</code>" in card.text
    assert admin.get("/bursar/order/?q=4111111111111111").status_code == 422
    assert Refund.objects.count() == 0


def test_ctrl_k_finds_by_any_reference(shop: Shop) -> None:
    payment = shop.paid()
    order = Order.objects.get()
    viewer = office(Role.VIEWER)
    reference = payment.links.first()
    assert reference is not None
    for term in (order.reference, payment.id, reference.reference):
        found = viewer.get(f"/search/?extended=1&s={term}").text
        assert f"/admin/bursar/payment/{quote(payment.id)}/change/" in found


# --- Long lists ---------------------------------------------------------------------------------


def test_a_list_costs_the_same_few_queries_however_long_it_is(shop: Shop) -> None:
    """No count over everything, and nothing asked row by row."""
    admin = office(Role.ADMIN)
    paths = [f"/bursar/{model._meta.model_name}/" for model in model_admins.LISTS]
    _many(shop, 2)
    few = {path: _queries(admin, path) for path in paths}
    _many(shop, 7)
    for path in paths:
        many = _queries(admin, path)
        assert (path, len(many)) <= (path, max(len(few[path]), 7))
        over_all = [sql for sql in many if re.search(r"COUNT\(|DISTINCT (?!.*bursar_account)", sql)]
        assert over_all == []


def _many(shop: Shop, count: int) -> None:
    for _ in range(count):
        payment = shop.paid()
        shop.refund(payment, 100)
    shop.run_jobs()


def _queries(who: Office, path: str) -> list[str]:
    # The pages are worked out on other threads, so it is the class that is listened to.
    found: list[str] = []
    before = CursorWrapper.execute

    def execute(self: CursorWrapper, sql: str, params: object = None) -> object:
        found.append(str(sql))
        return before(self, sql, params)  # type: ignore[arg-type]

    CursorWrapper.execute = execute  # type: ignore[method-assign,assignment]
    try:
        assert who.get(path).status_code == 200
    finally:
        CursorWrapper.execute = before  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("path", ["/password_change/", "/password_change/done/"])
def test_djangos_own_password_page_is_not_served(database: Database, path: str) -> None:
    me = office(Role.ADMIN)
    assert me.get(path).status_code == 404
    changed = {"old_password": PASSWORD, "new_password1": "x" * 20, "new_password2": "x" * 20}
    token = me.open("/actions/set_up_mfa/")["csrfmiddlewaretoken"]
    assert me.post(path, {**changed, "csrfmiddlewaretoken": token}).status_code == 404
    assert Office().sign_in("admin@example.com")


@pytest.mark.parametrize(
    "query",
    [
        "user/?password__startswith=argon2",
        "user/?email=admin@example.com&password__startswith=argon2",
        "user/?role__exact=admin",
        "apikey/?digest__startswith=a",
        "order/?idempotency_key__startswith=k",
        "payment/?payment_method_token__startswith=tok",
        "payment/?status__in=captured,pending",
    ],
)
def test_lists_are_filtered_by_what_they_show_only(database: Database, query: str) -> None:
    me = office(Role.ADMIN)
    assert me.get(f"/bursar/{query}").status_code in {302, 400}
    for allowed in (
        "payment/?status__exact=captured",
        "job/?state__exact=dead",
        "fact/?kind__exact=charge",
    ):
        assert me.get(f"/bursar/{allowed}").status_code == 200
