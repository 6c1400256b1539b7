"""The back office as people see it: in a browser, at two widths, in both colour schemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from bursar import clock
from bursar.access import users
from bursar.access.models import User
from bursar.access.roles import Role
from bursar.admin import model_admins
from bursar.orders.models import Order
from bursar.payments import reviews
from bursar.payments.models import Refund, Review
from bursar.queue import jobs
from bursar.queue.models import Job
from tests.acceptance import driving
from tests.conftest import Database
from tests.shop import Shop, commit

PASSWORD = "correct horse battery staple"
pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]


@pytest.fixture
def address(database: Database, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A shop with something of everything, served."""
    # Playwright keeps an event loop on this thread, where Django would refuse to read.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    driving.chromium()
    hashed, now = users.hash_password(PASSWORD), clock.now()
    for name, role in (("ann", Role.ADMIN), ("fin", Role.FINANCE), ("eve", Role.FINANCE)):
        _add(name, role, hashed)
    shop.paid()
    shop.authorized()
    shop.paid("tok_createDispute")
    shop.place("tok_declined_soft")
    shop.refund(shop.paid(), 100)
    shop.deliver(shop.deliveries()[:3])
    commit(
        lambda: reviews.create_review(
            code="over_captured", subject="s", payment_id=None, detail={"more": "1.00"}, now=now
        )
    )
    shop.run_jobs()
    commit(lambda: jobs.enqueue("charge", {"payment_id": "pay_gone"}, now=now))
    shop.run_jobs()
    with driving.serving(BURSAR_REFUND_APPROVAL_THRESHOLDS="EUR=5") as served:
        yield served


def _add(name: str, role: Role, hashed: str) -> None:
    email, now = f"{name}@example.com", clock.now()
    commit(
        lambda: users.create_user(
            email=email, name=name.title(), role=role, password_hash=hashed, now=now
        )
    )


def sign_in(page: Any, address: str, name: str, code: str = "") -> None:
    page.goto(f"{address}/admin/")
    page.fill("[name=username]", f"{name}@example.com")
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=code]", code)
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("h1:has-text('Overview')")


def test_people_do_their_work(address: str) -> None:
    with driving.browsing(address, refusals="403") as (chromium, watch):
        fin, eve = chromium.new_page(), chromium.new_page()
        watch(fin)
        watch(eve)
        sign_in(fin, address, "fin")
        refund = _refund_with_approval(address, fin, eve)
        _answer_a_review(address, eve)
        ann = chromium.new_page()
        watch(ann)
        sign_in(ann, address, "ann")
        _retry_a_dead_letter(address, ann)
        _find_from_anywhere(ann, refund.id)


def _refund_with_approval(address: str, fin: Any, eve: Any) -> Refund:
    # An order is found, and a part of it refunded; it is above the limit.
    fin.goto(f"{address}/admin/bursar/payment/?status__exact=captured")
    fin.click("#result_list a[href*='/change/'] >> nth=-1")
    fin.click("a.b-button:has-text('Refund')")
    fin.fill("[name=amount]", "6.00")
    fin.fill("[name=reason]", "broken")
    fin.click("button.b-button:has-text('Refund')")
    fin.wait_for_selector("text=Pending approval")
    refund = Refund.objects.order_by("-pk")[0]
    assert refund.amount_minor == 600
    # Who asked cannot approve; somebody else can.
    fin.goto(f"{address}/admin/actions/approve_refund/{refund.id}/")
    fin.click("button.b-button:has-text('Approve')")
    fin.wait_for_selector("text=self_approval_forbidden")
    sign_in(eve, address, "eve")
    eve.goto(f"{address}/admin/bursar/refund/{quote(refund.id)}/change/")
    eve.click("a.b-button:has-text('Approve')")
    eve.click("button.b-button:has-text('Approve')")
    eve.wait_for_selector("text=Refund approved: sent to the provider.")
    return refund


def _answer_a_review(address: str, eve: Any) -> None:
    # A review is answered.
    review = Review.objects.get(code="over_captured")
    eve.goto(f"{address}/admin/bursar/review/{quote(review.id)}/change/")
    eve.click("a.b-button:has-text('Resolve')")
    eve.fill("[name=resolution]", "a test of ours")
    eve.click("button.b-button:has-text('Resolve')")
    eve.wait_for_selector("text=Review resolved.")
    assert Review.objects.get(id=review.id).resolved_by == "user:eve@example.com"


def _retry_a_dead_letter(address: str, ann: Any) -> None:
    # A dead letter is tried again, by somebody who may.
    dead = Job.objects.get(state="dead")
    ann.goto(f"{address}/admin/bursar/job/{dead.pk}/change/")
    ann.click("a.b-button:has-text('Retry')")
    ann.click("button.b-button:has-text('Retry')")
    ann.wait_for_selector(f"text=Job {dead.pk} enqueued again.")


