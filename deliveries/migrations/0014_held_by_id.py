from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline


class Migration(migrations.Migration):
    # What may be interrupted, and then run again, comes first.
    atomic = False

    dependencies = [
        ("deliveries", "0013_reason_no_resources"),
    ]

    operations = [
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("status", "held")),
                fields=["webhook", "id"],
                name="deliveries_held_by_id",
            ),
        ),
        migrations.AddField(
            model_name="webhookhealth",
            name="looked_up_to",
            field=models.UUIDField(
                help_text="The held delivery the last look ended with, where a paused type may keep back any.",
                null=True,
            ),
        ),
    ]
