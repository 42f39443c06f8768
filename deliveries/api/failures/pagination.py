"""The failures API's pages: `limit` and `offset`, and a total that counts everything.

Sections "GET /api/v4/tasks/webhook_failures" and "GET /api/v4/tasks/webhooks" of the contract.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api import parsing

Row = TypeVar("Row", bound=Model)

# More is accepted, as the vendor's schema has it, but no more is returned, as its prose has it.
MOST_RETURNED = 100
MOST_ACCEPTED = 1000


def problems(query: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what is wrong with `limit` and `offset`, by parameter."""
    found = {}
    for name, read, message in (
        ("limit", _limit, f"Must be a whole number from 0 to {MOST_ACCEPTED}."),
        ("offset", _offset, "Must be a whole number, 0 or more."),
    ):
        try:
            read(query)
        except ValueError:
            found[name] = [message]
    return found


class LimitOffsetPagination(BasePagination):
    """A page of a named list. The query must have no `problems`."""

    collection: ClassVar[str]

    def paginate_queryset(  # type: ignore[override]  # nothing but querysets is paged
        self, queryset: QuerySet[Row], request: Request, view: APIView | None = None
    ) -> list[Row]:
        """Return the rows of the page; none behind the last one, wherever that is."""
        limit, offset = _limit(request.query_params), _offset(request.query_params)
        self.total = queryset.count()
        # An offset may be larger than any number the database knows.
        return list(queryset[offset : offset + limit]) if limit and offset < self.total else []

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page with the total."""
        return Response({self.collection: data, "metadata": {"total": self.total}})


class FailurePagination(LimitOffsetPagination):
    """A page of failures."""

    collection = "webhook_failures"


class WebhookPagination(LimitOffsetPagination):
    """A page of webhooks."""

    collection = "webhooks"


def _limit(query: Mapping[str, str]) -> int:
    given = parsing.whole_number(query.get("limit", str(MOST_RETURNED)), least=0, most=MOST_ACCEPTED)
    return min(given, MOST_RETURNED)


def _offset(query: Mapping[str, str]) -> int:
    return parsing.whole_number(query.get("offset", "0"), least=0)
