"""`/events`: section "Events" of the native API's contract."""

import re

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api.native import errors, skipping
from deliveries.api.native.serializers.deliveries import DeliverySerializer
from deliveries.api.native.serializers.events import (
    EventDraftSerializer,
    EventSerializer,
    PublicationSerializer,
    SkippedSerializer,
)
from deliveries.api.native.views.base import NativeViewSet
from deliveries.models import Event, Scope
from deliveries.services import publishing

IDEMPOTENCY_KEY = "Idempotency-Key"
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")


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


def _idempotency_key(request: Request) -> str | None:
    key: str | None = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise errors.InvalidIdempotencyKey({IDEMPOTENCY_KEY: ["Must be 1 to 128 visible ASCII characters."]})
    return key
