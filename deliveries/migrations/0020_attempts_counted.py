from typing import Any

from django.db import migrations


def count(apps: Any, schema_editor: Any) -> None:
    """Count what is there, one webhook after the other: nobody waits for more than the writing of one row."""
    attempts, health = (apps.get_model("deliveries", name).objects for name in ("Attempt", "WebhookHealth"))
    for webhook in health.order_by("pk").values_list("pk", flat=True):
        health.filter(pk=webhook).update(attempts_kept=attempts.filter(webhook=webhook).count())


class Migration(migrations.Migration):
    # Each webhook by itself. It may be interrupted, and then run again.
    atomic = False

    dependencies = [
        ("deliveries", "0019_attempts_kept"),
    ]

    operations = [
        migrations.RunPython(count, migrations.RunPython.noop),
    ]
