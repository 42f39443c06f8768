"""The native API's views: "Events" and "Agents" of its contract."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api import parsing
from deliveries.api.native import errors, skipping
from deliveries.api.native.pagination import KeysetPagination
from deliveries.api.native.serializers import (
    AgentDraftSerializer,
    AgentSerializer,
    DeliverySerializer,
    EventDraftSerializer,
    EventSerializer,
    PublicationSerializer,
    SkippedSerializer,
)
from deliveries.api.views import ContractView, ContractViewSet, Negotiation, UnknownPathView
from deliveries.models import Agent, Event, Scope
from deliveries.services import publishing

Row = TypeVar("Row", bound=Model)

IDEMPOTENCY_KEY = "Idempotency-Key"
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")


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

    def one(self, rows: QuerySet[Row], text: str) -> Row:
        """Return the row with this id.

        :raises NotFound: when there is none, or the id is malformed.
        """
        row_id = parsing.uuid(text)
        row = rows.filter(pk=row_id).first() if row_id else None
        if row is None:
            raise NotFound
        return row


class EventViewSet(NativeViewSet[Event]):
    """`/events`."""

    scopes = {"publish": Scope.EVENTS_PUBLISH, "retrieve": Scope.EVENTS_READ}

    def publish(self, request: Request) -> Response:
        """Store an event with a delivery for every webhook it matches, and answer once that is committed.

        The same key and body again give the same answer, with `Idempotency-Replayed: true`.

        :raises ValidationError: when a field of the body breaks a rule.
        :raises InvalidIdempotencyKey: when the header is not 1 to 128 visible ASCII characters.
        :raises IdempotencyConflict: when the key was used before, for another event.
        """
        draft = EventDraftSerializer(data=request.data, context={"account": self.account})
        key = _idempotency_key(request)
        draft.is_valid(raise_exception=True)
        try:
            publication = publishing.publish(
                account=self.account, now=timezone.now(), idempotency_key=key, **draft.validated_data
            )
        except publishing.InvalidEvents as error:
            raise ValidationError(dict(error.problems[0])) from error
        except publishing.IdempotencyConflict as error:
            raise errors.IdempotencyConflict(str(error)) from error
        return Response(
            PublicationSerializer(publication).data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Idempotency-Replayed": "true"} if publication.replayed else None,
        )

    def retrieve(self, request: Request, event_id: str) -> Response:
        """Answer with an event, its deliveries, and the webhooks that did not get it."""
        event = self.one(Event.objects.filter(account=self.account), event_id)
        deliveries = event.deliveries.select_related("webhook").order_by("created_at", "pk")
        return Response(
            {
                **EventSerializer(event).data,
                "deliveries": DeliverySerializer(deliveries, many=True).data,
                "skipped": SkippedSerializer(skipping.skipped(event), many=True).data,
            }
        )


class AgentViewSet(NativeViewSet[Agent]):
    """`/agents`."""

    scopes = {"create": Scope.AGENTS_MANAGE, "list": Scope.AGENTS_READ, "retrieve": Scope.AGENTS_READ}
    parameters = {"list": ("cursor", "page_size")}
    pagination_class = KeysetPagination
    serializer_class = AgentSerializer

    def get_queryset(self) -> QuerySet[Agent]:
        """Return the account's agents."""
        return Agent.objects.filter(account=self.account)

    def create(self, request: Request) -> Response:
        """Make an agent.

        :raises ValidationError: when a field of the body breaks a rule.
        """
        draft = AgentDraftSerializer(data=request.data)
        draft.is_valid(raise_exception=True)
        agent = Agent.objects.create(account=self.account, created_at=timezone.now(), **draft.validated_data)
        return Response(self.get_serializer(agent).data, status=status.HTTP_201_CREATED)

    def list(self, request: Request) -> Response:
        """Answer with a page of agents, newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, agent_id: str) -> Response:
        """Answer with one agent."""
        return Response(self.get_serializer(self.one(self.get_queryset(), agent_id)).data)


class UnknownPath(NativeView, UnknownPathView):
    """Every path under `/api/v1` that no contract has."""


def _idempotency_key(request: Request) -> str | None:
    key: str | None = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise errors.InvalidIdempotencyKey({IDEMPOTENCY_KEY: ["Must be 1 to 128 visible ASCII characters."]})
    return key


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name[:100], known, n=1)
    return f'Unknown parameter. Did you mean "{near[0]}"?' if near else "Unknown parameter."
