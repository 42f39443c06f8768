"""A filter of a list by a text that somebody types: exactly that."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries.admin.walking import besides
from deliveries.models import EventType
from deliveries.models.event import TYPE_FORM

# Suggestions beside what is typed.
SUGGESTED = 200


class EventTypeFilter(admin.SimpleListFilter):
    """Rows of one event type, which need not be in the catalogue any more."""

    title = "event type"
    parameter_name = "event_type"
    template = "console/typed.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        # What its form repeats beside the type.
        self.others = besides(request, self.parameter_name)

    def has_output(self) -> bool:
        """Show it also where the catalogue is empty."""
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the suggestions."""
        codes = EventType.objects.order_by("pk").values_list("pk", flat=True)[:SUGGESTED]
        return [(code, code) for code in codes]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the way back to all."""
        yield {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string({self.parameter_name: None}),
            "display": "All",
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those of the type; none where it can be no event's."""
        typed = (self.value() or "").strip()
        if not typed:
            return queryset
        return (
            queryset.filter(**{self.parameter_name: typed}) if TYPE_FORM.fullmatch(typed) else queryset.none()
        )


class TypeFilter(EventTypeFilter):
    """The same where the rows are the events themselves."""

    parameter_name = "type"
