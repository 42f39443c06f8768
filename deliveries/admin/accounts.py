"""Accounts."""

from django.contrib import admin

from deliveries.admin import columns
from deliveries.admin.audited import Audited
from deliveries.admin.dated import Dated
from deliveries.admin.meanwhile import Meanwhile
from deliveries.admin.pauses import Pausable
from deliveries.models import Account


@admin.register(Account)
class AccountAdmin(Dated, Audited[Account], Meanwhile[Account], Pausable[Account]):
    """Tenants. None is deleted here: all that ever happened to it would have to go as well."""

    noun = "account"
    told = ("name", "open_event_types")
    list_display = (
        columns.cut("name", "name"),
        columns.identifier,
        "open_event_types",
        columns.when("created_at", "made"),
    )
    list_filter = ("open_event_types",)
    search_fields = ("id", "name")
    searched_in_parts = ("name",)
    ordering = ("-pk",)
    show_full_result_count = False
    fields = ("id", "name", "open_event_types", "created_at")
    readonly_fields = ("id", "created_at")

    def account_of(self, row: Account) -> Account:
        """Return itself."""
        return row
