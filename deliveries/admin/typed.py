"""Filters of a list by a text that somebody types: exactly that, or a sentence why it cannot be."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries import clock
from deliveries.admin.tables import NUL
from deliveries.admin.walking import Window, besides
from deliveries.models import EventType
from deliveries.models.event import TYPE_FORM

# Suggestions beside what is typed.
SUGGESTED = 200
# The longest stretch in which rows are looked for that no index finds: the last 24 hours, as they were asked
# for a moment ago.
A_DAY = timedelta(hours=25)

# A way on: in words, and as an address.
Way = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a typed text selects.

    :param name: what people call it.
    :param lookups: what its rows have.
    :param exactly: the same in one value, as a recovery carries it; empty where none says the same.
    """

    name: str
    lookups: Mapping[str, Any]
    exactly: str = ""


class NotUnderstood(Exception):
    """Nothing is selected by that; the message says why.

    :ivar ways: what can be chosen instead.
    """

    def __init__(self, message: str, ways: Sequence[Way] = ()) -> None:
        super().__init__(message)
        self.ways = ways


class Typed(admin.SimpleListFilter):
    """A box beside a list. What it does not understand selects nothing, and stays in the box."""

    template = "console/typed.html"
    parameter_name: str
    label: ClassVar[str]
    most = 100
    # What stands before the name where the list says what it shows.
    of = "of"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        # What its form repeats beside the text.
        self.others = besides(request, self.parameter_name)
        self.typed = (self.value() or "").strip()
        self.meaning: Meaning | None = None
        self.problem = ""
        self.ways: Sequence[Way] = ()
        if self.typed:
            try:
                self.meaning = self._understand(request, model_admin)
            except NotUnderstood as error:
                self.problem, self.ways = str(error), error.ways

    @abstractmethod
    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return what `typed` selects.

        :raises NotUnderstood: when that is nothing.
        """

    def instead(self, *names: str, **values: str) -> str:
        """Return the address of the list with other values, and without these and the page."""
        kept = [(name, value) for name, value in self.others if name not in names]
        return f"?{urlencode([*kept, *values.items()])}"

    @property
    def words(self) -> str:
        """Which rows are shown, in words; empty where it is all."""
        return f"{self.of} {self.meaning.name}" if self.meaning else ""

    @property
    def suggestions(self) -> Sequence[str]:
        """Texts that could be typed."""
        return ()

    def has_output(self) -> bool:
        """Show it on every page: there is no choice that could be missing."""
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return no choices: they would be too many."""
        return []

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the way back to all, and what is chosen."""
        yield {
            "selected": not self.typed,
            "query_string": changelist.get_query_string({self.parameter_name: None}),
            "display": "All",
        }
        if self.meaning:
            yield {
                "selected": True,
                "query_string": changelist.get_query_string(),
                "display": self.meaning.name,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of what was typed; none where that is not understood."""
        if not self.typed:
            return queryset
        return queryset.filter(**self.meaning.lookups) if self.meaning else queryset.none()

    def _understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        if NUL in self.typed:
            raise NotUnderstood("There is a character in it that no text has.")
        return self.understand(request, model_admin)


class TypedForADay(Typed):
    """One of which no index knows: rows are looked for in a day, unless they are few for another reason."""

    # What is looked for, in words.
    sought: ClassVar[str]

    def _understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        window = Window(request, dict(request.GET.lists()), model_admin.model, model_admin)
        spans_more = window.start is None or (window.end or clock.now()) - window.start > A_DAY
        if spans_more and window.default != Window.EVERYTHING:
            link = self.instead(*Window.parameters, **{self.parameter_name: self.typed})
            raise NotUnderstood(
                f"{self.sought} is looked for in a day at most. Choose a shorter time.",
                [("Look in the last 24 hours", link)],
            )
        return super()._understand(request, model_admin)


class EventTypeFilter(Typed):
    """Rows of one event type, which need not be in the catalogue any more."""

    title = "event type"
    label = "Event type, exactly"
    parameter_name = "event_type"
    of = "of the type"

    @property
    def suggestions(self) -> Sequence[str]:
        """Return the first of the catalogue."""
        return list(EventType.objects.order_by("pk").values_list("pk", flat=True)[:SUGGESTED])

    def understand(self, request: HttpRequest, model_admin: Any) -> Meaning:
        """Return the type.

        :raises NotUnderstood: when it can be no event's.
        """
        if not TYPE_FORM.fullmatch(self.typed):
            raise NotUnderstood("An event type has small letters, digits, dots and underscores, 100 at most.")
        return Meaning(name=self.typed, lookups={self.parameter_name: self.typed}, exactly=self.typed)


class TypeFilter(EventTypeFilter):
    """The same where the rows are the events themselves."""

    parameter_name = "type"
