"""The kept reports of access logs, Bursar's own first; a report is a page in a frame that may do nothing."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from bursar import errors, settings
from bursar.access import roles
from bursar.accesslog.output import html, saved_reports
from bursar.admin.filters import scopes

#: Addresses of people are in it, so it is for those who look after the machine.
SCOPE = roles.METRICS_READ
#: The name of the report of Bursar's own log.
OWN = "own"


def urls(site: Any) -> list[URLPattern]:
    """The addresses of the list and of each report, on *site*."""

    def view(request: HttpRequest, name: str = "") -> HttpResponse:
        return answer(site, request, name)

    return [
        path("traffic/", site.admin_view(view), name="traffic"),
        path("traffic/<str:name>/", site.admin_view(view), name="traffic_report"),
    ]


def answer(site: Any, request: HttpRequest, name: str) -> HttpResponse:
    """
    Show the report *name*, or list them all.

    :raises PermissionDenied: without `SCOPE`; :raises Http404: if there is no such report.
    """
    if SCOPE not in scopes(request):
        raise PermissionDenied
    folder = settings.current.home / "traffic"
    page = ""
    if name:
        try:
            page = html.render(saved_reports.load(name, folder=folder)).decode()
        except (errors.BursarError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Http404(f"no whole report is kept as {name}") from error
    names = sorted(saved_reports.names(folder), key=lambda each: (each != OWN, each))
    context = {
        **site.each_context(request),
        "title": name or "Traffic",
        "names": names,
        "page": page,
    }
    return TemplateResponse(request, "bursar/traffic.html", context)
