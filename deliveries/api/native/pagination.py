"""The native API's pages: by the key of the last row, so that a page costs the same wherever it lies."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from deliveries.api import parsing

Row = TypeVar("Row", bound=Model)

MOST_PER_PAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Cursor:
    """A place in the list, and whether its page lies before it (newer) or behind it (older)."""

    backwards: bool
    created_at: datetime
    id: UUID

    def encode(self, path: str) -> str:
        """Return the cursor as it stands in a link of the list with this path."""
        microseconds = (self.created_at - _EPOCH) // _MICROSECOND
        return _signer(path).sign(f"{'n' if self.backwards else 'o'}{self.id.hex}{microseconds}")

    @classmethod
    def decode(cls, text: str, path: str) -> Self:
        """Return the cursor a link of the list with this path carried.

        :raises ValueError: for any other text, also for one that says the same in another way.
        """
        try:
            place = _signer(path).unsign(text)
        except BadSignature as error:
            raise ValueError("Not a cursor of this list.") from error
        return cls(place[0] == "n", _EPOCH + int(place[33:]) * _MICROSECOND, UUID(place[1:33]))


def _signer(path: str) -> Signer:
    # The slash at the end of a path is optional.
    return Signer(salt=f"deliveries.api.native.pagination:{path.rstrip('/')}", sep=".")


def problems(request: Request) -> dict[str, list[str]]:
    """Return what is wrong with `cursor` and `page_size`, by parameter."""
    found = {}
    for name, read, message in (
        ("cursor", _cursor, "Must be a cursor from a link of this list."),
        ("page_size", _size, f"Must be a whole number from 1 to {MOST_PER_PAGE}."),
    ):
        try:
            read(request)
        except ValueError:
            found[name] = [message]
    return found


class KeysetPagination(BasePagination):
    """A page of rows with `created_at` and `id`, newest first, and links to those beside it."""

    def paginate_queryset(  # type: ignore[override]  # nothing but querysets is paged
        self, queryset: QuerySet[Row], request: Request, view: APIView | None = None
    ) -> list[Row]:
        """Return the rows of the page.

        :raises ValidationError: listing what is wrong with the parameters of the page.
        """
        found = problems(request)
        if found:
            raise ValidationError(found)
        cursor, size = _cursor(request), _size(request)
        self._path, self._url = request.path, request.build_absolute_uri()
        backwards = cursor is not None and cursor.backwards
        # One more than asked for tells whether there are more.
        rows = list(_beyond(queryset, cursor)[: size + 1])
        more, page = len(rows) > size, rows[:size]
        if backwards:
            page.reverse()
        # Where we come from there was a row, that of the cursor.
        self._has_newer = more if backwards else cursor is not None
        self._has_older = True if backwards else more
        self._page: list[Any] = page
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page with its links, null where there is nothing more, and with `Link` by RFC 8288."""
        older = self._link(backwards=False) if self._has_older and self._page else None
        newer = self._link(backwards=True) if self._has_newer and self._page else None
        links = ", ".join(f'<{url}>; rel="{rel}"' for url, rel in ((older, "next"), (newer, "prev")) if url)
        page = {"results": data, "next": older, "previous": newer}
        return Response(page, headers={"Link": links} if links else None)

    def _link(self, *, backwards: bool) -> str:
        row = self._page[0 if backwards else -1]
        cursor = Cursor(backwards, row.created_at, row.pk).encode(self._path)
        return replace_query_param(self._url, "cursor", cursor)


def _cursor(request: Request) -> Cursor | None:
    text = request.query_params.get("cursor")
    return None if text is None else Cursor.decode(text, request.path)


def _size(request: Request) -> int:
    text = request.query_params.get("page_size", str(MOST_PER_PAGE))
    return parsing.whole_number(text, least=1, most=MOST_PER_PAGE)


def _beyond(queryset: QuerySet[Row], cursor: Cursor | None) -> QuerySet[Row]:
    """Return the rows on the cursor's side of its place, the nearest first."""
    if cursor is None:
        return queryset.order_by("-created_at", "-pk")
    # The first condition alone is what an index can follow.
    if cursor.backwards:
        newer = Q(created_at__gt=cursor.created_at) | Q(pk__gt=cursor.id)
        return queryset.filter(newer, created_at__gte=cursor.created_at).order_by("created_at", "pk")
    older = Q(created_at__lt=cursor.created_at) | Q(pk__lt=cursor.id)
    return queryset.filter(older, created_at__lte=cursor.created_at).order_by("-created_at", "-pk")
