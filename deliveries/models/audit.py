"""Who did what, when and why."""

from typing import Any

from django.db import models

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.printing import printable


class AuditEntry(models.Model):
    """One for each act of a person or of a program on its behalf, however many rows the act changed.

    Written in the transaction of the act. An act of several transactions adds to its row in each; when it is
    over, nothing changes the row. It holds no secret: of a changed webhook it names the fields, not their
    values, and of a URL that leads to another host that host and the one before.
    """

    class Action(models.TextChoices):
        """What was done."""

        WEBHOOK_CREATED = "webhook.created"
        WEBHOOK_CHANGED = "webhook.changed"
        WEBHOOK_DISABLED = "webhook.disabled"
        WEBHOOK_DELETED = "webhook.deleted"
        WEBHOOK_TESTED = "webhook.tested"
        SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105 - the name of an act
        DELIVERIES_REDELIVERED = "deliveries.redelivered"
        DELIVERY_CANCELLED = "delivery.cancelled"
        API_KEY_CREATED = "api_key.created"
        API_KEY_CHANGED = "api_key.changed"
        API_KEY_REVOKED = "api_key.revoked"
        ACCOUNT_CREATED = "account.created"
        ACCOUNT_CHANGED = "account.changed"
        AGENT_CREATED = "agent.created"
        AGENT_CHANGED = "agent.changed"
        EVENT_TYPE_CREATED = "event_type.created"
        EVENT_TYPE_CHANGED = "event_type.changed"
        EVENT_TYPE_DELETED = "event_type.deleted"
        PERSON_CREATED = "person.created"
        PERSON_CHANGED = "person.changed"
        PERSON_DELETED = "person.deleted"
        GROUP_CREATED = "group.created"
        GROUP_CHANGED = "group.changed"
        GROUP_DELETED = "group.deleted"
        LOCKOUT_DELETED = "lockout.deleted"
        ENCRYPTION_ROTATED = "encryption.rotated"
        RECOVERY_CREATED = "recovery.created"
        RECOVERY_PAUSED = "recovery.paused"
        RECOVERY_RESUMED = "recovery.resumed"
        RECOVERY_CANCELLED = "recovery.cancelled"
        FAILURES_SNOOZED = "failures.snoozed"
        FAILURES_RESOLVED = "failures.resolved"
        FAILURES_REOPENED = "failures.reopened"
        PAUSE_CREATED = "pause.created"
        PAUSE_ENDED = "pause.ended"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        Account, null=True, on_delete=models.CASCADE, related_name="audit_entries", db_index=False
    )
    created_at = models.DateTimeField()
    by = models.CharField(max_length=300, help_text="An API key, somebody of the console, or a command.")
    action = models.CharField(max_length=32, choices=Action.choices)
    subject_id = models.CharField(max_length=36, blank=True, help_text="What it was done to.")
    why = models.CharField(max_length=500, blank=True)
    details: "models.JSONField[Any, Any]" = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="audit_of_account"),
            # Serve the console: what was done to one thing, and what somebody did, however long ago.
            models.Index(fields=["subject_id", "id"], name="audit_of_subject"),
            models.Index(fields=["by", "id"], name="audit_by"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {printable(self.by)}"
