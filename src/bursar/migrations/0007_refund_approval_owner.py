"""Approvals compare owners: whoever asks with an API key does not approve as its owner."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

BY_ANOTHER = "refund_approval_by_another"


def set_owners(apps: Any, _: Any) -> None:
    """Say who is behind what still waits; what was decided keeps whom it named then."""
    approvals = apps.get_model("bursar", "RefundApproval").objects
    decided = approvals.filter(decided_at__isnull=False)
    decided.update(
        requested_owner=models.F("requested_by"), decided_owner=models.F("decided_by")
    )
    people = apps.get_model("bursar", "Person").objects.values_list("email", "id")
    owners = {f"person:{email}": f"person:{number}" for email, number in people}
    for key, number in apps.get_model("bursar", "ApiKey").objects.values_list("id", "owner_id"):
        owners[key] = f"person:{number}" if number else "operator"
    for row in approvals.filter(decided_at__isnull=True):
        is_command = row.requested_by.startswith("cli:")
        row.requested_owner = "operator" if is_command else owners.get(row.requested_by, "bursar")
        row.save(update_fields=["requested_owner"])


class Migration(migrations.Migration):
    dependencies = [("bursar", "0006_key_owner")]

    operations = [
        migrations.RemoveConstraint(model_name="refundapproval", name=BY_ANOTHER),
        migrations.AddField(
            model_name="refundapproval",
            name="requested_owner",
            field=models.CharField(max_length=200, default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="refundapproval",
            name="decided_owner",
            field=models.CharField(max_length=200, default=""),
        ),
        migrations.RunPython(set_owners, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="refundapproval",
            constraint=models.CheckConstraint(
                name=BY_ANOTHER,
                condition=models.Q(approved__isnull=True)
                | models.Q(approved=False)
                | ~models.Q(decided_owner__in=["", models.F("requested_owner")]),
            ),
        ),
    ]
