from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline


class Migration(migrations.Migration):
    # The index is made beside the traffic.
    atomic = False

    dependencies = [
        ("deliveries", "0025_attempts_that_failed"),
    ]

    operations = [
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(fields=["webhook", "created_at", "id"], name="deliveries_of_webhook"),
        ),
    ]
