from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline


class Migration(migrations.Migration):
    # Indexes are made beside the traffic.
    atomic = False

    dependencies = [
        ("deliveries", "0023_failure_groups"),
    ]

    operations = [
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("status__in", ["held", "failed", "cancelled"])),
                fields=["status", "id"],
                name="deliveries_by_status",
            ),
        ),
        AddIndexOnline(
            model_name="failure",
            index=models.Index(
                condition=models.Q(("status", "inactive")), fields=["delivery"], name="failures_in_order"
            ),
        ),
        AddIndexOnline(
            model_name="failure",
            index=models.Index(
                condition=models.Q(("status", "inactive")),
                fields=["webhook_id", "reason", "delivery"],
                name="failures_of_group",
            ),
        ),
    ]
