"""Lists of the dashboard: the APIs that people entered, and the alerts."""

from __future__ import annotations

from django.contrib.admin import display
from django.db.models import Model

from bursar.access import roles
from bursar.admin import formatting
from bursar.admin.base import ReadOnlyModelAdmin
from bursar.admin.detail_views import monitors
from bursar.dashboard.models import Alert, Monitor


class MonitorAdmin(ReadOnlyModelAdmin):
    """APIs that people entered; those of the file are on the board only."""

    scope = roles.DASHBOARD_READ
    ordering = ("pk",)
    list_before_template = "bursar/create_button.html"
    create_scope, create_url, create_label = (
        roles.MONITORS_WRITE,
        "admin:action_create_monitor",
        "Watch an API",
    )
    list_display = ("name", "shown_state", "url", "every", "changed")

    @display(description="state")
    def shown_state(self, row: Monitor) -> formatting.DisplayValue:
        """As the board has it."""
        return monitors.api_state(row)

    @display(description="every")
    def every(self, row: Monitor) -> formatting.DisplayValue:
        """How often it is asked."""
        return formatting.format_age(row.interval_seconds)

    @display(description="changed")
    def changed(self, row: Monitor) -> formatting.DisplayValue:
        """When last."""
        return formatting.format_datetime(row.changed_at)


class AlertAdmin(ReadOnlyModelAdmin):
    """What people were told."""

    scope = roles.DASHBOARD_READ
    list_display = ("title", "was", "became", "why", "raised")
    search_columns = ("pk", "source_key")

    @display(description="was")
    def was(self, row: Alert) -> formatting.DisplayValue:
        """Before."""
        return formatting.format_status(row.before)

    @display(description="became")
    def became(self, row: Alert) -> formatting.DisplayValue:
        """After."""
        return formatting.format_status(row.after)

    @display(description="why")
    def why(self, row: Alert) -> formatting.DisplayValue:
        """What was said, if it could not be asked."""
        return row.reason or "-"

    @display(description="raised")
    def raised(self, row: Alert) -> formatting.DisplayValue:
        """When."""
        return formatting.format_datetime(row.raised_at)


LISTS: dict[type[Model], type[ReadOnlyModelAdmin]] = {Monitor: MonitorAdmin, Alert: AlertAdmin}
