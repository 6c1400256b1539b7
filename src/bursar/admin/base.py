"""Base of all lists: read-only, newest first, searched by index, never counted."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from bursar.admin.detail_views import registry
from bursar.admin.permissions import scopes_of
from bursar.admin.queries import find_keys

PAGE_ROWS = 50


class ReadOnlyModelAdmin(ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    """A read-only list that requires a scope, with a detail page for each row."""

    scope: ClassVar[str]
    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = PAGE_ROWS
    sortable_by = ()
    ordering = ("-pk",)
    actions = None
    list_filter_sheet = True
    #: Indexed columns that a search matches exactly.
    search_columns: ClassVar[tuple[str, ...]] = ("pk",)
    search_fields = ("pk",)  # any value shows the search box

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return whether the user has the scope of the list."""
        return self.scope in scopes_of(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Return whether a list may be filtered so: only by the filters that it shows."""
        field, _, condition = lookup.partition("__")
        return field in self.list_filter and condition in {"", "exact"}

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: rows are created by actions only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: rows are changed by actions only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: rows are never deleted here."""
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the list is in the menu."""
        return self.has_view_permission(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows with exactly that id or reference; every lookup uses an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(pk__in=find_keys(self.model, self.search_columns, term)), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the detail page of a row."""
        return registry.detail_view(self, request, object_id)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Show the detail page: changes are in the audit log."""
        return registry.detail_view(self, request, object_id)
