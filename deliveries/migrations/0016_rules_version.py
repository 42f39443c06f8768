from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0014_held_by_id"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="rules_version",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Counted up after each change of what decides where its events go.",
            ),
        ),
    ]
