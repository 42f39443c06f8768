"""Failures: what needs a person."""

from collections.abc import Sequence
from uuid import UUID

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.redelivering import Redelivering
from deliveries.models import Failure


@admin.register(Failure)
class FailureAdmin(Redelivering[Failure]):
    """One for each delivery that has ever failed."""

    list_display = (
        columns.identifier,
        "status",
        "last_attempt_at",
        columns.cut("reason", "reason"),
        columns.cut("event_type", "event type"),
        columns.cut("webhook_name", "webhook"),
        "created_at",
    )
    list_filter = ("status", "reason_code")
    search_fields = ("id", "delivery")
    linked_by = ("webhook_id",)
    # A failure's own id is random; its delivery's grows with time and has an index here.
    ordering = ("-delivery_id",)
    fields = readonly_fields = (
        "id",
        "account",
        "delivery",
        "status",
        "reason",
        "reason_code",
        "webhook_id",
        "webhook_name",
        "event_type",
        "recovery",
        "last_attempt_at",
        "created_at",
        "updated_at",
    )

    def delivery_ids(self, rows: Sequence[Failure]) -> list[UUID]:
        """Return the ids of the deliveries that failed."""
        return [failure.delivery_id for failure in rows]
