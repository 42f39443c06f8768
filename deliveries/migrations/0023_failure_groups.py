import django.db.models.deletion
from django.db import migrations, models

import deliveries.identifiers
from deliveries.migrations import _groups


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0022_attempts_by_start"),
    ]

    operations = [
        migrations.CreateModel(
            name="FailureGroup",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=deliveries.identifiers.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "reason_code",
                    models.CharField(
                        choices=[
                            ("blocked_address", "blocked_address"),
                            ("cancelled", "cancelled"),
                            ("connection_closed", "connection_closed"),
                            ("connection_refused", "connection_refused"),
                            ("connection_timeout", "connection_timeout"),
                            ("dns_failed", "dns_failed"),
                            ("http_status", "http_status"),
                            ("invalid_request", "invalid_request"),
                            ("invalid_response", "invalid_response"),
                            ("no_resources", "no_resources"),
                            ("response_too_slow", "response_too_slow"),
                            ("tls_failed", "tls_failed"),
                            ("worker_killed", "worker_killed"),
                        ],
                        max_length=32,
                    ),
                ),
                ("reason", models.CharField(max_length=255)),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("snoozed", "Snoozed"), ("resolved", "Resolved")],
                        db_default="open",
                        default="open",
                        max_length=8,
                    ),
                ),
                ("snoozed_until", models.DateTimeField(null=True)),
                (
                    "settled_by",
                    models.CharField(
                        blank=True, help_text="Who snoozed, resolved or reopened it last.", max_length=300
                    ),
                ),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "seen",
                    models.PositiveBigIntegerField(help_text="How often a delivery was given up like this."),
                ),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
            ],
            options={
                "permissions": [
                    ("manage_failuregroup", "Can snooze, resolve and reopen a group of failures")
                ],
            },
        ),
        migrations.CreateModel(
            name="QueueMinute",
            fields=[
                (
                    "minute",
                    models.PositiveIntegerField(
                        editable=False,
                        help_text="Minutes since 1970-01-01T00:00:00Z.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("due", models.PositiveIntegerField()),
                (
                    "oldest_due_ms",
                    models.PositiveBigIntegerField(help_text="How long the oldest of those has been due."),
                ),
                ("in_flight", models.PositiveIntegerField()),
                ("scheduled", models.PositiveIntegerField()),
                ("held", models.PositiveIntegerField()),
            ],
            options={
                "verbose_name": "minute of the queue",
                "verbose_name_plural": "minutes of the queue",
            },
        ),
        migrations.AddField(
            model_name="recovery",
            name="made_before",
            field=models.DateTimeField(help_text="Of deliveries made before this moment.", null=True),
        ),
        migrations.AddField(
            model_name="recovery",
            name="made_from",
            field=models.DateTimeField(help_text="Of deliveries made at this moment or later.", null=True),
        ),
        migrations.AddField(
            model_name="recovery",
            name="reason",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="The text, which says the status code, too.",
                max_length=255,
            ),
        ),
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
        migrations.AddField(
            model_name="failuregroup",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="failure_groups",
                to="deliveries.account",
            ),
        ),
        migrations.AddField(
            model_name="failuregroup",
            name="webhook",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="failure_groups",
                to="deliveries.webhook",
            ),
        ),
        migrations.AddIndex(
            model_name="failuregroup",
            index=models.Index(fields=["state", "last_seen_at"], name="failure_groups_by_state"),
        ),
        migrations.AddConstraint(
            model_name="failuregroup",
            constraint=models.UniqueConstraint(
                fields=("webhook", "reason"), name="failure_groups_one_per_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="failuregroup",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "snoozed", "resolved"])),
                name="failure_groups_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="failuregroup",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "snoozed"), _negated=True),
                    ("snoozed_until__isnull", False),
                    _connector="OR",
                ),
                name="failure_groups_snoozed_until_some_moment",
            ),
        ),
        migrations.RunPython(_groups.complete, migrations.RunPython.noop),
    ]
