"""The audit: who did what, when and why."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries.admin import columns, subjects
from deliveries.admin.history import History
from deliveries.admin.typed import SUGGESTED, Meaning, Typed
from deliveries.admin.walking import Walk, Window
from deliveries.models import AuditEntry
from deliveries.printing import printable
from deliveries.services import auditing


class ByFilter(Typed):
    """Acts of one person, one API key or one command."""

    title = "person or program"
    label = "Name, exactly"
    parameter_name = "by"
    most = auditing.MAX_BY
    of = "by"

    @property
    def suggestions(self) -> Sequence[str]:
        """Return the people of the console."""
        people = get_user_model().objects.filter(is_staff=True).order_by("username")
        return list(people.values_list("username", flat=True)[:SUGGESTED])

    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return whoever is called so."""
        return Meaning(name=self.typed, lookups={"by": self.typed})


class KindFilter(admin.SimpleListFilter):
    """Acts on rows of one kind."""

    title = "what it was done to"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the kinds."""
        return sorted(((kind, subjects.name(kind)) for kind in subjects.KINDS), key=lambda each: each[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those of the kind that is chosen."""
        kind = self.value()
        if kind is None:
            return queryset
        known = kind in subjects.KINDS
        return queryset.filter(action__in=subjects.actions_on(kind)) if known else queryset.none()


class Acts(Walk):
    """The acts of a page, each with the way to what it was done to."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page."""
        super().get_results(request)
        found = subjects.pages(self.result_list, request)
        for entry in self.result_list:
            entry.subject_page = found.get(entry.pk, "")


@admin.register(AuditEntry)
class AuditEntryAdmin(History[AuditEntry]):
    """One for each act of a person or of a program."""

    list_display = (
        columns.identifier,
        columns.when("created_at", "when"),
        "action",
        columns.cut("by", "by", write=printable),
        "subject",
        columns.cut("why", "why", write=printable),
    )
    list_filter = (Window, ByFilter, KindFilter, "action")
    search_fields = ("id", "subject_id")
    linked_by = leading_to_few = ("subject_id",)
    fields = ("id", "created_at", "account", "by", "action", "subject", "why", "details")
    readonly_fields = ("subject",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Acts]:
        """Name the class of the list."""
        return Acts

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the act of a page, with the way to what it was done to."""
        entry: Any = super().get_object(request, object_id, from_field)
        if entry is not None:
            entry.subject_page = subjects.pages([entry], request).get(entry.pk, "")
        return entry

    @admin.display(description="subject ID")
    def subject(self, entry: Any) -> str | SafeString:
        """What it was done to, with the way there."""
        if not entry.subject_page:
            return entry.subject_id or columns.NOTHING
        return format_html('<a href="{}">{}</a>', entry.subject_page, entry.subject_id)
