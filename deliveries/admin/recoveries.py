"""Recoveries: many failures sent again as one job."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.tables import History
from deliveries.models import Recovery


@admin.register(Recovery)
class RecoveryAdmin(History[Recovery]):
    """What is sent again, how fast, by whom and why, and how far it has come."""

    list_display = (
        columns.identifier,
        "status",
        "created_at",
        "total",
        "queued",
        "skipped",
        columns.cut("by", "by"),
        columns.cut("why", "why"),
    )
    list_filter = ("status",)
    fields = (
        "id",
        "account",
        "status",
        "by",
        "why",
        "webhook_id",
        "event_type",
        "reason_code",
        "failed_from",
        "failed_before",
        "rate",
        "total",
        "queued",
        "skipped",
        "sample",
        "passed_created_at",
        "passed_failure_id",
        "next_slot_at",
        "created_at",
        "finished_at",
    )
