"""The logs API's pages: `page` and `per_page`; section "Logs" of the contract."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api import parsing

Row = TypeVar("Row")

DEFAULT_PER_PAGE = 25
MOST_PER_PAGE = 100


class Listing(Protocol[Row]):
    """Rows in an order, not read yet."""

    def count(self) -> int:
        """Return how many there are."""

    def __getitem__(self, window: slice) -> list[Row]:
        """Return those of a page."""


class PagePagination(BasePagination):
    """A numbered page, with the number of the last."""

    def paginate_queryset(  # type: ignore[override]  # a listing is all that is needed
        self, queryset: Listing[Row], request: Request, view: APIView | None = None
    ) -> list[Row]:
        """Return the rows of the page; none past the last one, wherever that is.

        :raises ValidationError: listing every bad parameter.
        """
        self.page, self.per_page = _page_and_size(request.query_params)
        self.total = queryset.count()
        start = (self.page - 1) * self.per_page
        # A page may lie further out than any number the database knows.
        return queryset[start : start + self.per_page] if start < self.total else []

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page with where it stands."""
        pagination = {
            "current_page": self.page,
            "per_page": self.per_page,
            "total": self.total,
            "last_page": max(1, -(-self.total // self.per_page)),
        }
        return Response({"success": True, "data": data, "pagination": pagination})


def _page_and_size(query: Mapping[str, str]) -> tuple[int, int]:
    problems = {}
    page = size = 0
    try:
        page = parsing.whole_number(query.get("page", "1"), least=1)
    except ValueError:
        problems["page"] = ["The page field must be an integer of at least 1."]
    try:
        given = query.get("per_page", str(DEFAULT_PER_PAGE))
        size = parsing.whole_number(given, least=1, most=MOST_PER_PAGE)
    except ValueError:
        problems["per_page"] = [f"The per page field must be an integer between 1 and {MOST_PER_PAGE}."]
    if problems:
        raise ValidationError(problems)
    return page, size
