"""The back office pages of saved access log reports; a report is shown in a sandboxed frame."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from bursar import errors, settings
from bursar.access import roles
from bursar.accesslog.output import html, saved_reports
from bursar.admin.permissions import scopes_of

#: Reports contain IP addresses of clients, so they are for operators only.
SCOPE = roles.METRICS_READ
#: The report of Bursar's own log, which is listed first.
OWN = "own"


def urls(site: Any) -> list[URLPattern]:
    """Return the URL patterns of the list and of each report on *site*."""

    def view(request: HttpRequest, name: str = "") -> HttpResponse:
        return report_view(site, request, name)

    return [
        path("traffic/", site.admin_view(view), name="traffic"),
        path("traffic/<str:name>/", site.admin_view(view), name="traffic_report"),
    ]


def report_view(site: Any, request: HttpRequest, name: str) -> HttpResponse:
    """
    Return the page of report *name*, or the list of all reports.

    :raises PermissionDenied: without `SCOPE`.
    :raises Http404: if there is no such report, or it cannot be rendered.
    """
    if SCOPE not in scopes_of(request):
        raise PermissionDenied
    folder = settings.current.home / "traffic"
    page = ""
    if name:
        try:
            page = html.render(saved_reports.load(name, folder=folder)).decode()
        except (errors.BursarError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Http404(f"no readable report is saved as {name}") from error
    names = sorted(saved_reports.list_names(folder), key=lambda each: (each != OWN, each))
    context = {
        **site.each_context(request),
        "title": name or "Traffic",
        "names": names,
        "page": page,
    }
    return TemplateResponse(request, "bursar/traffic.html", context)
