"""Traffic: what was attempted, counted by the minute, so that statistics need not count attempts."""

from typing import ClassVar

from django.db import models

from deliveries.models.account import Account
from deliveries.models.webhook import Webhook


class TrafficMinute(models.Model):
    """The attempts of one webhook and event type that ended in one minute. The recorder adds to it."""

    # Upper bounds of the columns below, in milliseconds; what takes longer is in `over_30000`.
    BOUNDS: ClassVar = (50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="traffic", db_index=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="traffic", db_index=False)
    event_type = models.CharField(max_length=100)
    minute = models.PositiveIntegerField(help_text="Minutes since 1970-01-01T00:00:00Z.")
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    given_up = models.PositiveIntegerField(default=0, help_text="Deliveries whose last attempt failed.")
    duration_ms = models.PositiveBigIntegerField(default=0, help_text="Of all attempts together.")
    upto_50 = models.PositiveIntegerField(default=0)
    upto_100 = models.PositiveIntegerField(default=0)
    upto_250 = models.PositiveIntegerField(default=0)
    upto_500 = models.PositiveIntegerField(default=0)
    upto_1000 = models.PositiveIntegerField(default=0)
    upto_2500 = models.PositiveIntegerField(default=0)
    upto_5000 = models.PositiveIntegerField(default=0)
    upto_10000 = models.PositiveIntegerField(default=0)
    upto_30000 = models.PositiveIntegerField(default=0)
    over_30000 = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "minute of traffic"
        verbose_name_plural = "minutes of traffic"
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "event_type", "minute"], name="traffic_one_per_webhook_type_and_minute"
            )
        ]
        indexes = [
            models.Index(fields=["account", "minute"], name="traffic_of_account"),
            # Serves retention.
            models.Index(fields=["minute"], name="traffic_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.webhook_id} {self.event_type} {self.minute}"

    @classmethod
    def histogram(cls) -> list[str]:
        """Return the names of the columns that count attempts by their duration, from quick to slow."""
        return [*(f"upto_{bound}" for bound in cls.BOUNDS), f"over_{cls.BOUNDS[-1]}"]
