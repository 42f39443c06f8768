"""Pauses: what is kept back for a while."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.tables import History
from deliveries.models import Pause


@admin.register(Pause)
class PauseAdmin(History[Pause]):
    """What is kept back, until when, by whom and why."""

    list_display = (
        columns.identifier,
        "webhook_id",
        columns.cut("event_type", "event type"),
        "until",
        "ended_at",
        columns.cut("by", "by"),
        columns.cut("why", "why"),
    )
    fields = (
        "id",
        "account",
        "webhook",
        "event_type",
        "why",
        "by",
        "created_at",
        "until",
        "ended_at",
        "ended_by",
    )
