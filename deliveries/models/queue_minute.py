"""The queue once a minute, so that charts of it need not remember anything by themselves."""

from typing import Self

from django.db import models


class QueueMinuteQuerySet(models.QuerySet["QueueMinute"]):
    """Minutes of the queue."""

    def note(self, minute: "QueueMinute") -> None:
        """Write how the queue is; of two in one minute the first stays."""
        self.bulk_create([minute], ignore_conflicts=True)

    def between(self, start: int, end: int) -> Self:
        """Keep the minutes from the first up to, and without, the second."""
        return self.filter(minute__gte=start, minute__lt=end)


class QueueMinute(models.Model):
    """How much waited at some moment of a minute, and for how long. See `services.measuring.Measures`."""

    minute = models.PositiveIntegerField(
        primary_key=True, editable=False, help_text="Minutes since 1970-01-01T00:00:00Z."
    )
    due = models.PositiveIntegerField()
    oldest_due_ms = models.PositiveBigIntegerField(help_text="How long the oldest of those has been due.")
    in_flight = models.PositiveIntegerField()
    scheduled = models.PositiveIntegerField()
    held = models.PositiveIntegerField()

    objects = QueueMinuteQuerySet.as_manager()

    class Meta:
        verbose_name = "minute of the queue"
        verbose_name_plural = "minutes of the queue"

    def __str__(self) -> str:
        return str(self.minute)
