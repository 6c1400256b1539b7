"""API keys get an owner: the person who made them in the back office, else the operator."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def set_owners(apps: Any, _: Any) -> None:
    """Give each key to the person that made it, as `created_by` names them."""
    keys, people = apps.get_model("bursar", "ApiKey"), apps.get_model("bursar", "Person")
    for person in people.objects.all():
        keys.objects.filter(created_by=f"person:{person.email}").update(owner=person)


class Migration(migrations.Migration):
    dependencies = [("bursar", "0005_dashboard")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="owner",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="keys",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(set_owners, migrations.RunPython.noop),
    ]
