"""Every form of the back office decides once, and only with a one-time token of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core import signing
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from bursar import clock, ids, settings
from bursar.access import api_keys, users
from bursar.access.models import ApiKey, IdempotencyRecord, User
from bursar.access.roles import Role
from bursar.admin.actions import form_tokens
from bursar.admin.actions.urls import GLOBAL_ACTIONS, OBJECT_ACTIONS
from bursar.dashboard.config import user_monitors
from bursar.dashboard.models import Monitor
from bursar.payments import reviews
from bursar.payments.models import Refund, Review
from bursar.queue import jobs
from bursar.queue.models import Job
from tests.conftest import Database
from tests.flows.admin.office import Office, add, hidden_fields, office
from tests.shop import Shop, commit

SECRET = re.compile(r'<code class="b-secret">([^<]+)</code>')
API = {
    "title": "Rates",
    "url": "https://api.example.com/v1",
    "interval_seconds": "30",
    "stale_after_seconds": "0",
    "auth": "none",
    "active": "on",
}


@dataclass(frozen=True)
class Form:
    """A form as a person fills it in: the object's key ("" for a new one) and the values."""

    subject: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def limited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refunds above 5 EUR need a second person."""
    changed = settings.current.model_copy(update={"refund_approval_thresholds": "EUR=5"})
    monkeypatch.setattr(settings, "current", changed)


def _awaited_refund(shop: Shop) -> Form:
    return Form(shop.refund(shop.paid(), 600))


def _open_review(_: Shop) -> Form:
    now = clock.now()
    commit(
        lambda: reviews.create_review(
            code="over_captured", subject="s", payment_id=None, detail={}, now=now
        )
    )
    return Form(Review.objects.get().id, {"resolution": "paid twice"})


def _dead_job(shop: Shop) -> Form:
    commit(lambda: jobs.enqueue("charge", {"payment_id": "pay_gone"}, now=clock.now()))
    shop.run_jobs()
    return Form(str(Job.objects.get(state="dead").pk))


def _key(**values: Any) -> Form:
    token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
    commit(
        lambda: api_keys.create(
            key_id=key_id, token=token, name="shop", scopes=["orders:read"], now=now
        )
    )
    return Form(key_id, values)


def _person(**values: Any) -> Form:
    address = add(Role.SUPPORT, "sam@example.com")
    return Form(str(User.objects.get(email=address).pk), values)


def _watched(**values: Any) -> Form:
    declared = {"url": "https://api.example.com/v1", "interval_seconds": 60}
    commit(lambda: user_monitors.save(name="rates", config=declared, active=True, now=clock.now()))
    return Form("rates", values)


def _device(_: Shop) -> Form:
    device = commit(
        lambda: TOTPDevice.objects.create(
            user_id=User.objects.get(email="admin@example.com").pk, name="x", confirmed=False
        )
    )
    return Form(values={"code": f"{totp(device.bin_key):06d}"})


#: How each form is filled in. A decision that is missing here fails the first test.
FORMS: Mapping[str, Callable[[Shop], Form]] = {
    "refund_payment": lambda shop: Form(shop.paid().id, {"amount": "3.92", "reason": "broken"}),
    "approve_refund": _awaited_refund,
    "reject_refund": _awaited_refund,
    "capture_payment": lambda shop: Form(shop.authorized().id, {"amount": "4.00"}),
    "cancel_payment": lambda shop: Form(shop.authorized().id),
    "resolve_review": _open_review,
    "retry_job": _dead_job,
    "rotate_api_key": lambda _: _key(hours="24"),
    "revoke_api_key": lambda _: _key(),
    "update_user": lambda _: _person(role="viewer", active="on"),
    "reset_password": lambda _: _person(),
    "edit_monitor": lambda _: _watched(**API),
    "delete_monitor": lambda _: _watched(),
    "create_api_key": lambda _: Form(
        values={"name": "till", "scopes": ["orders:read"], "days": "30"}
    ),
    "create_user": lambda _: Form(
        values={"email": "new@example.com", "name": "New", "role": "support"}
    ),
    "set_up_mfa": _device,
    "create_monitor": lambda _: Form(values={"name": "rates", **API}),
}
WITH_SECRETS = {"rotate_api_key", "reset_password", "create_api_key", "create_user"}


def test_every_form_is_tried_here() -> None:
    assert set(FORMS) == {*OBJECT_ACTIONS, *GLOBAL_ACTIONS}


def _path(name: str, subject: str) -> str:
    return f"/actions/{name}/{subject}/" if subject else f"/actions/{name}/"


def _books() -> dict[str, list[Any]]:
    """Every row of every table but sessions and the kept results of forms."""
    ignored = {"Session", "IdempotencyRecord"}
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models()
        if model.__name__ not in ignored
    }


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("name", FORMS)
def test_a_form_sent_again_shows_the_first_result_and_changes_nothing(
    shop: Shop, name: str
) -> None:
    me = office(Role.ADMIN)
    form = FORMS[name](shop)
    path = _path(name, form.subject)
    sent = {**form.values, **me.open(path)}
    before = _books()
    first = me.post(path, sent)
    after = _books()
    assert after != before
    again = me.post(path, sent)
    assert _books() == after
    assert first.status_code == again.status_code == (200 if name in WITH_SECRETS else 302)
    assert first.headers.get("Location") == again.headers.get("Location")
    if name in WITH_SECRETS:
        secret = html.unescape(SECRET.findall(first.text)[0])
        assert SECRET.findall(again.text) == []
        assert "cannot be shown again" in again.text
        assert "If nobody copied the" in again.text
        kept = IdempotencyRecord.objects.get()
        assert secret not in f"{bytes(kept.body)!r}{kept.headers}"
    else:
        told = html.unescape(me.get("/").text)
        assert told.count("Submitted more than once, carried out once: ") == 1


def _changed_signature(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def _changed_payload(token: str) -> str:
    return ("A" if token[0] != "A" else "B") + token[1:]


def _own(name: str, subject: str) -> dict[str, Any]:
    """What the token of the administrator's form is issued for."""
    me = User.objects.get(email="admin@example.com")
    return {"user_id": me.pk, "action": name, "subject": subject, "now": clock.now()}


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("name", FORMS)
def test_a_form_without_a_token_of_its_own_is_refused_with_a_fresh_one(
    shop: Shop, name: str
) -> None:
    me = office(Role.ADMIN)
    form = FORMS[name](shop)
    path = _path(name, form.subject)
    opened = me.open(path)
    own = _own(name, form.subject)
    stranger = User.objects.get(email=add(Role.ADMIN, "other@example.com")).pk
    late = own["now"] - form_tokens.AGE_MAX - timedelta(seconds=1)
    cases = {
        "missing": ("", "invalid_form_token"),
        "forged": (_changed_signature(opened["form_token"]), "invalid_form_token"),
        "other person": (form_tokens.issue(**{**own, "user_id": stranger}), "invalid_form_token"),
        "other action": (form_tokens.issue(**{**own, "action": "other"}), "invalid_form_token"),
        "other object": (form_tokens.issue(**{**own, "subject": "other"}), "invalid_form_token"),
        "expired": (form_tokens.issue(**{**own, "now": late}), "form_expired"),
    }
    before, tokens = _books(), {opened["form_token"]}
    for case, (token, code) in cases.items():
        values = {**form.values, **opened, "form_token": token}
        if case == "missing":
            del values["form_token"]
        refused = me.post(path, values)
        status = 403 if code == "invalid_form_token" else 409
        assert (case, refused.status_code, code in refused.text) == (case, status, True)
        tokens.add(hidden_fields(refused)["form_token"])
    assert _books() == before
    assert IdempotencyRecord.objects.count() == 0
    assert len(tokens) == len(cases) + 1
    # The fresh form is good.
    assert me.post(path, {**form.values, **hidden_fields(refused)}).status_code in {200, 302}
    assert _books() != before


