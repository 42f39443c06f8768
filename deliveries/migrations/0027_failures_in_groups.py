from django.db import migrations

from deliveries.migrations import _failure_groups


class Migration(migrations.Migration):
    # It reads for as long as it takes, and nobody is to wait for a lock of the one that made the tables.
    atomic = False

    dependencies = [
        ("deliveries", "0026_deliveries_of_webhook"),
    ]

    operations = [
        migrations.RunPython(_failure_groups.find, migrations.RunPython.noop),
    ]
