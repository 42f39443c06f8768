"""The audit: who did what, when and why."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.history import History
from deliveries.admin.walking import Window
from deliveries.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(History[AuditEntry]):
    """One for each act of a person or of a program."""

    list_display = (
        columns.identifier,
        columns.when("created_at", "when"),
        "action",
        columns.cut("by", "by"),
        "subject_id",
        columns.cut("why", "why"),
    )
    list_filter = (Window, "action")
    fields = ("id", "created_at", "account", "by", "action", "subject_id", "why", "details")