def test_a_token_is_what_we_signed_for_this_form_and_time(database: Database) -> None:
    add(Role.ADMIN)
    own = _own("refund_payment", "pay_x")
    good, now = form_tokens.issue(**own), own["now"]
    content = [own["user_id"], "refund_payment", "pay_x", int(now.timestamp()), "x"]
    early = form_tokens.issue(**{**own, "now": now + timedelta(minutes=6)})
    for token, refusal in {
        "x" * 5_000: form_tokens.InvalidFormToken,
        "\x00\u00e9:\u00fc\ud800": form_tokens.InvalidFormToken,
        _changed_payload(good): form_tokens.InvalidFormToken,
        signing.Signer(salt="x").sign_object(content): form_tokens.InvalidFormToken,
        signing.Signer(key="x", salt="bursar.admin.form_token").sign_object(
            content
        ): form_tokens.InvalidFormToken,
        early: form_tokens.FormExpired,
    }.items():
        with pytest.raises(refusal):
            form_tokens.idempotency_key_of(token, **own)
    for later in (form_tokens.AGE_MAX, timedelta(0), -form_tokens.CLOCK_SKEW_MAX):
        moved = {**own, "now": now.replace(microsecond=0) + later}
        assert len(form_tokens.idempotency_key_of(good, **moved)) == 22


