"""The admin site: sign-in, menu, global search, and the URLs below /admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.utils import quote
from django.http import Http404, HttpRequest, HttpResponse
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
from bursar.admin.permissions import scopes_of
from bursar.admin.queries import find_keys
from bursar.orders.models import Order
from bursar.payments.models import Payment, Refund, Review

RESULTS_MAX = 20


class LoginForm(AdminAuthenticationForm):
    """Sign-in form: e-mail, password and, if two-factor authentication is on, a one-time code."""

    username = forms.CharField(
        label="Email",
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
        help_text="Only if two-factor authentication is on for your account.",
        widget=UnfoldAdminTextInputWidget(
            {"autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
    )

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "Email, password or one-time code is wrong, or the account is temporarily "
        "locked after too many failed attempts.",
    }

    def confirm_login_allowed(self, user: Any) -> None:
        """Check the one-time code after the password; the error does not say which was wrong."""
        super().confirm_login_allowed(user)
        now, email, token = clock.now(), user.email, self.cleaned_data.get("code", "").strip()
        if totp.device_of(user) is not None:
            is_correct = group_commit.commits.run_blocking(
                lambda: totp.verify_code(email=email, token=token)
            )
            if not is_correct:
                group_commit.commits.run_blocking(
                    lambda: users.record_failed_login(email=email, now=now)
                )
                raise self.get_invalid_login_error()
        group_commit.commits.run_blocking(lambda: users.record_login(email=email, now=now))


class BackOfficeSite(UnfoldAdminSite):  # type: ignore[misc]  # Unfold has no types
    """The admin site of the back office."""

    index_title = "Home"
    login_form = LoginForm
    login_template = "bursar/sign_in.html"
    index_template = "bursar/home.html"
    enable_nav_sidebar = True

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """
        Refuse Django's own page, which saves the whole user row outside the group commit.

        A demotion that commits meanwhile would be undone, and nothing is audited.
        """
        raise Http404

    password_change_done = password_change

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the user is active and has two-factor authentication where it is required."""
        user = request.user
        if not isinstance(user, User) or not user.is_staff:
            return False
        return request.path == mfa_url() or not totp.setup_required(user)

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Sign in; redirect to the two-factor set-up where it is required and missing."""
        response: HttpResponse = super().login(request, extra_context)
        user = request.user
        if isinstance(user, User):
            device = totp.device_of(user)
            if device is not None and request.method == "POST":
                verify_session(request, device)
            elif device is None and settings.current.require_mfa:
                return HttpResponse(status=302, headers={"Location": mfa_url()})
        return response

    def get_urls(self) -> list[Any]:
        """Return Django's URLs, those of the actions and those of the traffic reports."""
        return [*urls.urls(self), *access_log_reports.urls(self), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the home page."""
        response: HttpResponse = super().index(request, home.context(request))
        return response


def mfa_url() -> str:
    """Return the URL of the two-factor set-up."""
    return reverse("admin:action_set_up_mfa")


def account_links(_: HttpRequest) -> list[dict[str, Any]]:
    """Return the links of the account menu."""
    return [{"title": "Two-factor authentication", "link": mfa_url()}]


def environment(_: HttpRequest) -> list[str]:
    """Return the installation's mode and its colour, shown on every page."""
    live = settings.current.mode is settings.Mode.LIVE
    return ["live", "danger"] if live else ["test", "info"]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu: the entries that the user's scopes allow."""

    def item(title: str, icon: str, model: str, scope: str) -> dict[str, Any]:
        link = reverse_lazy(f"admin:bursar_{model}_changelist")
        return {
            "title": title,
            "icon": icon,
            "link": link,
            "permission": lambda r: scope in scopes_of(r),
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
                    "permission": lambda r: roles.DASHBOARD_READ in scopes_of(r),
                },
            ],
        ),
        (
            "Payments",
            [
                item("Orders", "shopping_cart", "order", roles.ORDERS_READ),
                item("Payments", "credit_card", "payment", roles.PAYMENTS_READ),
                item("Refunds", "undo", "refund", roles.REFUNDS_READ),
                item("Refund approvals", "approval", "refundapproval", roles.REFUNDS_READ),
                item("Reviews", "rule", "review", roles.REVIEWS_READ),
            ],
        ),
        (
            "Accounting",
            [
                item("Ledger accounts", "account_balance", "account", roles.LEDGER_READ),
                item("Transfers", "swap_horiz", "transfer", roles.LEDGER_READ),
                item("Reconciliations", "join_inner", "reconciliation", roles.LEDGER_READ),
            ],
        ),
        (
            "Operations",
            [
                item("Jobs", "manufacturing", "job", roles.JOBS_READ),
                item("Periodic jobs", "schedule", "periodicjobstatus", roles.JOBS_READ),
                item("Facts", "receipt_long", "fact", roles.FACTS_READ),
                item("Webhook events", "inbox", "webhookevent", roles.FACTS_READ),
                item("Provider accounts", "hub", "provideraccount", roles.ACCOUNTS_READ),
                item("Monitors", "sensors", "monitor", roles.DASHBOARD_READ),
                item("Alerts", "notifications", "alert", roles.DASHBOARD_READ),
                {
                    "title": "Traffic",
                    "icon": "monitoring",
                    "link": reverse_lazy("admin:traffic"),
                    "permission": lambda r: access_log_reports.SCOPE in scopes_of(r),
                },
            ],
        ),
        (
            "Access",
            [
                item("Users", "group", "user", roles.USERS_READ),
                item("API keys", "key", "apikey", roles.KEYS_READ),
                item("Audit log", "history", "auditentry", roles.AUDIT_READ),
            ],
        ),
    ]
    allowed_scopes = scopes_of(request)
    menu = []
    for title, items in groups:
        visible = [
            each for each in items if "permission" not in each or each["permission"](request)
        ]
        if visible and allowed_scopes:
            menu.append({"title": title, "items": visible, "separator": bool(title)})
    return menu


def search_objects(request: HttpRequest, _: str) -> list[SearchResult]:
    """Return the matches of the global search (Ctrl+K): by id, order reference or provider reference."""
    term, allowed = request.GET.get("s", "").strip(), scopes_of(request)
    results = []
    for model, model_admin in (
        (Order, model_admins.OrderAdmin),
        (Payment, model_admins.PaymentAdmin),
        (Refund, model_admins.RefundAdmin),
        (Review, model_admins.ReviewAdmin),
    ):
        if model_admin.scope not in allowed:
            continue
        for key in find_keys(model, model_admin.search_columns, term)[:RESULTS_MAX]:
            row = model._default_manager.get(pk=key)
            name = model._meta.verbose_name or ""
            link = reverse(f"admin:bursar_{model._meta.model_name}_change", args=[quote(key)])
            results.append(SearchResult(_title(row), str(name), link, "data_object"))
    return results


def _title(row: Any) -> str:
    if isinstance(row, Order):
        return f"{row.reference}"
    if isinstance(row, Review):
        return formatting.format_label(row.code)
    return f"{row.pk} ({row.status})"


site = BackOfficeSite()
for _model, _list in model_admins.LISTS.items():
    site.register(_model, _list)

# a2wsgi strips /admin from the path and passes it as SCRIPT_NAME.
urlpatterns = [path("", site.urls)]
