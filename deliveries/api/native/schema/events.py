"""Events, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import (
    CREATED_AT,
    EVENT_ID,
    MOMENT,
    MOMENT_GIVEN,
    UUID,
    Resource,
    answer,
    fetching,
    listing,
    page,
    path_ids,
)
from deliveries.api.native.schema.deliveries import DELIVERY
from deliveries.api.native.serializers.events import MOST_EVENTS
from deliveries.api.native.views.events import EventBatchViewSet, EventViewSet
from deliveries.api.openapi import Body, Json, Operation

_DRAFT: Json = {
    "event": "call.ended",
    "agent_id": None,
    "payload": {"call_id": "c-1", "duration": 45},
    "occurred_at": "2026-03-15T10:00:00Z",
}
_PUBLICATION: Json = {"id": EVENT_ID, "event": "call.ended", "matched": 3, "created_at": CREATED_AT}
_EVENT: Json = {
    "id": EVENT_ID,
    "event": "call.ended",
    "agent_id": None,
    "payload": _DRAFT["payload"],
    "occurred_at": "2026-03-15T10:00:00.000000Z",
    "created_at": CREATED_AT,
}
_EVENT_DETAIL: Json = {
    **_EVENT,
    "deliveries": [DELIVERY],
    "skipped": [
        {
            "webhook": {"id": "9fcafbf2-7593-44d6-8cd7-1b221beba62a", "name": "My Webhook"},
            "reason": "disabled",
        }
    ],
}

_PAYLOAD: Json = {
    "type": "object",
    "additionalProperties": True,
    "description": "Sent as it is, byte for byte the same on every attempt. At most 256 KiB and 32 levels; "
    "no name twice in an object, no NUL, no lone surrogates, no numbers of more than 300 digits.",
}
_IDEMPOTENCY_KEY = openapi.text(pattern=r"^[!-~]{1,128}$")
_EVENT_PROPERTIES: dict[str, Json] = {
    "id": UUID,
    "event": openapi.text(description="The event's type."),
    "agent_id": openapi.nullable(UUID),
    "payload": _PAYLOAD,
    "occurred_at": MOMENT,
    "created_at": MOMENT,
}
_DRAFT_PROPERTIES: dict[str, Json] = {
    "event": openapi.text(
        minLength=1,
        maxLength=100,
        description="An event type of the catalogue; any `[a-z0-9_.]{1,100}` where the account is open.",
    ),
    "payload": _PAYLOAD,
    "agent_id": openapi.nullable(
        openapi.text(format="uuid", description="One of the account's agents; null: none.")
    ),
    "occurred_at": openapi.nullable({**MOMENT_GIVEN, "description": "Now, when it is not given."}),
}
_PUBLICATION_PROPERTIES: dict[str, Json] = {
    "id": UUID,
    "event": openapi.text(),
    "matched": openapi.integer(minimum=0, description="How many webhooks get it."),
    "created_at": MOMENT,
}


def _in_a_list(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "payload"}


EVENTS = Resource(
    operations={
        (EventViewSet, "publish"): Operation(
            id="publishEvent",
            tag="Events",
            summary="Publish an event",
            description="Stores the event with a delivery for every webhook it matches, and answers once "
            "that is committed. An event that matches nothing is stored all the same.",
            parameters=["IdempotencyKey"],
            body=Body(schema=openapi.ref("EventDraft"), examples={"event": _DRAFT}),
            answers={
                202: answer(
                    "Stored.", "Publication", _PUBLICATION, headers=["Idempotency-Replayed", "Location"]
                ),
            },
            errors={409: "Conflict"},
        ),
        (EventBatchViewSet, "publish"): Operation(
            id="publishEvents",
            tag="Events",
            summary="Publish up to 500 events",
            description="All of them or none, in 4 MiB at most. `errors` names what is wrong with which: "
            "`events[3].payload` a field, `events[3]` a whole item, counted from 0. Each event may have its "
            "own `idempotency_key`; a key for the whole batch in the header is refused. "
            "`Idempotency-Replayed: true` says that all of them were there before.",
            body=Body(
                schema=openapi.ref("EventBatch"),
                examples={"events": {"events": [{**_DRAFT, "idempotency_key": "call-c-1-ended"}]}},
            ),
            answers={
                202: answer(
                    "Stored.",
                    "PublishedBatch",
                    {"events": [{**_PUBLICATION, "replayed": False}]},
                    headers=["Idempotency-Replayed"],
                ),
            },
            errors={409: "Conflict"},
        ),
        (EventViewSet, "list"): listing(
            "listEvents",
            "List events",
            tag="Events",
            description="Newest first, without their payloads.",
            parameters=["event", "by_agent", "created_at_gte", "created_at_lt"],
            found="A page of events.",
            schema="EventPage",
            row=_in_a_list(_EVENT),
        ),
        (EventViewSet, "retrieve"): fetching(
            "getEvent",
            "Get an event",
            tag="Events",
            description="The event, its deliveries, and every webhook of the time that did not get it.",
            found=answer("The event.", "EventDetail", _EVENT_DETAIL),
        ),
    },
    schemas={
        "EventDraft": openapi.obj(_DRAFT_PROPERTIES, required=["event", "payload"]),
        "BatchedEventDraft": openapi.obj(
            {
                **_DRAFT_PROPERTIES,
                "idempotency_key": openapi.nullable(
                    {**_IDEMPOTENCY_KEY, "description": "As the header `Idempotency-Key` of a single event."}
                ),
            },
            required=["event", "payload"],
        ),
        "EventBatch": openapi.obj(
            {"events": openapi.array(openapi.ref("BatchedEventDraft"), minItems=1, maxItems=MOST_EVENTS)}
        ),
        "Publication": openapi.obj(_PUBLICATION_PROPERTIES),
        "BatchedPublication": openapi.obj(
            {
                **_PUBLICATION_PROPERTIES,
                "replayed": {"type": "boolean", "description": "Whether it was there before, under its key."},
            }
        ),
        "PublishedBatch": openapi.obj(
            {"events": openapi.array(openapi.ref("BatchedPublication"), description="In the order given.")}
        ),
        "Event": openapi.obj(
            _in_a_list(_EVENT_PROPERTIES),
            description="An event in a list, without its payload.",
        ),
        "EventPage": page("Event"),
        "EventDetail": openapi.obj(
            {
                **_EVENT_PROPERTIES,
                "deliveries": openapi.array(openapi.ref("EventDelivery")),
                "skipped": openapi.array(
                    openapi.obj(
                        {
                            "webhook": openapi.ref("WebhookName"),
                            "reason": openapi.text(
                                enum=["disabled", "not_subscribed", "other_agent"],
                                description="More may be added.",
                            ),
                        }
                    ),
                    description="Every webhook that the account had when the event was published and that"
                    " did not get it, and why: judged as it was then, also if it has been deleted since.",
                ),
            }
        ),
    },
    parameters={
        "by_agent": openapi.query("agent_id", openapi.text(format="uuid"), "Only of this agent."),
        "IdempotencyKey": openapi.header(
            "Idempotency-Key",
            _IDEMPOTENCY_KEY,
            "Kept 72 hours. The same key and body give the same answer, with `Idempotency-Replayed: true`; "
            "the same key with another body is 409.",
        ),
    },
    path_parameters=path_ids(event_id="an event"),
)
