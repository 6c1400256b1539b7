"""Request middleware of the back office: principal, security headers, card number check, error pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from bursar import card_numbers, errors, fields, group_commit, logs
from bursar.access import users
from bursar.access.models import User
from bursar.decorators import acting_as

#: `unsafe-eval` and `unsafe-inline`: Unfold's Alpine evaluates template expressions and sets styles.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)

T = TypeVar("T")

log = logs.get(__name__)

_TITLES = {
    403: "You don't have permission",
    404: "Not found",
    409: "Conflict",
    422: "Invalid input",
    500: "Internal error",
    503: "Temporarily unavailable",
}


class AdminRequestMiddleware:
    """Innermost middleware: binds the signed-in user as the principal of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle one request."""
        user = request.user if isinstance(request.user, User) else None
        principal = None if user is None else users.principal_of(user)
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        with (
            acting_as(principal),
            logs.bound_contextvars(
                actor=principal.id if principal else "nobody", request_id=request_id
            ),
        ):
            response = self._reject_card_numbers(request) or self.get_response(request)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Render a `BursarError` as a page; Django logs any other error and answers 500."""
        if not isinstance(error, errors.BursarError):
            return None
        return render_error(request, error)

    def _reject_card_numbers(self, request: HttpRequest) -> HttpResponse | None:
        values = [*request.GET.values(), *request.POST.values()]
        if not any(card_numbers.contains_card_number(str(text)) for text in values):
            return None
        error = fields.CardNumberRefused(
            "The form contains what looks like a card number. Card numbers are never accepted."
        )
        return render_error(request, error)


def render_error(request: HttpRequest, error: errors.BursarError) -> HttpResponse:
    """Render the page of an error with its HTTP status; 500 where it has none."""
    status = error.status or 500
    title = _TITLES.get(status, "Request rejected")
    context = {"title": title, "error": error}
    return render(request, "bursar/error.html", context, status=status)


def run_in_transaction(member: Callable[[], T]) -> T:
    """Run *member* in a grouped commit on behalf of the signed-in user; block until committed."""
    return group_commit.commits.run_blocking(member)