def test_two_open_tabs_are_two_decisions(shop: Shop) -> None:
    path = _path("refund_payment", shop.paid().id)
    me = office(Role.FINANCE)
    tabs = [me.open(path), me.open(path)]
    for tab in tabs:
        assert me.post(path, {**tab, "amount": "1.00", "reason": "x"}).status_code == 302
    assert [refund.amount_minor for refund in Refund.objects.all()] == [100, 100]


def test_a_form_is_the_same_after_signing_in_again(shop: Shop) -> None:
    path = _path("refund_payment", shop.paid().id)
    me = office(Role.FINANCE)
    sent = {**me.open(path), "amount": "1.00", "reason": "x"}
    assert me.post(path, sent).status_code == 302
    back = office(Role.FINANCE)
    again = back.post(path, {**sent, **_csrf(back, path)})
    assert again.status_code == 302
    assert Refund.objects.count() == 1


def _csrf(me: Office, path: str) -> dict[str, str]:
    return {"csrfmiddlewaretoken": me.open(path)["csrfmiddlewaretoken"]}


def test_other_values_with_the_same_token_are_refused_and_told_what_was_done(shop: Shop) -> None:
    path = _path("refund_payment", shop.paid().id)
    me = office(Role.FINANCE)
    opened = me.open(path)
    assert me.post(path, {**opened, "amount": "1.00", "reason": "x"}).status_code == 302
    other = me.post(path, {**opened, "amount": "2.00", "reason": "x"})
    assert other.status_code == 409
    assert "form_already_sent" in other.text
    assert "Refund of 1.00 EUR created: sent to the provider." in other.text
    assert 'value="2.00"' in other.text
    assert Refund.objects.count() == 1
    wanted = {**hidden_fields(other), "amount": "2.00", "reason": "x"}
    assert me.post(path, wanted).status_code == 302
    assert [one.amount_minor for one in Refund.objects.order_by("pk")] == [100, 200]


def test_a_refused_decision_is_corrected_on_the_same_form(shop: Shop) -> None:
    payment = shop.authorized()
    path = _path("capture_payment", payment.id)
    me = office(Role.FINANCE)
    opened = me.open(path)
    much = me.post(path, {**opened, "amount": "99.00"})
    assert (much.status_code, "payment_not_capturable" in much.text) == (409, True)
    assert hidden_fields(much)["form_token"] == opened["form_token"]
    assert me.post(path, {**opened, "amount": "4.00"}).status_code == 302
    shop.run_jobs()
    assert shop.fresh(payment).captured_minor == 400


def test_who_may_no_longer_decide_is_not_shown_the_first_result(database: Database) -> None:
    add(Role.ADMIN, "boss@example.com")
    me = office(Role.DEVELOPER)
    sent = {**me.open("/actions/create_monitor/"), "name": "rates", **API}
    assert me.post("/actions/create_monitor/", sent).status_code == 302
    commit(lambda: users.update_user(email="developer@example.com", role="viewer", now=clock.now()))
    assert me.post("/actions/create_monitor/", sent).status_code == 403
    assert Monitor.objects.count() == 1


def test_a_key_in_use_by_the_api_is_not_met_by_a_form(database: Database) -> None:
    """A form's kept result is told apart by its caller from every answer of the API."""
    me = office(Role.ADMIN)
    me.send("/actions/create_api_key/", name="till", scopes=["orders:read"], days="30")
    kept = IdempotencyRecord.objects.get()
    assert kept.caller == f"form:{User.objects.get().pk}"
    assert not kept.caller.startswith((ApiKey.objects.get().id, "user:", "key_"))
