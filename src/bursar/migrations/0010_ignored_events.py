"""Events of the inbox may be ignored: those of another account at the provider."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bursar", "0009_periodic_jobs")]

    operations = [
        migrations.AddField(
            model_name="inboxevent",
            name="ignored",
            field=models.CharField(max_length=200, default=""),
        ),
        migrations.AddConstraint(
            model_name="inboxevent",
            constraint=models.CheckConstraint(
                name="inbox_event_ignored_waits_for_nobody",
                condition=models.Q(ignored="") | models.Q(processed_at__isnull=False),
            ),
        ),
    ]
