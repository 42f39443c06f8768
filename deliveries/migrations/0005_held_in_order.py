from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("deliveries", "0004_isolation_and_workers"),
    ]

    operations = [
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("status", "held")),
                fields=["webhook", "due_at"],
                name="deliveries_held_in_order",
            ),
        ),
        RemoveIndexOnline(model_name="delivery", name="deliveries_held"),
    ]
