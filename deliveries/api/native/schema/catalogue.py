"""The event types, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import Resource, answer, page, page_of
from deliveries.api.native.views.catalogue import EventTypeViewSet
from deliveries.api.openapi import Operation

CATALOGUE = Resource(
    operations={
        (EventTypeViewSet, "list"): Operation(
            id="listEventTypes",
            tag="Events",
            summary="List event types",
            description="The whole catalogue, on one page.",
            answers={
                200: answer(
                    "The catalogue.",
                    "EventTypePage",
                    page_of({"code": "call.ended", "label": "Call ended"}),
                )
            },
            errors={422: "Invalid"},
        ),
    },
    schemas={
        "EventType": openapi.obj({"code": openapi.text(), "label": openapi.text()}),
        "EventTypePage": page("EventType"),
    },
)
