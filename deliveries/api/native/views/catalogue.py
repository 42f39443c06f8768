"""`/event_types`."""

from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api.native.serializers.catalogue import EventTypeSerializer
from deliveries.api.native.views.base import NativeViewSet
from deliveries.models import EventType, Scope


class EventTypeViewSet(NativeViewSet[EventType]):
    """`/event_types`."""

    scopes = {"list": Scope.EVENTS_READ}
    serializer_class = EventTypeSerializer

    def list(self, request: Request) -> Response:
        """Answer with the whole catalogue by code, in the form of a list that has one page."""
        types = EventType.objects.order_by("code")
        return Response(
            {"results": self.get_serializer(types, many=True).data, "next": None, "previous": None}
        )
