from django.db import migrations, models

from deliveries.migrations import _groups


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0009_acts_of_pausing"),
    ]

    operations = [
        migrations.CreateModel(
            name="Chore",
            fields=[
                (
                    "name",
                    models.CharField(editable=False, max_length=32, primary_key=True, serialize=False),
                ),
                ("done_at", models.DateTimeField()),
            ],
        ),
        migrations.RunPython(_groups.complete, migrations.RunPython.noop),
    ]
