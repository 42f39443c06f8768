"""Recoveries: many failures sent again as one job that survives whatever happens to its workers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.reasons import Reason


class RecoveryQuerySet(models.QuerySet["Recovery"]):
    """Recoveries. Every change of state goes through `move`."""

    def running(self) -> Self:
        """Keep those that are being worked off."""
        return self.filter(status=Recovery.Status.RUNNING)

    def move(
        self,
        status: "Recovery.Status",
        *,
        allowed_from: Sequence["Recovery.Status"],
        now: datetime,
        **changes: Any,
    ) -> int:
        """Change state where that is allowed, and return how many rows moved."""
        if status not in Recovery.UNFINISHED:
            changes["finished_at"] = now
        return self.filter(status__in=allowed_from).update(status=status, **changes)


class Recovery(models.Model):
    """What is to be sent again, how fast, who wants it and why, and how far it has come.

    It covers the failures that were inactive when it was made and whose webhooks were enabled then, oldest
    first, each once.
    """

    class Status(models.TextChoices):
        """running <-> paused; running | paused -> cancelled; running -> completed."""

        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"

    UNFINISHED: ClassVar = (Status.RUNNING, Status.PAUSED)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="recoveries", db_index=False)
    by = models.CharField(max_length=300, help_text="Who made it.")
    why = models.CharField(max_length=500, blank=True)
    # The filter. What is not given does not restrict; one with nothing given selects nothing.
    webhook_id = models.UUIDField(null=True)
    event_type = models.CharField(max_length=100, blank=True)
    reason_code = models.CharField(
        max_length=32, blank=True, choices=[(reason.value, reason.value) for reason in Reason]
    )
    reason = models.CharField(
        max_length=255, blank=True, db_default="", help_text="The text, which says the status code, too."
    )
    failed_from = models.DateTimeField(null=True, help_text="First failed at this moment or later.")
    failed_before = models.DateTimeField(null=True, help_text="First failed before this moment.")
    made_from = models.DateTimeField(null=True, help_text="Of deliveries made at this moment or later.")
    made_before = models.DateTimeField(null=True, help_text="Of deliveries made before this moment.")
    rate = models.PositiveSmallIntegerField(help_text="Deliveries a second, at most.")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.RUNNING)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    covers_until = models.DateTimeField(help_text="What has changed after this moment, it leaves alone.")
    total = models.PositiveIntegerField(help_text="How many can be sent of what the filter selected.")
    queued = models.PositiveIntegerField(default=0, help_text="How many have been put in the queue so far.")
    skipped = models.PositiveIntegerField(
        default=0, help_text="How many needed no more sending, or could not be sent, when their turn came."
    )
    sample: "models.JSONField[Any, Any]" = models.JSONField(
        default=list, help_text="Ids of the first failures selected."
    )
    left_out: "models.JSONField[Any, Any]" = models.JSONField(
        default=list, help_text="Ids of the webhooks that were disabled when it was made."
    )
    # How far the walk through the failures has come, and when the next may be sent.
    passed_created_at = models.DateTimeField(null=True)
    passed_failure_id = models.CharField(max_length=24, blank=True)
    next_slot_at = models.DateTimeField()

    objects = RecoveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "recoveries"
        permissions = [("manage_recovery", "Can pause, resume and cancel a recovery")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["running", "paused", "completed", "cancelled"]),
                name="recoveries_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["running", "paused"], finished_at=None)
                | (~Q(status__in=["running", "paused"]) & Q(finished_at__isnull=False)),
                name="recoveries_unfinished_or_finished",
            ),
            models.CheckConstraint(condition=Q(rate__gte=1), name="recoveries_rate_is_positive"),
        ]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="recoveries_of_account"),
            models.Index(fields=["id"], condition=Q(status="running"), name="recoveries_running"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.status}"
