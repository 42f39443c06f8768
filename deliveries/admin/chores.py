"""Chores: the housekeeping that beat starts."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.history import History
from deliveries.models import Chore


@admin.register(Chore)
class ChoreAdmin(History[Chore]):
    """When each was last done."""

    search_fields = ("name",)
    list_display = (columns.cut("name", "name"), columns.when("done_at", "last done"))
    fields = ("name", "done_at")
