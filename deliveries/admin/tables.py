"""Lists that stay fast whatever has piled up: bounded counts, and a search that only asks indexes.

A text that cannot be a value, such as half an id or a NUL, is found nowhere and is no error.
"""

from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse

Row = TypeVar("Row", bound=Model)
# PostgreSQL takes it in no text, not even in one to compare with.
NUL = "\0"


class FirstPages(Paginator[Any]):
    """Counts no further than `MOST` rows, and has no pages behind them.

    Counting millions, or skipping over them to a late page, would take longer than anybody waits.
    """

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        return min(self._counted, self.MOST)

    @property
    def truncated(self) -> bool:
        """Whether there are more rows than that."""
        return self._counted > self.MOST

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin passes nothing else
        return rows[: self.MOST + 1].count()


class Found(ChangeList):
    """The rows that filters and search leave."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Leave none when a filter asks for what no row has."""
        rows = super().get_queryset(request, *args, **kwargs)
        asked = [text for values in request.GET.lists() for text in values[1]]
        return rows.none() if any(NUL in text for text in asked) else rows


class Table(admin.ModelAdmin[Row]):
    """The search compares `search_fields` exactly, which their indexes answer."""

    # Any, here and below: of an attribute that two bases declare, mypy wants the very same type.
    search_fields: ClassVar[Any] = ("id",)
    # Of the search fields, those found by a part of their text: only where the table stays small.
    searched_in_parts: ClassVar[tuple[str, ...]] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows found; none of them comes twice."""
        if not search_term:
            return queryset, False
        if NUL in search_term:
            return queryset.none(), False
        found = Q(pk__in=[])
        for name in self.search_fields:
            if name in self.searched_in_parts:
                found |= Q(**{f"{name}__icontains": search_term})
            else:
                found |= _exactly(queryset, name, search_term)
        return queryset.filter(found), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Name the class of the list."""
        return Found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Row | None:
        """Return the row of a page, if there is one."""
        return None if NUL in object_id else super().get_object(request, object_id, from_field)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action, unless an id among the chosen can be no row's."""
        for text in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if NUL in text or not _could_be(self.opts.pk, text):
                raise BadRequest("Something was chosen that cannot be an id.")
        return super().response_action(request, queryset, *args, **kwargs)


def _exactly(queryset: QuerySet[Any], name: str, text: str) -> Q:
    field: Any = queryset.model._meta.get_field(name)
    try:
        value = getattr(field, "target_field", field).to_python(text.strip())
    except ValidationError:
        return Q(pk__in=[])
    return Q(**{name: value})


def _could_be(field: Any, text: str) -> bool:
    try:
        getattr(field, "target_field", field).to_python(text)
    except ValidationError:
        return False
    return True


class ReadOnly:
    """For a ModelAdmin or an inline: its rows can be looked at, and nothing else."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody deletes but retention."""
        return False


class History(ReadOnly, Table[Row]):
    """What has happened: read-only, newest first, and maybe millions of rows."""

    # Ids grow with time, and their index serves the order. No column offers another, which would be a sort.
    ordering: ClassVar[Any] = ("-pk",)
    sortable_by: ClassVar[Any] = ()
    paginator: ClassVar[type] = FirstPages
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
