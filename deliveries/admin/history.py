"""What has happened: read-only rows, maybe millions of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries.admin.tables import ReadOnly, Row, Table
from deliveries.admin.walking import Walk, Window
from deliveries.identifiers import first_id_at


class History(ReadOnly, Table[Row]):
    """What has happened: read-only, newest first, and maybe millions of rows."""

    # Ids grow with time, and their index serves the order. No column offers another, which would be a sort.
    ordering: ClassVar[Any] = ("-pk",)
    sortable_by: ClassVar[Any] = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # The links of other pages that lead to so few rows that those of all time are shown.
    leading_to_few: ClassVar[tuple[str, ...]] = ()

    # Columns that grow as the key does, to the millisecond: of rows that are chosen by such a part of the
    # address, and by no other, an index has them in the order of this column.
    along: ClassVar[Mapping[str, str]] = {}

    @property
    def key(self) -> str:
        """What the list is in order of; unique."""
        return str(self.ordering[0]).removeprefix("-")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Walk]:
        """Name the class of the list."""
        return Walk

    def usual_window(self, request: HttpRequest) -> str:
        """Return which stretch of time is shown where nobody has chosen one."""
        few = any(name.removesuffix("__exact") in self.leading_to_few for name in request.GET)
        return Window.EVERYTHING if few or request.GET.get("q") else "24h"

    def within(self, rows: QuerySet[Any], start: datetime | None, end: datetime | None) -> QuerySet[Any]:
        """Keep the rows made in a stretch of time: that is in their ids, and so in the list's order."""
        if start:
            rows = rows.filter(**{f"{self.key}__gte": first_id_at(start)})
        return rows.filter(**{f"{self.key}__lt": first_id_at(end)}) if end else rows
