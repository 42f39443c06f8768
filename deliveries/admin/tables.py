"""Lists that stay fast whatever has piled up: bounded counts, and a search that only asks indexes."""

from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest


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


class Searched:
    """For a ModelAdmin: the search compares `search_fields` exactly, which their indexes answer.

    A text that cannot be a field's value, such as half an id, is found nowhere and is no error.
    """

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
        found = Q(pk__in=[])
        for name in self.search_fields:
            if name in self.searched_in_parts:
                found |= Q(**{f"{name}__icontains": search_term})
            else:
                found |= _exactly(queryset, name, search_term)
        return queryset.filter(found), False


def _exactly(queryset: QuerySet[Any], name: str, text: str) -> Q:
    field: Any = queryset.model._meta.get_field(name)
    try:
        value = getattr(field, "target_field", field).to_python(text.strip())
    except ValidationError:
        return Q(pk__in=[])
    return Q(**{name: value})


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


class History(Searched, ReadOnly):
    """For the ModelAdmin of what has happened: read-only, newest first, and maybe millions of rows."""

    # Ids grow with time, and their index serves the order. No column offers another, which would be a sort.
    ordering: ClassVar[Any] = ("-pk",)
    sortable_by: ClassVar[Any] = ()
    paginator: ClassVar[type] = FirstPages
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
