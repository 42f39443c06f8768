"""Failures: what needs a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries.admin import columns
from deliveries.admin.http_statuses import FailedStatusFilter
from deliveries.admin.owners import AccountFilter, FailedWebhookFilter
from deliveries.admin.redelivering import Redelivering
from deliveries.admin.tables import StateFilter
from deliveries.admin.typed import EventTypeFilter
from deliveries.admin.walking import Window
from deliveries.identifiers import first_id_at
from deliveries.models import Failure


@admin.register(Failure)
class FailureAdmin(Redelivering[Failure]):
    """One for each delivery that has ever failed."""

    list_display = (
        columns.identifier,
        columns.status,
        columns.cut("reason", "reason"),
        columns.when("last_attempt_at", "last attempt"),
        columns.cut("event_type", "event type"),
        columns.cut("webhook_name", "webhook"),
        columns.when("created_at", "first failed"),
    )
    list_filter = (
        Window,
        FailedWebhookFilter,
        AccountFilter,
        ("status", StateFilter),
        "reason_code",
        FailedStatusFilter,
        EventTypeFilter,
    )
    search_fields = ("id", "delivery")
    linked_by = ("reason", "recovery__id")
    empty = "No delivery has ever failed."
    sendable = Failure.Status.INACTIVE
    carried: ClassVar = {
        "account__id__exact": "account",
        "event_type": "event_type",
        "webhook_id__exact": "webhook_id",
        "http_status": "reason",
        "reason__exact": "reason",
        "reason_code__exact": "reason_code",
    }
    bounds = ("failed_from", "failed_before")
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

    def usual_window(self, request: HttpRequest) -> str:
        """Show all: one that failed long ago waits for somebody, too."""
        return Window.EVERYTHING

    def within(
        self, rows: QuerySet[Failure], start: datetime | None, end: datetime | None
    ) -> QuerySet[Failure]:
        """Keep what failed first in a stretch of time."""
        if start:
            rows = rows.filter(created_at__gte=start)
        # What failed before was made before, which the list's order knows.
        return rows.filter(created_at__lt=end, delivery__lt=first_id_at(end)) if end else rows

    def delivery_ids(self, rows: Sequence[Failure]) -> list[UUID]:
        """Return the ids of the deliveries that failed."""
        return [failure.delivery_id for failure in rows]
