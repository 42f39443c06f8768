from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0008_encryption_rotated"),
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
                    ("webhook.secret_rotated", "Secret Rotated"),
                    ("deliveries.redelivered", "Deliveries Redelivered"),
                    ("api_key.created", "Api Key Created"),
                    ("api_key.changed", "Api Key Changed"),
                    ("api_key.revoked", "Api Key Revoked"),
                    ("agent.created", "Agent Created"),
                    ("encryption.rotated", "Encryption Rotated"),
                    ("recovery.created", "Recovery Created"),
                    ("recovery.paused", "Recovery Paused"),
                    ("recovery.resumed", "Recovery Resumed"),
                    ("recovery.cancelled", "Recovery Cancelled"),
                    ("pause.created", "Pause Created"),
                    ("pause.ended", "Pause Ended"),
                ],
                max_length=32,
            ),
        ),
        migrations.AddIndex(
            model_name="pause",
            index=models.Index(fields=["account", "created_at", "id"], name="pauses_in_order"),
        ),
    ]