def _find_from_anywhere(page: Any, words: str) -> None:
    # The page shows nothing before its scripts hear keys; htmx asks from DOMContentLoaded on.
    page.wait_for_load_state("domcontentloaded")
    page.keyboard.press("Control+k")
    # The palette is there a moment before its field has the focus: until then keys are lost.
    page.wait_for_selector("#search-input-command:focus")
    page.keyboard.type(words)
    page.wait_for_selector(f"#command-results-list a:has-text('{words}')")


def _refund_form(page: Any, address: str, payment_id: str) -> None:
    page.goto(f"{address}/admin/actions/refund_payment/{payment_id}/")
    page.fill("[name=amount]", "2.11")
    page.fill("[name=reason]", "broken")


def test_a_refund_form_that_is_sent_twice_refunds_once(address: str, shop: Shop) -> None:
    payment_id = shop.payment(Order.objects.earliest("pk").id).id
    refunds = Refund.objects.filter(payment_id=payment_id)
    with driving.browsing(address) as (chromium, watch):
        page = chromium.new_page()
        watch(page)
        posts: list[str] = []
        page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
        sign_in(page, address, "fin")
        # Enter twice, with the page's own guard and without.
        for count, guard in enumerate((True, False), 1):
            if not guard:
                page.route("**/forms.js", lambda route: route.fulfill(body=""))
            posts.clear()
            _refund_form(page, address, payment_id)
            for _ in range(2):
                page.keyboard.press("Enter")
            page.wait_for_selector("text=Refund of 2.11 EUR created")
            assert refunds.count() == count
            assert len(posts) == 1 or not guard
        # Two POSTs before the first answer, whatever the keyboard's speed.
        posts.clear()
        _refund_form(page, address, payment_id)
        page.evaluate(SEND_TWICE)
        page.wait_for_selector("text=Refund of 2.11 EUR created")
        assert (len(posts), refunds.count()) == (2, 3)
        assert [refund.amount_minor for refund in refunds] == [211] * 3


SEND_TWICE = """() => {
  const form = document.querySelector("form:has([name=form_token])");
  const sent = new URLSearchParams(new FormData(form));
  const options = {method: "POST", body: sent, redirect: "manual"};
  fetch(form.action, options).catch(() => {});
  HTMLFormElement.prototype.submit.call(form);
}"""


def test_signing_in_with_a_second_factor(address: str) -> None:
    person = User.objects.get(email="ann@example.com")
    device = commit(lambda: TOTPDevice.objects.create(user_id=person.pk, name="x", confirmed=True))
    with driving.browsing(address) as (chromium, watch):
        page = chromium.new_page()
        watch(page)
        page.goto(f"{address}/admin/")
        page.fill("[name=username]", "ann@example.com")
        page.fill("[name=password]", PASSWORD)
        page.click("button:has-text('Sign in')")
        page.wait_for_selector("[role=alert]")
        commit(lambda: TOTPDevice.objects.update(throttling_failure_count=0))
        sign_in(page, address, "ann", f"{totp(device.bin_key):06d}")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_every_page_is_whole_and_accessible(address: str, width: int, scheme: str) -> None:
    """Nothing wider than a screen, wide or narrow, and nothing serious for axe, in both schemes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    bad: list[str] = []
    with driving.browsing(address) as (chromium, watch):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        page = context.new_page()
        watch(page)
        sign_in(page, address, "ann")
        for path in _paths():
            page.goto(address + path, wait_until="load")
            page.wait_for_selector("#content, #swagger-ui .info")
            bad += _seen(axe, page, path)
            page.set_viewport_size({"width": 1_800 - width, "height": 900})
            bad += _too_wide(page, path)
            page.set_viewport_size({"width": width, "height": 900})
    assert bad == []


def _paths() -> list[str]:
    paths = ["/admin/", "/admin/actions/create_api_key/", "/admin/actions/set_up_mfa/", "/docs"]
    for model in model_admins.LISTS:
        name, row = model._meta.model_name, model._default_manager.first()
        paths.append(f"/admin/bursar/{name}/")
        if row is not None:
            paths.append(f"/admin/bursar/{name}/{quote(row.pk)}/change/")
    return paths


def _seen(axe: Any, page: Any, path: str) -> list[str]:
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    if path == "/docs":
        serious = []  # Swagger's own page
    told = [f"{path}: {one['id']} {one['nodes'][0]['html'][:150]}" for one in serious]
    return told + _too_wide(page, path)


def _too_wide(page: Any, path: str) -> list[str]:
    narrow = "document.documentElement.scrollWidth <= window.innerWidth"
    if driving.becomes(page, narrow):  # a chart follows the window a moment later
        return []
    return [f"{path}: wider than the screen"]
