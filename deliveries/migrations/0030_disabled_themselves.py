from typing import Any

from django.db import migrations, models
from django.db.models import Q


def find(apps: Any, schema_editor: Any) -> None:
    """Say of what is disabled already when it disabled itself: its reason and its revisions tell."""
    webhooks, revisions = (
        apps.get_model("deliveries", name).objects for name in ("Webhook", "WebhookRevision")
    )
    by_itself = Q(disabled_reason="The receiver answered 410 Gone.") | Q(
        disabled_reason__regex=r"^No success for \d+ days of trying: "
    )
    disabled = webhooks.filter(by_itself, enabled=False, deleted_at=None)
    for webhook in disabled.order_by("pk").values_list("pk", flat=True):
        its = revisions.filter(webhook=webhook, enabled=False).order_by("-valid_from")
        webhooks.filter(pk=webhook).update(
            disabled_itself_at=its.values_list("valid_from", flat=True).first()
        )


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0029_audit_of_subject"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhook",
            name="disabled_itself_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When the service turned it off; empty where a person did.",
                null=True,
            ),
        ),
        migrations.RunPython(find, migrations.RunPython.noop),
    ]
