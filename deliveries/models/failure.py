"""Failures: what needs a person."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Case, F, Q, Value, When

from deliveries.identifiers import new_failure_id
from deliveries.models.account import Account
from deliveries.models.delivery import Delivery
from deliveries.models.recovery import Recovery
from deliveries.reasons import Reason, describe


class FailureQuerySet(models.QuerySet["Failure"]):
    """Failures."""

    def inactive(self) -> Self:
        """Keep those that need attention: no further try happens by itself."""
        return self.filter(status=Failure.Status.INACTIVE)

    def that_killed(self) -> Self:
        """Keep those that need attention because their workers died of them."""
        return self.inactive().filter(reason_code=Reason.WORKER_KILLED)

    def of_enabled_webhooks(self, account: Account) -> Self:
        """Keep those of an account whose webhooks take deliveries; the inactive ones can be sent again."""
        return self.filter(account=account, webhook_id__in=account.webhooks.enabled().values("pk"))

    def mark_delivered(self, arrivals: Mapping[UUID, datetime]) -> int:
        """Note that deliveries which had failed before have arrived, and when each did."""
        at = Case(*(When(delivery=pk, then=Value(moment)) for pk, moment in arrivals.items()))
        return self.filter(delivery__in=list(arrivals)).update(
            status=Failure.Status.DELIVERED, last_attempt_at=at, updated_at=at
        )

    def mark_retriggered(
        self, delivery_ids: list[UUID], *, now: datetime, recovery: Recovery | None = None
    ) -> int:
        """Note that deliveries have been queued again, by a person or by their recovery."""
        return self.filter(delivery__in=delivery_ids).update(
            status=Failure.Status.PENDING,
            reason="",
            reason_code="",
            recovery=recovery,
            last_attempt_at=now,
            updated_at=now,
        )

    def mark_cancelled(self, *, now: datetime) -> int:
        """Note that what was still to be tried never will be."""
        without_reason = Q(reason="")
        return self.filter(status=Failure.Status.PENDING).update(
            status=Failure.Status.INACTIVE,
            reason=Case(When(without_reason, then=Value(describe(Reason.CANCELLED))), default=F("reason")),
            reason_code=Case(When(without_reason, then=Value(Reason.CANCELLED)), default=F("reason_code")),
            updated_at=now,
        )


class Failure(models.Model):
    """One for each delivery that has ever failed, changed in place.

    It keeps the names of the webhook and of the event type as they were, so it stays readable, and its list
    fast, whatever happens to those.
    """

    class Status(models.TextChoices):
        """pending: an attempt is outstanding; inactive: none is; delivered: a later attempt arrived."""

        PENDING = "pending", "Pending"
        INACTIVE = "inactive", "Inactive"
        DELIVERED = "delivered", "Delivered"

    id = models.CharField(primary_key=True, max_length=24, default=new_failure_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="failures", db_index=False)
    delivery = models.OneToOneField(Delivery, on_delete=models.CASCADE, related_name="failure")
    status = models.CharField(max_length=9, choices=Status.choices)
    reason = models.CharField(max_length=255, blank=True)
    reason_code = models.CharField(
        max_length=32, blank=True, choices=[(reason.value, reason.value) for reason in Reason]
    )
    webhook_id = models.UUIDField()
    webhook_name = models.CharField(max_length=255)
    event_type = models.CharField(max_length=100)
    recovery = models.ForeignKey(
        Recovery,
        null=True,
        on_delete=models.SET_NULL,
        related_name="failures",
        db_index=False,
        help_text="The last one that sent it again.",
    )
    last_attempt_at = models.DateTimeField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = FailureQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["pending", "inactive", "delivered"]), name="failures_status_is_known"
            )
        ]
        indexes = [
            # Serves the failures list of the API.
            models.Index(
                fields=["account", "created_at", "id"],
                condition=Q(status="inactive"),
                name="failures_needing_attention",
            ),
            # Serves the count of what killed its workers.
            models.Index(
                fields=["account", "created_at"],
                condition=Q(status="inactive", reason_code="worker_killed"),
                name="failures_that_killed",
            ),
            # Serves the console's list of them, whoever's they are.
            models.Index(fields=["delivery"], condition=Q(status="inactive"), name="failures_in_order"),
            # Serves the groups an operator deals with.
            models.Index(
                fields=["webhook_id", "reason", "delivery"],
                condition=Q(status="inactive"),
                name="failures_of_group",
            ),
            # Serves the progress of a recovery.
            models.Index(
                fields=["recovery", "status"],
                condition=Q(recovery__isnull=False),
                name="failures_of_recovery",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.status}"
