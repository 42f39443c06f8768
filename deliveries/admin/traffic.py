"""Traffic and the queue, by the minute."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.history import History
from deliveries.models import QueueMinute, TrafficMinute


@admin.register(TrafficMinute)
class TrafficMinuteAdmin(History[TrafficMinute]):
    """The attempts of one webhook and event type that ended in one minute."""

    list_display = (
        "id",
        "minute",
        "webhook_id",
        columns.cut("event_type", "event type"),
        "succeeded",
        "failed",
        "given_up",
    )
    fields = (
        "id",
        "account",
        "webhook",
        "event_type",
        "minute",
        "succeeded",
        "failed",
        "given_up",
        "unavailable",
        "duration_ms",
        *TrafficMinute.histogram(),
    )


@admin.register(QueueMinute)
class QueueMinuteAdmin(History[QueueMinute]):
    """How much waited at some moment of a minute, and for how long."""

    search_fields = ("minute",)
    list_display = fields = ("minute", "due", "oldest_due_ms", "in_flight", "scheduled", "held")
