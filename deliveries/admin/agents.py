"""Agents."""

from django.contrib import admin
from django.http import HttpRequest

from deliveries.admin import columns
from deliveries.admin.dated import Dated
from deliveries.admin.tables import Table
from deliveries.models import Agent


@admin.register(Agent)
class AgentAdmin(Dated, Table[Agent]):
    """Agents. None is deleted here, and none moves to another account: its webhooks and events stay."""

    list_display = (
        columns.cut("name", "name"),
        columns.identifier,
        columns.cut("account.name", "account"),
        "created_at",
    )
    list_select_related = ("account",)
    search_fields = ("id", "name")
    searched_in_parts = ("name",)
    ordering = ("-pk",)
    show_full_result_count = False
    fields = ("id", "account", "name", "created_at")
    autocomplete_fields = ("account",)

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> tuple[str, ...]:
        """Fix the account once it is chosen."""
        return ("id", "created_at") if obj is None else ("id", "created_at", "account")
