from django.db import migrations, models

from deliveries.migrations._online import AddIndexToPartsOnline


class Migration(migrations.Migration):
    # Each part has its index before the next is begun.
    atomic = False

    dependencies = [
        ("deliveries", "0021_attempts_by_day"),
    ]

    operations = [
        AddIndexToPartsOnline(
            model_name="attempt",
            index=models.Index(fields=["started_at"], name="attempts_by_start"),
            how="brin (started_at)",
            options="autosummarize = on, pages_per_range = 16",
        ),
    ]
