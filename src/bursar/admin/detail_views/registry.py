"""Registry of the detail pages, and the view that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from bursar.access.models import ApiKey, AuditEntry, User
from bursar.admin.detail_views import access, ledger, monitors, payments, reconciliations
from bursar.admin.formatting import DetailPage
from bursar.dashboard.models import Alert, Monitor
from bursar.ledger.models import Account, Transfer
from bursar.orders.models import Order
from bursar.payments.models import Fact, Payment, ProviderAccount, Refund, RefundApproval, Review
from bursar.queue.models import Job, PeriodicJobStatus
from bursar.reconciliation.models import Reconciliation
from bursar.webhooks.models import WebhookEvent

DETAIL_PAGES: Mapping[type[Model], Callable[[Any], DetailPage]] = {
    Order: payments.order,
    Payment: payments.payment,
    Refund: payments.refund,
    RefundApproval: payments.approval,
    Review: payments.review,
    Account: ledger.account,
    Transfer: ledger.transfer,
    Fact: ledger.fact,
    WebhookEvent: ledger.webhook_event,
    Job: ledger.job,
    PeriodicJobStatus: ledger.periodic_job,
    Reconciliation: reconciliations.reconciliation,
    ProviderAccount: ledger.provider_account,
    User: access.user,
    ApiKey: access.api_key,
    AuditEntry: access.audit_entry,
    Monitor: monitors.monitor_page,
    Alert: monitors.alert_page,
}


def detail_view(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """
    Show the detail page of a row.

    :raises Http404: if there is no such row, or the user has no permission to view it.
    """
    if not model_admin.has_view_permission(request):
        raise Http404
    row = model_admin.get_object(request, unquote(object_id))
    if row is None:
        raise Http404
    page = DETAIL_PAGES[model_admin.model](row)
    context = {
        **model_admin.admin_site.each_context(request),
        "page": page,
        "title": page.title,
        "opts": model_admin.opts,
        "show_back_button": True,
    }
    return TemplateResponse(request, "bursar/detail.html", context)
