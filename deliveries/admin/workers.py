"""Workers: the processes that deliver."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.history import History
from deliveries.models import Worker


@admin.register(Worker)
class WorkerAdmin(History[Worker]):
    """Which processes deliver, when each was last seen, and what it has counted since it started."""

    list_display = (
        columns.identifier,
        columns.cut("host", "host"),
        "pid",
        columns.when("started_at", "started"),
        columns.when("seen_at", "last seen"),
        "under_way",
        "slots",
        "recorded",
    )
    fields = tuple(field.name for field in Worker._meta.concrete_fields)
