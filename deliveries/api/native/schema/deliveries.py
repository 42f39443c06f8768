"""Deliveries and their attempts, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import (
    CREATED_AT,
    EVENT_ID,
    HOOK,
    MOMENT,
    UUID,
    Resource,
    answer,
    conflict,
    fetching,
    listing,
    page,
    path_ids,
)
from deliveries.api.native.views.deliveries import AttemptViewSet, DeliveryViewSet
from deliveries.api.openapi import Json, Operation

_DELIVERY_ID = "0198c8f2-6c1e-7cc3-9a10-700f3f3c1a22"
_FATE: Json = {
    "webhook": HOOK,
    "status": "succeeded",
    "attempts_made": 1,
    "next_attempt_at": None,
    "created_at": CREATED_AT,
    "finished_at": "2026-03-15T10:00:00.265456Z",
}
DELIVERY: Json = {"id": _DELIVERY_ID, **_FATE}
_DELIVERY_ALONE: Json = {"id": _DELIVERY_ID, "event_id": EVENT_ID, "event": "call.ended", **_FATE}
_QUEUED: Json = {
    **_DELIVERY_ALONE,
    "status": "pending",
    "next_attempt_at": "2026-03-15T10:45:00.000000Z",
    "finished_at": None,
}
_ATTEMPT: Json = {
    "id": "0198c8f2-6c1e-7cc3-9a10-8a5d1b0f7e33",
    "delivery_id": _DELIVERY_ID,
    "number": 1,
    "status": "failed",
    "http_status": 503,
    "reason_code": "http_status",
    "reason": "HTTP 503",
    "http_method": "POST",
    "url": "https://example.com/webhook",
    "created_at": CREATED_AT,
    "started_at": "2026-03-15T10:00:00.131456Z",
    "duration_ms": 142,
}
_ATTEMPT_DETAIL: Json = {
    **_ATTEMPT,
    "request_headers": {"Content-Type": "application/json", "Authorization": "***"},
    "response_headers": {"content-type": "text/plain"},
    "response_body": "Try later.",
}

_STATUS = openapi.text(enum=["pending", "held", "succeeded", "failed", "cancelled"])
_DELIVERY_PROPERTIES: dict[str, Json] = {
    "webhook": openapi.ref("WebhookName"),
    "status": {**_STATUS, "description": "`held`: the webhook is disabled or paused. More may be added."},
    "attempts_made": openapi.integer(minimum=0),
    "next_attempt_at": openapi.nullable(MOMENT),
    "created_at": MOMENT,
    "finished_at": openapi.nullable(MOMENT),
}
_ATTEMPT_PROPERTIES: dict[str, Json] = {
    "id": UUID,
    "delivery_id": UUID,
    "number": openapi.integer(minimum=1, description="Counted over all rounds."),
    "status": openapi.text(enum=["succeeded", "failed"]),
    "http_status": openapi.nullable(openapi.integer()),
    "reason_code": openapi.nullable(
        openapi.text(description="Why it failed, for programs. More may be added.")
    ),
    "reason": openapi.nullable(openapi.text(description="Why it failed, for people.")),
    "http_method": openapi.text(),
    "url": openapi.text(),
    "created_at": {**MOMENT, "description": "When it was put in the queue."},
    "started_at": MOMENT,
    "duration_ms": openapi.integer(minimum=0),
}
_HEADERS: Json = {"type": "object", "additionalProperties": openapi.text()}


DELIVERIES = Resource(
    operations={
        (DeliveryViewSet, "list"): listing(
            "listDeliveries",
            "List deliveries",
            tag="Deliveries",
            parameters=["status", "by_webhook", "by_event", "event", "created_at_gte", "created_at_lt"],
            found="A page of deliveries.",
            schema="DeliveryPage",
            row=_DELIVERY_ALONE,
        ),
        (DeliveryViewSet, "retrieve"): fetching(
            "getDelivery",
            "Get a delivery",
            tag="Deliveries",
            description="One delivery.",
            found=answer("The delivery.", "Delivery", _DELIVERY_ALONE),
        ),
        (DeliveryViewSet, "retry"): Operation(
            id="retryDelivery",
            tag="Deliveries",
            summary="Send a failed delivery again",
            description="Queues one attempt, and no automatic retries after it. A body is not read. Of two "
            "at once, one is answered with 409.",
            answers={202: answer("Queued.", "Delivery", _QUEUED, headers=["Location"])},
            errors={404: "NotFound", 409: "NotRedeliverable", 422: "Invalid"},
        ),
        (AttemptViewSet, "list"): listing(
            "listAttempts",
            "List the attempts of a delivery",
            tag="Deliveries",
            description="The last one first, without headers and bodies.",
            found="A page of attempts.",
            schema="AttemptPage",
            row=_ATTEMPT,
            errors={404: "NotFound"},
        ),
        (AttemptViewSet, "retrieve"): fetching(
            "getAttempt",
            "Get an attempt",
            tag="Deliveries",
            description="What was sent and what came back.",
            found=answer("The attempt.", "Attempt", _ATTEMPT_DETAIL),
        ),
    },
    schemas={
        "Delivery": openapi.obj(
            {"id": UUID, "event_id": UUID, "event": openapi.text(), **_DELIVERY_PROPERTIES},
            description="An event on its way to one webhook.",
        ),
        "DeliveryPage": page("Delivery"),
        "AttemptSummary": openapi.obj(
            _ATTEMPT_PROPERTIES, description="An attempt in a list, without headers and body."
        ),
        "AttemptPage": page("AttemptSummary"),
        "Attempt": openapi.obj(
            {
                **_ATTEMPT_PROPERTIES,
                "request_headers": {**_HEADERS, "description": "What was sent, credentials masked."},
                "response_headers": {**_HEADERS, "type": ["object", "null"]},
                "response_body": openapi.nullable(
                    openapi.text(description="The beginning of the answer, at most 16 KiB, as text.")
                ),
            },
            description="One HTTP request and what came back.",
        ),
        "EventDelivery": openapi.obj(
            {"id": UUID, **_DELIVERY_PROPERTIES}, description="A delivery below its event."
        ),
    },
    parameters={
        "by_event": openapi.query("event_id", openapi.text(format="uuid"), "Only of this event."),
        "status": openapi.query("status", _STATUS, "Only in this state."),
    },
    path_parameters=path_ids(delivery_id="a delivery", attempt_id="one of the delivery's attempts"),
    responses={
        "NotRedeliverable": conflict(
            "not_redeliverable", "Only a failed delivery to an enabled webhook can be sent again."
        ),
    },
)
