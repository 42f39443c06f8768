from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0027_failures_in_groups"),
    ]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("webhook.created", "Webhook Created"),
                    ("webhook.changed", "Webhook Changed"),
                    ("webhook.disabled", "Webhook Disabled"),
                    ("webhook.deleted", "Webhook Deleted"),
                    ("webhook.tested", "Webhook Tested"),
                    ("webhook.secret_rotated", "Secret Rotated"),
                    ("deliveries.redelivered", "Deliveries Redelivered"),
                    ("delivery.cancelled", "Delivery Cancelled"),
                    ("api_key.created", "Api Key Created"),
                    ("api_key.changed", "Api Key Changed"),
                    ("api_key.revoked", "Api Key Revoked"),
                    ("account.created", "Account Created"),
                    ("account.changed", "Account Changed"),
                    ("agent.created", "Agent Created"),
                    ("agent.changed", "Agent Changed"),
                    ("event_type.created", "Event Type Created"),
                    ("event_type.changed", "Event Type Changed"),
                    ("event_type.deleted", "Event Type Deleted"),
                    ("person.created", "Person Created"),
                    ("person.changed", "Person Changed"),
                    ("person.deleted", "Person Deleted"),
                    ("group.created", "Group Created"),
                    ("group.changed", "Group Changed"),
                    ("group.deleted", "Group Deleted"),
                    ("lockout.deleted", "Lockout Deleted"),
                    ("encryption.rotated", "Encryption Rotated"),
                    ("recovery.created", "Recovery Created"),
                    ("recovery.paused", "Recovery Paused"),
                    ("recovery.resumed", "Recovery Resumed"),
                    ("recovery.cancelled", "Recovery Cancelled"),
                    ("failures.snoozed", "Failures Snoozed"),
                    ("failures.resolved", "Failures Resolved"),
                    ("failures.reopened", "Failures Reopened"),
                    ("pause.created", "Pause Created"),
                    ("pause.ended", "Pause Ended"),
                ],
                max_length=32,
            ),
        ),
    ]
