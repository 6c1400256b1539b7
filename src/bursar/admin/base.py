"""What all lists have in common: read-only, newest first, found by index, never counted."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from bursar.admin.detail_views import registry
from bursar.admin.filters import keys_of, scopes

PAGE_ROWS = 50


class ReadOnlyModelAdmin(ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    """A list that a scope opens, and a page for each of its rows."""

    scope: ClassVar[str]
    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = PAGE_ROWS
    sortable_by = ()
    ordering = ("-pk",)
    actions = None
    list_filter_sheet = True
    #: Columns with an index, of which a search finds exactly one value.
    found_by: ClassVar[tuple[str, ...]] = ("pk",)
    search_fields = ("pk",)  # so that the box is there

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whoever has the scope may look."""
        return self.scope in scopes(request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody adds rows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody edits rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody deletes rows."""
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether it is in the menu."""
        return self.has_view_permission(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows with exactly that id or reference: an index answers, however many rows there are."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(pk__in=keys_of(self.model, self.found_by, term)), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of one row."""
        return registry.show(self, request, object_id)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """The audit trail has it."""
        return registry.show(self, request, object_id)
