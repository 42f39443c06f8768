from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0018_tables_that_change_all_the_time"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookhealth",
            name="attempts_kept",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                help_text="How many attempts are kept: all that were made, but for those pruned.",
            ),
        ),
    ]
