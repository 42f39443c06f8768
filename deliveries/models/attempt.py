"""Attempts: the log of every HTTP request and what came back."""

from django.db import models
from django.db.models import Q

from deliveries.models.delivery import Delivery
from deliveries.models.webhook import Webhook
from deliveries.reasons import Reason


class Attempt(models.Model):
    """One request. Written once, with the id its delivery had reserved for it, and never changed."""

    id = models.UUIDField(primary_key=True, editable=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    round = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(help_text="When it was put in the queue.")
    started_at = models.DateTimeField()
    duration = models.DurationField()
    succeeded = models.BooleanField()
    http_status = models.PositiveSmallIntegerField(null=True)
    reason_code = models.CharField(
        max_length=32, blank=True, choices=[(reason.value, reason.value) for reason in Reason]
    )
    error = models.CharField(max_length=255, blank=True)
    url = models.CharField(max_length=2048)
    http_method = models.CharField(max_length=5)
    request_headers = models.JSONField(help_text="What was sent, credentials masked.")
    response_headers = models.JSONField(null=True)
    response_body = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempts_are_numbered"),
            models.CheckConstraint(
                condition=Q(succeeded=True, reason_code="") | (Q(succeeded=False) & ~Q(reason_code="")),
                name="attempts_failed_have_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "created_at", "id"], name="attempts_of_webhook"),
            # Serves retention, which goes from the oldest on.
            models.Index(fields=["created_at"], name="attempts_by_age"),
        ]

    def __str__(self) -> str:
        outcome = self.http_status or self.reason_code
        return f"{self.delivery_id} attempt {self.number}: {outcome}"

    @property
    def retrying(self) -> bool:
        """Whether a further automatic attempt of this round is outstanding."""
        delivery = self.delivery
        return (
            not self.succeeded
            and delivery.status in Delivery.UNFINISHED
            and self.round == delivery.round
            and self.number == delivery.attempts_made
        )
