"""The groups of the failures that are there already."""

from typing import Any

from django.db.models import Count, Max, Min

BATCH = 500


def find(apps: Any, schema_editor: Any) -> None:
    """Make a group for each webhook and reason of the failures that wait for somebody.

    It reads the table of failures once, in a migration of its own that holds nothing else. What the version before gives up after
    that is in its group once it fails again, or after the next night's recount.
    """
    using = schema_editor.connection.alias
    failures = apps.get_model("deliveries", "Failure").objects.using(using)
    groups = apps.get_model("deliveries", "FailureGroup")
    # Nothing in the database keeps a failure's webhook.
    webhooks = apps.get_model("deliveries", "Webhook").objects.using(using)
    found = (
        failures.filter(status="inactive", webhook_id__in=webhooks.values("pk"))
        .exclude(reason="")
        .values("account", "webhook_id", "reason_code", "reason")
        .annotate(seen=Count("*"), first=Min("created_at"), last=Max("last_attempt_at"))
        .order_by()
    )
    groups.objects.using(using).bulk_create(
        (
            groups(
                account_id=each["account"],
                webhook_id=each["webhook_id"],
                reason_code=each["reason_code"],
                reason=each["reason"],
                seen=each["seen"],
                first_seen_at=each["first"],
                last_seen_at=each["last"],
            )
            for each in found.iterator()
        ),
        batch_size=BATCH,
        ignore_conflicts=True,
    )
