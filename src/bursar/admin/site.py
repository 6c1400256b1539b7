"""The site: who is let in, the menu, the search, and every address below /admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse, reverse_lazy
from django_otp import login as verify_session
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from bursar import clock, group_commit, settings
from bursar.access import roles, totp, users
from bursar.access.models import User
from bursar.admin import access_log_reports, formatting, home, model_admins
from bursar.admin.actions import urls
from bursar.admin.filters import keys_of, scopes
from bursar.orders.models import Order
from bursar.payments.models import Payment, Refund, Review

RESULTS_MAX = 20


class SignIn(AdminAuthenticationForm):
    """E-mail and password and, for who has set one up, the code of the second factor."""

    username = forms.CharField(
        label="E-mail",
        widget=UnfoldAdminTextInputWidget({"autofocus": True, "autocomplete": "username"}),
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
    )
    code = forms.CharField(
        label="One-time code",
        required=False,
        max_length=8,
        help_text="Only if you have set up a second factor.",
        widget=UnfoldAdminTextInputWidget(
            {"autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
    )

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "That is not right, or the account is locked for a while after too many "
        "wrong tries.",
    }

    def confirm_login_allowed(self, user: Any) -> None:
        """After the password, the code; both wrong ones look the same."""
        super().confirm_login_allowed(user)
        now, email, token = clock.now(), user.email, self.cleaned_data.get("code", "").strip()
        if totp.device_of(user) is not None:
            right = group_commit.commits.run_blocking(
                lambda: totp.verify_code(email=email, token=token)
            )
            if not right:
                group_commit.commits.run_blocking(
                    lambda: users.record_failed_login(email=email, now=now)
                )
                raise self.get_invalid_login_error()
        group_commit.commits.run_blocking(lambda: users.record_login(email=email, now=now))


class Site(UnfoldAdminSite):  # type: ignore[misc]  # Unfold has no types
    """The back office."""

    index_title = "Monday morning"
    login_form = SignIn
    login_template = "bursar/sign_in.html"
    index_template = "bursar/home.html"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Whoever is active and, where it is required, has signed in with a second factor."""
        person = request.user
        if not isinstance(person, User) or not person.is_staff:
            return False
        return request.path == second_factor_url() or not totp.setup_required(person)

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Sign in; one who still lacks a required second factor is led to set it up."""
        response: HttpResponse = super().login(request, extra_context)
        person = request.user
        if isinstance(person, User):
            device = totp.device_of(person)
            if device is not None and request.method == "POST":
                verify_session(request, device)
            elif device is None and settings.current.require_mfa:
                return HttpResponse(status=302, headers={"Location": second_factor_url()})
        return response

    def get_urls(self) -> list[Any]:
        """Django's, those of the decisions and of the traffic reports."""
        return [*urls.urls(self), *access_log_reports.urls(self), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Home."""
        answer: HttpResponse = super().index(request, home.context(request))
        return answer


def second_factor_url() -> str:
    """Where people set up their second factor."""
    return reverse("admin:decide_second_factor")


def account_links(_: HttpRequest) -> list[dict[str, Any]]:
    """What people find under their own name."""
    return [{"title": "Second factor", "link": second_factor_url()}]


def environment(_: HttpRequest) -> list[str]:
    """The installation's mode, in the corner of every page."""
    live = settings.current.mode is settings.Mode.LIVE
    return ["live", "danger"] if live else ["test", "info"]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu: only what the person may see."""

    def item(title: str, icon: str, model: str, scope: str) -> dict[str, Any]:
        link = reverse_lazy(f"admin:bursar_{model}_changelist")
        return {
            "title": title,
            "icon": icon,
            "link": link,
            "permission": lambda r: scope in scopes(r),
        }

    groups: list[tuple[str, list[dict[str, Any]]]] = [
        (
            "",
            [
                {"title": "Home", "icon": "home", "link": reverse_lazy("admin:index")},
                {
                    "title": "Dashboard",
                    "icon": "dashboard",
                    "link": "/dashboard",
                    "permission": lambda r: roles.DASHBOARD_READ in scopes(r),
                },
            ],
        ),
        (
            "Money",
            [
                item("Orders", "shopping_cart", "order", roles.ORDERS_READ),
                item("Payments", "credit_card", "payment", roles.PAYMENTS_READ),
                item("Refunds", "undo", "refund", roles.REFUNDS_READ),
                item("Approvals", "approval", "refundapproval", roles.REFUNDS_READ),
                item("Reviews", "rule", "review", roles.REVIEWS_READ),
            ],
        ),
        (
            "Books",
            [
                item("Ledger accounts", "account_balance", "account", roles.LEDGER_READ),
                item("Transfers", "swap_horiz", "transfer", roles.LEDGER_READ),
                item("Reconciliations", "join_inner", "reconciliation", roles.LEDGER_READ),
            ],
        ),
        (
            "Machine",
            [
                item("Jobs", "manufacturing", "job", roles.JOBS_READ),
                item("Periodic jobs", "schedule", "periodicjobstatus", roles.JOBS_READ),
                item("Events", "receipt_long", "fact", roles.FACTS_READ),
                item("Inbox", "inbox", "webhookevent", roles.FACTS_READ),
                item("Provider accounts", "hub", "provideraccount", roles.ACCOUNTS_READ),
                item("Watched APIs", "sensors", "monitor", roles.DASHBOARD_READ),
                item("Alerts", "notifications", "alert", roles.DASHBOARD_READ),
                {
                    "title": "Traffic",
                    "icon": "monitoring",
                    "link": reverse_lazy("admin:traffic"),
                    "permission": lambda r: access_log_reports.SCOPE in scopes(r),
                },
            ],
        ),
        (
            "Access",
            [
                item("People", "group", "user", roles.PEOPLE_READ),
                item("API keys", "key", "apikey", roles.KEYS_READ),
                item("Audit trail", "history", "auditentry", roles.AUDIT_READ),
            ],
        ),
    ]
    may = scopes(request)
    shown = []
    for title, items in groups:
        allowed = [
            each for each in items if "permission" not in each or each["permission"](request)
        ]
        if allowed and may:
            shown.append({"title": title, "items": allowed, "separator": bool(title)})
    return shown


def found(request: HttpRequest, _: str) -> list[SearchResult]:
    """What Ctrl+K finds: a thing by its id, or by the merchant's or the provider's reference."""
    term, may = request.GET.get("s", "").strip(), scopes(request)
    results = []
    for model, shown in (
        (Order, model_admins.OrderAdmin),
        (Payment, model_admins.PaymentAdmin),
        (Refund, model_admins.RefundAdmin),
        (Review, model_admins.ReviewAdmin),
    ):
        if shown.scope not in may:
            continue
        for key in keys_of(model, shown.found_by, term)[:RESULTS_MAX]:
            row = model._default_manager.get(pk=key)
            name = model._meta.verbose_name or ""
            link = reverse(f"admin:bursar_{model._meta.model_name}_change", args=[quote(key)])
            results.append(SearchResult(_title(row), str(name), link, "data_object"))
    return results


def _title(row: Any) -> str:
    if isinstance(row, Order):
        return f"{row.reference}"
    if isinstance(row, Review):
        return formatting.humanize(row.code)
    return f"{row.pk} ({row.status})"


site = Site()
for _model, _list in model_admins.LISTS.items():
    site.register(_model, _list)

# A2wsgi strips /admin before Django sees the address, and names it as the script's.
urlpatterns = [path("", site.urls)]
