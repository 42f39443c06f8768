from django.db import migrations, models

from deliveries.migrations._online import AddIndexToPartsOnline


class Migration(migrations.Migration):
    # Each part has its index before the next is begun.
    atomic = False

    dependencies = [
        ("deliveries", "0024_lists_of_the_console"),
    ]

    operations = [
        AddIndexToPartsOnline(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("succeeded", False)), fields=["id"], name="attempts_that_failed"
            ),
            how="btree (id)",
            where="(NOT succeeded)",
        ),
        AddIndexToPartsOnline(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("reason_code", ""), _negated=True),
                fields=["reason_code", "id"],
                name="attempts_by_reason",
            ),
            how="btree (reason_code, id)",
            where="((reason_code)::text <> ''::text)",
        ),
    ]
