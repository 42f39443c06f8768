"""`/events`: section "Events" of the native API's contract."""

import re
from typing import Any

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import clock
from deliveries.api import parsing
from deliveries.api.native import batches, errors
from deliveries.api.native.filters import EventFilter
from deliveries.api.native.pagination import KeysetPagination
from deliveries.api.native.serializers.deliveries import EventDeliverySerializer
from deliveries.api.native.serializers.events import (
    BatchedPublicationSerializer,
    EventBatchSerializer,
    EventSerializer,
    EventSummarySerializer,
    PublicationSerializer,
    SkippedSerializer,
    kept,
)
from deliveries.api.native.serializers.fields import agents_named
from deliveries.api.native.views.base import BASE_PATH, PAGE, NativeViewSet
from deliveries.models import Event, Scope
from deliveries.services import publishing, skipping

IDEMPOTENCY_KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")


class EventViewSet(NativeViewSet[Event]):
    """`/events`."""

    scopes = {"publish": Scope.EVENTS_PUBLISH, "list": Scope.EVENTS_READ, "retrieve": Scope.EVENTS_READ}
    parameters = {"list": (*PAGE, *EventFilter.base_filters)}
    filterset_class = EventFilter
    pagination_class = KeysetPagination
    serializer_class = EventSummarySerializer

    def get_queryset(self) -> QuerySet[Event]:
        """Return the account's events."""
        return Event.objects.filter(account=self.account)

    def publish(self, request: Request) -> Response:
        """Store an event with a delivery for every webhook it matches, and answer once that is committed.

        The same key and body again give the same answer, with `Idempotency-Replayed: true`.

        :raises ValidationError: when a field of the body breaks a rule.
        :raises InvalidIdempotencyKey: when the header is not 1 to 128 visible ASCII characters.
        :raises IdempotencyConflict: when the key was used before, for another event.
        """
        agents = agents_named([request.data], account=self.account)
        key = _idempotency_key(request)
        draft = kept.draft.read(request.data, agents=agents)
        try:
            publication = publishing.publish(
                account=self.account,
                now=clock.now(),
                idempotency_key=key,
                rules_version=self.account.rules_version,
                **draft,
            )
        except publishing.InvalidEvents as error:
            raise ValidationError(dict(error.problems[0])) from error
        except publishing.IdempotencyConflict as error:
            raise errors.IdempotencyConflict(str(error)) from error
        headers = {"Location": f"{BASE_PATH}/events/{publication.event.pk}"}
        if publication.replayed:
            headers[REPLAYED] = "true"
        return Response(
            PublicationSerializer(publication).data, status=status.HTTP_202_ACCEPTED, headers=headers
        )

    def list(self, request: Request) -> Response:
        """Answer with a page of events, newest first, without their payloads.

        :raises ValidationError: listing every bad parameter.
        """
        return self.page_of(self.get_queryset().defer("body"))

    def retrieve(self, request: Request, event_id: str) -> Response:
        """Answer with an event, its deliveries, and the webhooks that did not get it."""
        event = self.one(self.get_queryset(), event_id)
        deliveries = event.deliveries.select_related("webhook").order_by("created_at", "pk")
        return Response(
            {
                **EventSerializer(event).data,
                "deliveries": EventDeliverySerializer(deliveries, many=True).data,
                "skipped": SkippedSerializer(skipping.skipped(event), many=True).data,
            }
        )


class EventBatchViewSet(NativeViewSet[Event]):
    """`/events/batch`."""

    scopes = {"publish": Scope.EVENTS_PUBLISH}
    body_limits = parsing.MANY_EVENTS

    def publish(self, request: Request) -> Response:
        """Store up to 500 events with their deliveries, all or none, and answer for each in its order.

        `Idempotency-Replayed: true` says that all of them were there before.

        :raises ValidationError: naming every bad item.
        :raises InvalidIdempotencyKey: when there is a key for the whole batch; each event may have its own.
        :raises IdempotencyConflict: when a key was used before, for another event, or stands twice.
        """
        if IDEMPOTENCY_KEY in request.headers:
            message = 'A batch has no key of its own; give each event an "idempotency_key".'
            raise errors.InvalidIdempotencyKey({IDEMPOTENCY_KEY: [message]})
        batch = EventBatchSerializer(data=request.data)
        batch.is_valid(raise_exception=True)
        drafts = batches.read(batch.validated_data["events"], account=self.account)
        try:
            publications = publishing.publish_many(
                account=self.account, drafts=drafts, now=clock.now(), rules_version=self.account.rules_version
            )
        except publishing.InvalidEvents as error:
            raise batches.invalid(error.problems) from error
        except publishing.IdempotencyConflict as error:
            found: dict[str, Any] = {name: [str(error)] for name in batches.key_names(error.places)}
            raise errors.IdempotencyConflict(str(error), found) from error
        return Response(
            {"events": BatchedPublicationSerializer(publications, many=True).data},
            status=status.HTTP_202_ACCEPTED,
            headers={REPLAYED: "true"} if all(each.replayed for each in publications) else None,
        )


def _idempotency_key(request: Request) -> str | None:
    key: str | None = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise errors.InvalidIdempotencyKey({IDEMPOTENCY_KEY: ["Must be 1 to 128 visible ASCII characters."]})
    return key
