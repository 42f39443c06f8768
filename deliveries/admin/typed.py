"""A filter of a list by a text that somebody types: exactly that."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries.admin.walking import besides
from deliveries.models import EventType
from deliveries.models.event import TYPE_FORM

# Suggestions beside what is typed.
SUGGESTED = 200


class TypedFilter(admin.SimpleListFilter):
    """Rows of which a column is exactly what is typed. Subclasses may suggest something beside it."""

    template = "console/typed.html"
    # So many characters can be typed.
    longest: ClassVar[int]

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        # What its form repeats beside the text.
        self.others = besides(request, str(self.parameter_name))

    def has_output(self) -> bool:
        """Show it also where nothing is suggested."""
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the way back to all."""
        yield {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string({str(self.parameter_name): None}),
            "display": "All",
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those that are what is typed; none where it can be no row's."""
        typed = (self.value() or "").strip()
        if not typed:
            return queryset
        possible = self.could_be(typed)
        return queryset.filter(**{str(self.parameter_name): typed}) if possible else queryset.none()

    def could_be(self, typed: str) -> bool:
        """Whether a row may be like that."""
        return True


class EventTypeFilter(TypedFilter):
    """Rows of one event type, which need not be in the catalogue any more."""

    title = "event type"
    parameter_name = "event_type"
    longest = 100

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Suggest what is in the catalogue."""
        codes = EventType.objects.order_by("pk").values_list("pk", flat=True)[:SUGGESTED]
        return [(code, code) for code in codes]

    def could_be(self, typed: str) -> bool:
        """Whether it has the form of an event type."""
        return bool(TYPE_FORM.fullmatch(typed))


class TypeFilter(EventTypeFilter):
    """The same where the rows are the events themselves."""

    parameter_name = "type"
