from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("deliveries", "0010_chores"),
    ]

    operations = [
        AddIndexOnline(
            model_name="failure",
            index=models.Index(
                condition=models.Q(("reason_code", "worker_killed"), ("status", "inactive")),
                fields=["account", "created_at"],
                name="failures_that_killed",
            ),
        ),
    ]
