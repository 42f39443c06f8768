"""Lists of history: walked through from the newest on, a stretch of time at once, counted only so far.

Counting millions of rows, or skipping over them to a late page, would take longer than anybody waits. So no
page has a number: the next one begins where the last ended, by the key that the list is in order of.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

from deliveries import clock
from deliveries.admin.tables import Found, chosen_one_by_one
from deliveries.identifiers import moment_of
from deliveries.printing import utc

OLDER, NEWER = "before", "after"
# No further are the moments of a row and of its id from each other: they may be of two clocks.
_APART = timedelta(hours=1)
NOWHERE = "No page of this list begins there."


class Walk(Found):
    """The rows of one page, and the ways to the pages of newer and of older ones."""

    # Counts end here: they say "as many, or more".
    MOST = 10_000

    # One of `history.History`.
    model_admin: Any
    # Where to begin, as the address says it.
    begin: dict[str, str]
    newer: str | None = None
    older: str | None = None
    truncated = False

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Take out of the address where to begin, which no link to another filter is to keep."""
        self.begin = {}
        for name in (OLDER, NEWER):
            if name in self.filter_params:
                self.begin[name] = self.filter_params.pop(name)[-1]
                self.params.pop(name, None)
        rows = super().get_queryset(request, *args, **kwargs)
        return rows if chosen_one_by_one(request) else self._in_stretch(rows)

    def get_results(self, request: HttpRequest) -> None:
        """Read the page."""
        counted = self.queryset.order_by()[: self.MOST + 1].count()
        self.truncated = counted > self.MOST
        self.result_count = min(counted, self.MOST)
        self.result_list = self._page()
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    @property
    def recovery_link(self) -> str:
        """The way to send again all that is shown here and on the other pages; empty where there is none."""
        link = getattr(self.model_admin, "recovery_link", None)
        return link(self) if link else ""

    @property
    def counted(self) -> str:
        """How many rows there are."""
        return f"{self.result_count:,}{'+' if self.truncated else ''}"

    def _page(self) -> Sequence[Any]:
        most = self.list_per_page
        if NEWER in self.begin:
            rows = self._first(most + 1, self._beyond(NEWER), oldest_first=True)
            if len(rows) >= most:
                return self._linked(rows[:most][::-1], newer=len(rows) > most, older=True)
        # So few that are newer are the first page.
        elif OLDER in self.begin:
            rows = self._first(most + 1, self._beyond(OLDER))
            return self._linked(rows[:most], newer=True, older=len(rows) > most)
        rows = self._first(most + 1, self.queryset)
        return self._linked(rows[:most], newer=False, older=len(rows) > most)

    def _first(self, number: int, rows: QuerySet[Any], *, oldest_first: bool = False) -> list[Any]:
        """Return the first of the rows, which are those that the count has found, or a part of them."""
        if not self.result_count:
            return []
        key = self.model_admin.key
        order: list[Any] = [F(name) for name in (self._along, key) if name]
        if self._is_narrow and not self.truncated:
            # A planner that takes them for many goes through all others, in the order of the list, to meet
            # them. This is an order that no index has, so it looks for them as the count did, and sorts.
            order = [Coalesce(key, key)]
        ordered = [each.asc() if oldest_first else each.desc() for each in order]
        if not self._is_narrow:
            return list(rows.order_by(*ordered)[:number])
        # What hangs on them is looked up for those of the page only.
        found = list(rows.order_by(*ordered).values_list(key, flat=True)[:number])
        row_of = {getattr(row, key): row for row in self.queryset.filter(**{f"{key}__in": found})}
        return [row_of[each] for each in found if each in row_of]

    def _beyond(self, name: str) -> QuerySet[Any]:
        """Return the rows that are newer than where the page begins, or older."""
        rows: QuerySet[Any] = self.queryset
        key, value, than = self.model_admin.key, self._value(name), "gt" if name == NEWER else "lt"
        beyond = Q(**{f"{key}__{than}": value})
        if not self._along:
            return rows.filter(beyond)
        there = self.root_queryset.filter(pk=value).values_list(self._along, flat=True)
        try:
            moment = there.first() or moment_of(value)
        except OverflowError as error:
            raise BadRequest(NOWHERE) from error
        at_once = Q(**{self._along: moment}) & beyond
        # The last of these is what an index can follow.
        return rows.filter(
            Q(**{f"{self._along}__{than}": moment}) | at_once, **{f"{self._along}__{than}e": moment}
        )

    @property
    def _chosen_by(self) -> set[str]:
        return set(self.filter_params) - set(Window.parameters)

    @property
    def _is_narrow(self) -> bool:
        """Whether anything but time is asked for."""
        return bool(self.query or self._chosen_by)

    def _in_stretch(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Keep to the stretch of time by the column as well: an index by what rows are chosen by has their
        keys only behind it, and is read from its beginning for them."""
        window = next((each for each in self.filter_specs if isinstance(each, Window)), None)
        if window is None or not self._column:
            return rows
        # Where the calendar ends there is nothing to leave out.
        with suppress(OverflowError):
            if window.start:
                rows = rows.filter(**{f"{self._column}__gte": window.start - _APART})
        with suppress(OverflowError):
            if window.end:
                rows = rows.filter(**{f"{self._column}__lt": window.end + _APART})
        return rows

    @property
    def _column(self) -> str:
        """The column before the key in an index by what rows are chosen by; empty where there is none."""
        along: Mapping[str, str] = self.model_admin.along
        chosen = next(iter(self._chosen_by)) if len(self._chosen_by) == 1 else ""
        return along.get(chosen, "")

    @property
    def _along(self) -> str:
        """The column before the key in the order of the rows; empty where there is none.

        What is so little that all of it was counted is sorted by its keys.
        """
        return self._column if self.truncated else ""

    def _linked(self, rows: Sequence[Any], *, newer: bool, older: bool) -> Sequence[Any]:
        """Set the links of a page to the pages beside it, and return its rows."""
        if newer:
            self.newer = self.get_query_string({NEWER: self._key_of(rows[0])} if rows else {})
        if older:
            self.older = self.get_query_string({OLDER: self._key_of(rows[-1])})
        return rows

    def _key_of(self, row: Any) -> str:
        return str(getattr(row, self.model_admin.key))

    def _value(self, name: str) -> Any:
        field: Any = self.lookup_opts.pk
        if self.model_admin.key != "pk":
            field = self.lookup_opts.get_field(self.model_admin.key)
        try:
            return getattr(field, "target_field", field).to_python(self.begin[name])
        except ValidationError as error:
            raise BadRequest(NOWHERE) from error


class Window(admin.SimpleListFilter):
    """A stretch of time: the last so many hours, or from one moment to another."""

    title = "time"
    parameter_name = "since"
    END = "until"
    parameters: ClassVar = (parameter_name, END)
    template = "console/window.html"
    PRESETS: ClassVar = {
        "15m": ("Last 15 minutes", timedelta(minutes=15)),
        "1h": ("Last hour", timedelta(hours=1)),
        "24h": ("Last 24 hours", timedelta(days=1)),
        "7d": ("Last 7 days", timedelta(days=7)),
    }
    EVERYTHING = "all"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.within = model_admin.within
        self.default = model_admin.usual_window(request)
        self.end = _moment(params.pop(self.END)[-1]) if self.END in params else None
        self.start = self._start()
        # What the form of a stretch of one's own repeats beside the stretch.
        self.others = besides(request, *self.parameters)

    def expected_parameters(self) -> list[str | None]:
        """Name the parameters."""
        return [*self.parameters]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(word, label) for word, (label, _) in self.PRESETS.items()] + [(self.EVERYTHING, "All kept")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the choices with their links; one of them is always chosen, or a stretch of one's own."""
        chosen = self.value() or self.default
        for word, label in self.lookup_choices:
            link = {self.parameter_name: None if word == self.default else word, self.END: None}
            yield {
                "selected": word == chosen and self.end is None,
                "query_string": changelist.get_query_string(link),
                "display": label,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what is of that time. What somebody has chosen stays chosen while time passes."""
        if chosen_one_by_one(request):
            return queryset
        rows: QuerySet[Any] = self.within(queryset, self.start, self.end)
        return rows

    @property
    def words(self) -> str:
        """Which time it is, in words; empty where it is all."""
        if self.end is not None or (self.start and self.value() not in (None, *self.PRESETS)):
            start = f"from {utc(self.start)}" if self.start else ""
            end = f"to {utc(self.end)}" if self.end else ""
            return f"{start} {end}".strip()
        chosen = self.value() or self.default
        return f"in the {self.PRESETS[chosen][0].lower()}" if chosen in self.PRESETS else ""

    def _start(self) -> datetime | None:
        chosen = self.value() or (self.default if self.end is None else self.EVERYTHING)
        if chosen in self.PRESETS:
            return clock.now() - self.PRESETS[chosen][1]
        return None if chosen == self.EVERYTHING else _moment(chosen)


def besides(request: HttpRequest, *names: str) -> list[tuple[str, str]]:
    """Return what the form of a filter repeats of the address: all but its own parameters, and the page."""
    return [
        (name, value)
        for name, values in request.GET.lists()
        if name not in (*names, OLDER, NEWER)
        for value in values
    ]


def _moment(text: str) -> datetime | None:
    """Return the moment that was typed; without a zone it is of UTC.

    :raises BadRequest: when it is none.
    """
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    try:
        # There are moments of other zones that UTC has none for.
        found = moment and (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
    except OverflowError:
        found = None
    if found is None:
        raise BadRequest("A moment is written like 2026-03-15T10:00.")
    return found
