"""Agents."""

from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest

from deliveries.admin import columns
from deliveries.admin.audited import Audited
from deliveries.admin.dated import Dated
from deliveries.admin.meanwhile import Meanwhile
from deliveries.models import Agent


@admin.register(Agent)
class AgentAdmin(Dated, Audited[Agent], Meanwhile[Agent]):
    """Agents. None is deleted here, and none moves to another account: its webhooks and events stay."""

    noun = "agent"
    told = ("name",)
    list_display = (
        columns.cut("name", "name"),
        columns.identifier,
        columns.cut("account.name", "account"),
        columns.when("created_at", "made"),
    )
    list_select_related = ("account",)
    search_fields = ("id", "name")
    searched_in_parts = ("name",)
    ordering = ("-pk",)
    show_full_result_count = False
    fields = ("id", "account", "name", "created_at")
    autocomplete_fields = ("account",)

    def account_of(self, row: Agent) -> UUID:
        """Return the one it is a part of."""
        return row.account_id

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> tuple[str, ...]:
        """Fix the account once it is chosen."""
        return ("id", "created_at") if obj is None else ("id", "created_at", "account")
