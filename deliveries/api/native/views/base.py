"""What the native API's views have in common."""

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api import parsing, throttling
from deliveries.api.errors import messages
from deliveries.api.native import errors, pagination
from deliveries.api.views import ContractView, ContractViewSet, Negotiation, UnknownPathView

Row = TypeVar("Row", bound=Model)
Other = TypeVar("Other", bound=Model)

BASE_PATH = "/api/v1"
PAGE = ("cursor", "page_size")


class NativeNegotiation(Negotiation):
    """Who wants nothing but problems gets them, and JSON for what is none."""

    def get_accept_list(self, request: Request) -> list[str]:
        """Return the media types that are accepted."""
        accepted = super().get_accept_list(request)
        return [each.replace(errors.CONTENT_TYPE, "application/json") for each in accepted]


class NativeView(ContractView):
    """A view of this contract."""

    content_negotiation_class = NativeNegotiation

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """Return what words this contract's errors."""
        return errors.handler

    def limit_headers(self, standing: throttling.Standing) -> Mapping[str, str]:
        """Return the usual headers, and beside them those that are to become the standard."""
        return {**super().limit_headers(standing), **throttling.structured_headers(standing)}


class NativeViewSet(NativeView, ContractViewSet[Row]):
    """A viewset that takes no query parameter it does not know: ignored, a typing error goes unnoticed."""

    parameters: ClassVar[Mapping[str, Collection[str]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the names of the query parameters, after everything else.

        :raises ValidationError: naming the unknown ones.
        """
        super().initial(request, *args, **kwargs)
        if self.action not in self.scopes:
            return  # to the 405 of a method the path does not have
        known = self.parameters.get(self.action, ())
        problems = {name: [_unknown(name, known)] for name in request.query_params if name not in known}
        if problems:
            raise ValidationError(problems)

    def page_of(self, rows: QuerySet[Row]) -> Response:
        """Return a page of the rows that the filters leave.

        :raises ValidationError: listing every bad parameter.
        """
        try:
            matching = self.filter_queryset(rows)
        except ValidationError as error:
            problems = pagination.problems(self.request)
            raise ValidationError({**messages(error), **problems}) from error
        page = self.paginate_queryset(matching)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def one(self, rows: QuerySet[Other], text: str) -> Other:
        """Return the row with this id.

        :raises NotFound: when there is none, or the id is malformed.
        """
        row_id = parsing.uuid(text)
        row = rows.filter(pk=row_id).first() if row_id else None
        if row is None:
            raise NotFound
        return row


class UnknownPath(NativeView, UnknownPathView):
    """Every path under `/api/v1` that no contract has."""


def _unknown(name: str, known: Collection[str]) -> str:
    if not known:
        return "Unknown parameter. This path takes no parameters."
    near = difflib.get_close_matches(name[:100], known, n=1)
    if near:
        return f'Unknown parameter. Did you mean "{near[0]}"?'
    return f"Unknown parameter. Known are: {', '.join(sorted(known))}."
