"""What holds for every page of the back office: who acts, strict policies, no card numbers, no crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from bursar import card_numbers, errors, fields, group_commit, logs
from bursar.access import users
from bursar.access.models import User
from bursar.decorators import acting_as

#: Unfold's Alpine evaluates expressions of its templates, and styles elements itself.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)

T = TypeVar("T")

log = logs.get(__name__)


class AdminRequestMiddleware:
    """Django's innermost middleware: the person of the session is the principal of the context."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        person = request.user if isinstance(request.user, User) else None
        principal = None if person is None else users.principal_of(person)
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        with (
            acting_as(principal),
            logs.bound_contextvars(
                actor=principal.id if principal else "nobody", request_id=request_id
            ),
        ):
            response = self._refused(request) or self.get_response(request)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Show an error of ours as a page; any other is Django's to log."""
        if not isinstance(error, errors.BursarError):
            return None
        return refusal(request, error)

    def _refused(self, request: HttpRequest) -> HttpResponse | None:
        typed = [*request.GET.values(), *request.POST.values()]
        if not any(card_numbers.contains_card_number(str(text)) for text in typed):
            return None
        told = fields.CardNumberDetected("This looks like a card number, which is never taken.")
        return refusal(request, told)


def refusal(request: HttpRequest, error: errors.BursarError) -> HttpResponse:
    """The page that tells an error, with the status it has over HTTP; 500 where it has none."""
    facts = {"title": "That was not possible", "error": error}
    return render(request, "bursar/refused.html", facts, status=error.status or 500)


def run_in_transaction(member: Callable[[], T]) -> T:
    """Run *member* in a grouped commit, in the name of the person who asked."""
    return group_commit.commits.run_blocking(member)
