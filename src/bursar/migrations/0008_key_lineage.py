"""Idempotency keys belong to a lineage of API keys: a rotated key gets the kept answers."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def set_lineages(apps: Any, _: Any) -> None:
    """Name the first key of each chain of rotations."""
    keys = apps.get_model("bursar", "ApiKey").objects
    replaced = dict(keys.values_list("id", "replaces_id"))
    for key, parent in replaced.items():
        first = key
        while parent is not None:
            first, parent = parent, replaced[parent]
        keys.filter(id=key).update(lineage=first)


class Migration(migrations.Migration):
    dependencies = [("bursar", "0007_refund_approval_owner")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="lineage",
            field=models.CharField(max_length=40, default=""),
            preserve_default=False,
        ),
        migrations.RunPython(set_lineages, migrations.RunPython.noop),
    ]
