"""Admin lists of the dashboard: user-defined monitors, and alerts."""

from __future__ import annotations

from django.contrib.admin import display
from django.db.models import Model

from bursar.access import roles
from bursar.admin import formatting
from bursar.admin.base import ReadOnlyModelAdmin
from bursar.admin.detail_views import monitors
from bursar.dashboard.models import Alert, Monitor


class MonitorAdmin(ReadOnlyModelAdmin):
    """User-defined monitors; those of the configuration file are on the dashboard only."""

    scope = roles.DASHBOARD_READ
    ordering = ("pk",)
    list_before_template = "bursar/create_button.html"
    create_scope, create_url, create_label = (
        roles.MONITORS_WRITE,
        "admin:action_create_monitor",
        "Add monitor",
    )
    list_display = ("name", "state", "url", "interval", "changed")

    @display(description="State")
    def state(self, row: Monitor) -> formatting.DisplayValue:
        """The state on the dashboard."""
        return monitors.monitor_state(row)

    @display(description="Check interval")
    def interval(self, row: Monitor) -> formatting.DisplayValue:
        """The interval in its largest unit."""
        return formatting.format_age(row.interval_seconds)

    @display(description="Last changed")
    def changed(self, row: Monitor) -> formatting.DisplayValue:
        """The time of the last change of the configuration."""
        return formatting.format_datetime(row.changed_at)


class AlertAdmin(ReadOnlyModelAdmin):
    """Alerts of all monitors."""

    scope = roles.DASHBOARD_READ
    list_display = ("title", "previous", "new", "reason_text", "raised")
    search_columns = ("pk", "source_key")

    @display(description="Previous level")
    def previous(self, row: Alert) -> formatting.DisplayValue:
        """The alerted level before."""
        return formatting.format_status(row.previous_level)

    @display(description="New level")
    def new(self, row: Alert) -> formatting.DisplayValue:
        """The alerted level from then on."""
        return formatting.format_status(row.new_level)

    @display(description="Reason")
    def reason_text(self, row: Alert) -> formatting.DisplayValue:
        """Why the check failed."""
        return row.reason or "-"

    @display(description="Raised")
    def raised(self, row: Alert) -> formatting.DisplayValue:
        """The time of the alert."""
        return formatting.format_datetime(row.raised_at)


LISTS: dict[type[Model], type[ReadOnlyModelAdmin]] = {Monitor: MonitorAdmin, Alert: AlertAdmin}
