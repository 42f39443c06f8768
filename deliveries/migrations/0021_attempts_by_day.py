import django.db.models.deletion
from django.db import migrations, models

from deliveries.migrations import _days
from deliveries.migrations._online import AlterFieldOnline


class Migration(migrations.Migration):
    # Each step may be run again; nobody is to wait until all of them are done.
    atomic = False

    dependencies = [
        ("deliveries", "0020_attempts_counted"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="delivery",
                    name="next_attempt_id",
                    field=models.UUIDField(null=True),
                ),
            ],
        ),
        AlterFieldOnline(
            model_name="attempt",
            name="delivery",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="attempts",
                to="deliveries.delivery",
            ),
        ),
        AlterFieldOnline(
            model_name="attempt",
            name="webhook",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attempts",
                to="deliveries.webhook",
            ),
        ),
        migrations.RunPython(_days.divide, _days.unite),
    ]
