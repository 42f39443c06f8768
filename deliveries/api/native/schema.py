"""The published document of the native API. Its examples are those the contract prints."""

from typing import Any

from deliveries.api import openapi
from deliveries.api.native.errors import CONTENT_TYPE
from deliveries.api.native.pagination import MOST_PER_PAGE
from deliveries.api.native.serializers import statistics
from deliveries.api.native.serializers.events import MOST_EVENTS
from deliveries.api.native.views.agents import AgentViewSet
from deliveries.api.native.views.base import NativeView
from deliveries.api.native.views.catalogue import EventTypeViewSet
from deliveries.api.native.views.deliveries import AttemptViewSet, DeliveryViewSet
from deliveries.api.native.views.events import EventBatchViewSet, EventViewSet
from deliveries.api.native.views.recoveries import RecoveryViewSet
from deliveries.api.native.views.statistics import StatisticsViewSet
from deliveries.api.native.views.whoami import WhoamiViewSet
from deliveries.api.openapi import Answer, Body, Contract, Json, Operation, Operations
from deliveries.models import Recovery
from deliveries.reasons import Reason
from deliveries.services import recovering

_AGENT_ID = "9fbef0b7-8d4e-4a08-9207-66c22155721d"
_EVENT_ID = "0198c8f2-6c1e-7cc3-9a10-6f0c6a4f4b11"
_CREATED_AT = "2026-03-15T10:00:00.123456Z"
_HOOK: Json = {"id": "0b97ce11-b6e0-49b4-8f92-68040aa324bf", "name": "CRM call events"}

DRAFT: Json = {
    "event": "call.ended",
    "agent_id": None,
    "payload": {"call_id": "c-1", "duration": 45},
    "occurred_at": "2026-03-15T10:00:00Z",
}
PUBLICATION: Json = {"id": _EVENT_ID, "event": "call.ended", "matched": 3, "created_at": _CREATED_AT}
EVENT: Json = {
    "id": _EVENT_ID,
    "event": "call.ended",
    "agent_id": None,
    "payload": DRAFT["payload"],
    "occurred_at": "2026-03-15T10:00:00.000000Z",
    "created_at": _CREATED_AT,
}
_DELIVERY_ID = "0198c8f2-6c1e-7cc3-9a10-700f3f3c1a22"
_FATE: Json = {
    "webhook": _HOOK,
    "status": "succeeded",
    "attempts_made": 1,
    "next_attempt_at": None,
    "created_at": _CREATED_AT,
    "finished_at": "2026-03-15T10:00:00.265456Z",
}
DELIVERY: Json = {"id": _DELIVERY_ID, **_FATE}
DELIVERY_ALONE: Json = {"id": _DELIVERY_ID, "event_id": _EVENT_ID, "event": "call.ended", **_FATE}
QUEUED: Json = {
    **DELIVERY_ALONE,
    "status": "pending",
    "next_attempt_at": "2026-03-15T10:45:00.000000Z",
    "finished_at": None,
}
ATTEMPT: Json = {
    "id": "0198c8f2-6c1e-7cc3-9a10-8a5d1b0f7e33",
    "delivery_id": _DELIVERY_ID,
    "number": 1,
    "status": "failed",
    "http_status": 503,
    "reason_code": "http_status",
    "reason": "HTTP 503",
    "http_method": "POST",
    "url": "https://example.com/webhook",
    "created_at": _CREATED_AT,
    "started_at": "2026-03-15T10:00:00.131456Z",
    "duration_ms": 142,
}
WHOAMI: Json = {
    "account": {
        "id": "0198c8f2-6c1e-7cc3-9a10-1f2e3d4c5b6a",
        "name": "Harbour Calls",
        "open_event_types": False,
    },
    "key": {
        "id": "0198c8f2-6c1e-7cc3-9a10-2a3b4c5d6e7f",
        "name": "CRM",
        "prefix": "k3v9q2m8x1ab",
        "scopes": ["events.publish", "events.read"],
        "created_at": _CREATED_AT,
        "expires_at": None,
        "last_used_at": "2026-03-15T10:44:31.000000Z",
    },
    "limits": {
        "read": {"limit": 1200, "window_seconds": 60, "remaining": 1199},
        "publish": {"limit": 120_000, "window_seconds": 60, "remaining": 120_000},
        "manage": {"limit": 600, "window_seconds": 60, "remaining": 600},
        "test": {"limit": 10, "window_seconds": 60, "remaining": 10},
    },
}
FIGURES: Json = {
    "attempts": 4,
    "succeeded": 3,
    "failed": 1,
    "given_up": 0,
    "success_ratio": 0.75,
    "duration_ms": {"average": 142, "p50": 150, "p95": 238},
}
STATISTICS: Json = {
    "from": "2026-03-14T11:00:00.000000Z",
    "to": "2026-03-15T11:00:00.000000Z",
    "bucket": "1h",
    "totals": FIGURES,
    "groups": [
        {
            "webhook": _HOOK,
            "totals": FIGURES,
            "buckets": [{"from": "2026-03-15T10:00:00.000000Z", **FIGURES}],
        }
    ],
    "truncated": False,
}
AGENT: Json = {"id": _AGENT_ID, "name": "Reception", "created_at": _CREATED_AT}
_RECOVERY_ID = "0198c8f2-6c1e-7cc3-9a10-8d1f0b7e2a33"
_FAILURE_ID = "aabbccddeeff001122334455"
RECOVERY_DRAFT: Json = {
    "webhook_id": _HOOK["id"],
    "event": "call.ended",
    "reason_code": "connection_timeout",
    "created_at": {"gte": "2026-03-15T10:00:00Z", "lt": "2026-03-15T12:00:00Z"},
    "dry_run": False,
    "rate": 50,
    "why": "The CRM was down for maintenance.",
}
PREVIEW: Json = {
    "dry_run": True,
    "count": 1,
    "sample": [
        {
            "id": _FAILURE_ID,
            "event": "call.ended",
            "webhook": _HOOK,
            "reason": "Connection timeout",
            "reason_code": "connection_timeout",
            "created_at": _CREATED_AT,
        }
    ],
    "excluded": 0,
}
RECOVERY: Json = {
    "id": _RECOVERY_ID,
    "status": "running",
    "filter": {
        "webhook_id": _HOOK["id"],
        "event": "call.ended",
        "reason_code": "connection_timeout",
        "created_at": {"gte": "2026-03-15T10:00:00.000000Z", "lt": "2026-03-15T12:00:00.000000Z"},
    },
    "rate": 50,
    "why": "The CRM was down for maintenance.",
    "by": "API key operations (whk_1a2b3c4d)",
    "total": 240,
    "progress": {"queued": 0, "skipped": 0, "delivered": 0, "failed": 0, "outstanding": 0},
    "sample": [_FAILURE_ID],
    "created_at": "2026-03-15T12:30:00.000000Z",
    "finished_at": None,
}

_UUID = openapi.text(format="uuid")
_MOMENT = openapi.text(format="date-time", description="UTC, with six decimals.")
_MOMENT_GIVEN = openapi.text(format="date-time", description="ISO 8601 with a zone.")
_PAYLOAD: Json = {
    "type": "object",
    "additionalProperties": True,
    "description": "Sent as it is, byte for byte the same on every attempt. At most 256 KiB and 32 "
    "levels; no "
    "name twice in an object, no NUL, no lone surrogates, no numbers of more than 300 digits.",
}


def _page(name: str) -> Json:
    link = openapi.nullable(openapi.text(format="uri"))
    return openapi.obj({"results": openapi.array(openapi.ref(name)), "next": link, "previous": link})


def _period(moment: Json, **rules: Any) -> Json:
    bounds = {"gte": openapi.nullable(moment), "lt": openapi.nullable(moment)}
    return openapi.obj(bounds, description="When they first failed: from `gte` on, before `lt`.", **rules)


_EVENT_PROPERTIES: dict[str, Json] = {
    "id": _UUID,
    "event": openapi.text(description="The event's type."),
    "agent_id": openapi.nullable(_UUID),
    "payload": _PAYLOAD,
    "occurred_at": _MOMENT,
    "created_at": _MOMENT,
}
_REASON_CODE = openapi.text(enum=[reason.value for reason in Reason], description="More may be added.")
_FILTER_PROPERTIES: dict[str, Json] = {
    "webhook_id": openapi.nullable(_UUID),
    "event": openapi.nullable(openapi.text(minLength=1, maxLength=100, description="An event type.")),
    "reason_code": {**openapi.nullable(_REASON_CODE), "enum": [*_REASON_CODE["enum"], None]},
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
    "occurred_at": openapi.nullable({**_MOMENT_GIVEN, "description": "Now, when it is not given."}),
}
_PUBLICATION_PROPERTIES: dict[str, Json] = {
    "id": _UUID,
    "event": openapi.text(),
    "matched": openapi.integer(minimum=0, description="How many webhooks get it."),
    "created_at": _MOMENT,
}
_DELIVERY_PROPERTIES: dict[str, Json] = {
    "webhook": openapi.ref("WebhookName"),
    "status": openapi.text(
        enum=["pending", "held", "succeeded", "failed", "cancelled"],
        description="`held`: the webhook is disabled or paused. More may be added.",
    ),
    "attempts_made": openapi.integer(minimum=0),
    "next_attempt_at": openapi.nullable(_MOMENT),
    "created_at": _MOMENT,
    "finished_at": openapi.nullable(_MOMENT),
}
_ATTEMPT_PROPERTIES: dict[str, Json] = {
    "id": _UUID,
    "delivery_id": _UUID,
    "number": openapi.integer(minimum=1, description="Counted over all rounds."),
    "status": openapi.text(enum=["succeeded", "failed"]),
    "http_status": openapi.nullable(openapi.integer()),
    "reason_code": openapi.nullable(
        openapi.text(description="Why it failed, for programs. More may be added.")
    ),
    "reason": openapi.nullable(openapi.text(description="Why it failed, for people.")),
    "http_method": openapi.text(),
    "url": openapi.text(),
    "created_at": {**_MOMENT, "description": "When it was put in the queue."},
    "started_at": _MOMENT,
    "duration_ms": openapi.integer(minimum=0),
}
_MILLISECONDS = openapi.nullable(openapi.integer(minimum=0))
_FIGURES: dict[str, Json] = {
    "attempts": openapi.integer(minimum=0, description="Those that ended in this time."),
    "succeeded": openapi.integer(minimum=0),
    "failed": openapi.integer(minimum=0),
    "given_up": openapi.integer(minimum=0, description="Deliveries whose last attempt failed."),
    "success_ratio": {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 1,
        "description": "Null without attempts.",
    },
    "duration_ms": openapi.obj(
        {"average": _MILLISECONDS, "p50": _MILLISECONDS, "p95": _MILLISECONDS},
        description="Null without attempts. The percentiles are estimates from a histogram.",
    ),
}
_HEADERS: Json = {"type": "object", "additionalProperties": openapi.text()}
_SCHEMAS: dict[str, Json] = {
    "EventDraft": openapi.obj(_DRAFT_PROPERTIES, required=["event", "payload"]),
    "BatchedEventDraft": openapi.obj(
        {
            **_DRAFT_PROPERTIES,
            "idempotency_key": openapi.nullable(
                openapi.text(
                    pattern=r"^[!-~]{1,128}$",
                    description="As the header `Idempotency-Key` of a single event.",
                )
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
        {name: schema for name, schema in _EVENT_PROPERTIES.items() if name != "payload"},
        description="An event in a list, without its payload.",
    ),
    "EventPage": _page("Event"),
    "Delivery": openapi.obj(
        {"id": _UUID, "event_id": _UUID, "event": openapi.text(), **_DELIVERY_PROPERTIES},
        description="An event on its way to one webhook.",
    ),
    "DeliveryPage": _page("Delivery"),
    "AttemptSummary": openapi.obj(
        _ATTEMPT_PROPERTIES, description="An attempt in a list, without headers and body."
    ),
    "AttemptPage": _page("AttemptSummary"),
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
    "EventType": openapi.obj({"code": openapi.text(), "label": openapi.text()}),
    "EventTypePage": _page("EventType"),
    "Figures": openapi.obj(_FIGURES),
    "Bucket": openapi.obj({"from": _MOMENT, **_FIGURES}),
    "Group": openapi.obj(
        {
            "webhook": openapi.ref("WebhookName"),
            "event": openapi.text(),
            "totals": openapi.ref("Figures"),
            "buckets": openapi.array(openapi.ref("Bucket"), description="Those in which anything happened."),
        },
        required=["totals", "buckets"],
        description="With `webhook` or `event`, as was asked.",
    ),
    "Statistics": openapi.obj(
        {
            "from": _MOMENT,
            "to": _MOMENT,
            "bucket": openapi.text(enum=list(statistics.BUCKETS)),
            "totals": openapi.ref("Figures"),
            "buckets": openapi.array(
                openapi.ref("Bucket"), description="All of them, where nothing is grouped."
            ),
            "groups": openapi.array(
                openapi.ref("Group"), description="The busiest 100, where `group_by` is given."
            ),
            "truncated": {"type": "boolean", "description": "Whether there are more groups than these."},
        },
        required=["from", "to", "bucket", "totals"],
    ),
    "Whoami": openapi.obj(
        {
            "account": openapi.obj(
                {"id": _UUID, "name": openapi.text(), "open_event_types": {"type": "boolean"}}
            ),
            "key": openapi.obj(
                {
                    "id": _UUID,
                    "name": openapi.text(),
                    "prefix": openapi.text(description="The part of the key that is no secret."),
                    "scopes": openapi.array(openapi.text()),
                    "created_at": _MOMENT,
                    "expires_at": openapi.nullable(_MOMENT),
                    "last_used_at": openapi.nullable({**_MOMENT, "description": "To the minute."}),
                }
            ),
            "limits": {
                "type": "object",
                "description": "Where the key stands, by kind of request: `read`, `publish`, `manage`, and "
                "`test`, which all keys of the account share. A kind without a limit is left out.",
                "additionalProperties": openapi.obj(
                    {
                        "limit": openapi.integer(minimum=1),
                        "window_seconds": openapi.integer(minimum=1),
                        "remaining": openapi.integer(minimum=0),
                    }
                ),
            },
        }
    ),
    "WebhookName": openapi.obj({"id": _UUID, "name": openapi.text()}),
    "EventDelivery": openapi.obj(
        {"id": _UUID, **_DELIVERY_PROPERTIES}, description="A delivery below its event."
    ),
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
                description="Every webhook of the account that did not get the event, and why.",
            ),
        }
    ),
    "AgentDraft": openapi.obj({"name": openapi.text(minLength=1, maxLength=255)}),
    "Agent": openapi.obj({"id": _UUID, "name": openapi.text(), "created_at": _MOMENT}),
    "AgentPage": _page("Agent"),
    "RecoveryDraft": openapi.obj(
        {
            **_FILTER_PROPERTIES,
            "created_at": openapi.nullable(_period(_MOMENT_GIVEN, required=[])),
            "dry_run": {"type": "boolean", "description": "Only say what would be sent. Default: false."},
            "rate": openapi.integer(
                minimum=1,
                maximum=recovering.MAX_RATE,
                description=f"Deliveries a second, at most. Default: {recovering.DEFAULT_RATE}.",
            ),
            "why": openapi.nullable(openapi.text(maxLength=500, description="For the audit.")),
        },
        required=[],
        description="Failures are selected by all of `webhook_id`, `event`, `reason_code` and `created_at` "
        "that are given; at least one must be.",
    ),
    "RecoveryPreview": openapi.obj(
        {
            "dry_run": {"type": "boolean", "const": True},
            "count": openapi.integer(minimum=0, description="How many would be sent."),
            "sample": openapi.array(
                openapi.obj(
                    {
                        "id": openapi.text(description="A failure of the failures API."),
                        "event": openapi.text(),
                        "webhook": openapi.ref("WebhookName"),
                        "reason": openapi.text(description="For people."),
                        "reason_code": _REASON_CODE,
                        "created_at": _MOMENT,
                    }
                ),
                maxItems=recovering.SAMPLE,
                description="The oldest of them.",
            ),
            "excluded": openapi.integer(
                minimum=0,
                description="How many more are selected that cannot be sent: their webhook is disabled or "
                "deleted.",
            ),
        }
    ),
    "Recovery": openapi.obj(
        {
            "id": _UUID,
            "status": openapi.text(enum=list(Recovery.Status.values), description="More may be added."),
            "filter": openapi.obj(
                {**_FILTER_PROPERTIES, "created_at": openapi.nullable(_period(_MOMENT))},
                description="As it was given.",
            ),
            "rate": openapi.integer(minimum=1, maximum=recovering.MAX_RATE),
            "why": openapi.text(),
            "by": openapi.text(description="Who made it."),
            "total": openapi.integer(minimum=0, description="How many failures it covers."),
            "progress": openapi.obj(
                {
                    "queued": openapi.integer(minimum=0, description="Sent again so far, or about to be."),
                    "skipped": openapi.integer(
                        minimum=0,
                        description="Needed no more sending, or could not be sent; counted at the end.",
                    ),
                    "delivered": openapi.integer(minimum=0),
                    "failed": openapi.integer(minimum=0),
                    "outstanding": openapi.integer(minimum=0),
                },
                description="`delivered`, `failed` and `outstanding` say what became of what was queued. "
                "What somebody else has sent again since then is in none of the three.",
            ),
            "sample": openapi.array(
                openapi.text(),
                maxItems=recovering.SAMPLE,
                description="The ids of the oldest failures it covers.",
            ),
            "created_at": _MOMENT,
            "finished_at": openapi.nullable(_MOMENT),
        }
    ),
    "RecoveryPage": _page("Recovery"),
    "Problem": openapi.obj(
        {
            "type": openapi.text(const="about:blank"),
            "title": openapi.text(description="The standard words for the status."),
            "status": openapi.integer(minimum=400, maximum=599),
            "detail": openapi.text(description="For people."),
            "instance": openapi.text(
                format="uri-reference", description="The request, by its `X-Request-Id`."
            ),
            "code": openapi.text(description="Stable, for programs. More may be added."),
            "errors": {
                "type": "object",
                "description": "Messages for people, by field or parameter. Empty unless something is "
                "invalid.",
                "additionalProperties": True,
            },
        },
        description="RFC 9457.",
    ),
}

# Code and detail, by status.
_PROBLEMS = {
    400: ("parse_error", "Malformed JSON."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    403: ("permission_denied", "You do not have permission to perform this action."),
    404: ("not_found", "Not found."),
    406: ("not_acceptable", "Could not satisfy the request Accept header."),
    409: ("idempotency_conflict", "The idempotency key stands for another event."),
    411: ("length_required", "This server reads no chunks; send the body with a Content-Length."),
    413: ("body_too_large", "The body takes more than 278,528 bytes."),
    415: ("unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
    422: ("invalid", "Some of what was sent is not valid."),
    429: ("too_many_requests", "Too many requests."),
    500: ("internal_error", "Something went wrong on our side."),
    503: ("service_unavailable", "The service cannot reach its database. Try again in a few seconds."),
}


def _problem(status: int, **errors: object) -> Json:
    code, detail = _PROBLEMS[status]
    title = openapi.phrase(status)
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "urn:uuid:0198c0de-8f5e-7c1a-9b3d-2f4e6a8c0d1e",
        "code": code,
        "errors": errors,
    }


_INVALID = _problem(422, create_at=['Unknown parameter. Did you mean "created_at"?'])
_RESPONSES: dict[str, Json] = {
    openapi.name_of(status): openapi.error(
        status,
        openapi.ref("Problem"),
        {"problem": _INVALID if status == 422 else _problem(status)},
        media_type=CONTENT_TYPE,
    )
    for status in _PROBLEMS
}
_RESPONSES["RecoveryConflict"] = openapi.error(
    409,
    openapi.ref("Problem"),
    {
        "problem": {
            **_problem(409),
            "detail": "The recovery is completed.",
            "code": "recovery_state_conflict",
        }
    },
    media_type=CONTENT_TYPE,
)
_RESPONSES["NotRedeliverable"] = openapi.error(
    409,
    openapi.ref("Problem"),
    {
        "problem": {
            **_problem(409),
            "detail": "Only a failed delivery to an enabled webhook can be sent again.",
            "code": "not_redeliverable",
        }
    },
    media_type=CONTENT_TYPE,
)
_PARAMETERS: dict[str, Json] = {
    "recovery_status": openapi.query(
        "status", openapi.text(enum=list(Recovery.Status.values)), "Only recoveries in this state."
    ),
    "cursor": openapi.query("cursor", openapi.text(), "From a link of this list. Opaque."),
    "page_size": openapi.query(
        "page_size", openapi.integer(minimum=1, maximum=MOST_PER_PAGE, default=MOST_PER_PAGE), "How many."
    ),
    "created_at_gte": openapi.query("created_at[gte]", _MOMENT_GIVEN, "From this moment on."),
    "created_at_lt": openapi.query("created_at[lt]", _MOMENT_GIVEN, "Before this moment."),
    "event": openapi.query("event", openapi.text(pattern="^[a-z0-9_.]{1,100}$"), "Only of this event type."),
    "window": openapi.query(
        "window",
        openapi.text(enum=list(statistics.WINDOWS), default=statistics.DEFAULT_WINDOW),
        "How far back.",
    ),
    "until": openapi.query("until", _MOMENT_GIVEN, "The window ends with the bucket of this moment; now."),
    "bucket": openapi.query(
        "bucket",
        openapi.text(enum=list(statistics.BUCKETS)),
        "How finely the window is cut; as fine as is usual for it. At most 1,500, with groups 300.",
    ),
    "group_by": openapi.query(
        "group_by", openapi.text(enum=list(statistics.GROUPINGS)), "Figures for each of these."
    ),
    "by_agent": openapi.query("agent_id", openapi.text(format="uuid"), "Only of this agent."),
    "by_webhook": openapi.query("webhook_id", openapi.text(format="uuid"), "Only to this webhook."),
    "by_event": openapi.query("event_id", openapi.text(format="uuid"), "Only of this event."),
    "status": openapi.query(
        "status",
        openapi.text(enum=["pending", "held", "succeeded", "failed", "cancelled"]),
        "Only in this state.",
    ),
    "IdempotencyKey": openapi.header(
        "Idempotency-Key",
        openapi.text(pattern=r"^[!-~]{1,128}$"),
        "Kept 72 hours. The same key and body give the same answer, with `Idempotency-Replayed: true`; "
        "the same "
        "key with another body is 409.",
    ),
}


def _id(name: str, what: str) -> Json:
    return {
        "name": name,
        "description": f"The id of {what}. A malformed one is 404.",
        "schema": openapi.text(),
    }


def _answer(description: str, schema: str, example: object, **more: Any) -> Answer:
    return Answer(description=description, schema=openapi.ref(schema), examples={"answer": example}, **more)


def _steering(id: str, summary: str, description: str, **after: Any) -> Operation:  # noqa: A002 - its name
    return Operation(
        id=id,
        tag="Recoveries",
        summary=summary,
        description=description,
        answers={200: _answer("The recovery as it is now.", "Recovery", {**RECOVERY, **after})},
        errors={404: "NotFound", 409: "RecoveryConflict", 422: "Invalid"},
    )


def _listed(description: str, schema: str, example: object) -> Answer:
    """Return the answer of a list with one row."""
    page = {"results": [example], "next": None, "previous": None}
    return _answer(description, schema, page, headers=["Link"])


_OPERATIONS: Operations = {
    (EventViewSet, "publish"): Operation(
        id="publishEvent",
        tag="Events",
        summary="Publish an event",
        description="Stores the event with a delivery for every webhook it matches, and answers once that is "
        "committed. An event that matches nothing is stored all the same.",
        parameters=["IdempotencyKey"],
        body=Body(schema=openapi.ref("EventDraft"), examples={"event": DRAFT}),
        answers={
            202: _answer("Stored.", "Publication", PUBLICATION, headers=["Idempotency-Replayed", "Location"]),
        },
        errors={409: "Conflict"},
    ),
    (EventBatchViewSet, "publish"): Operation(
        id="publishEvents",
        tag="Events",
        summary="Publish up to 500 events",
        description="All of them or none, in 8 MiB at most. `errors` names what is wrong with which: "
        "`events[3].payload` a field, `events[3]` a whole item, counted from 0. Each event may have its own "
        "`idempotency_key`; a key for the whole batch in the header is refused. `Idempotency-Replayed: true` "
        "says that all of them were there before.",
        body=Body(
            schema=openapi.ref("EventBatch"),
            examples={"events": {"events": [{**DRAFT, "idempotency_key": "call-c-1-ended"}]}},
        ),
        answers={
            202: _answer(
                "Stored.",
                "PublishedBatch",
                {"events": [{**PUBLICATION, "replayed": False}]},
                headers=["Idempotency-Replayed"],
            ),
        },
        errors={409: "Conflict"},
    ),
    (EventViewSet, "list"): Operation(
        id="listEvents",
        tag="Events",
        summary="List events",
        description="Newest first, without their payloads.",
        parameters=["cursor", "page_size", "event", "by_agent", "created_at_gte", "created_at_lt"],
        answers={
            200: _listed(
                "A page of events.",
                "EventPage",
                {name: value for name, value in EVENT.items() if name != "payload"},
            )
        },
        errors={422: "Invalid"},
    ),
    (EventViewSet, "retrieve"): Operation(
        id="getEvent",
        tag="Events",
        summary="Get an event",
        description="The event, its deliveries, and every webhook of the account that did not get it.",
        answers={
            200: _answer(
                "The event.",
                "EventDetail",
                {
                    **EVENT,
                    "deliveries": [DELIVERY],
                    "skipped": [
                        {
                            "webhook": {"id": "9fcafbf2-7593-44d6-8cd7-1b221beba62a", "name": "My Webhook"},
                            "reason": "disabled",
                        }
                    ],
                },
            )
        },
        errors={404: "NotFound", 422: "Invalid"},
    ),
    (AgentViewSet, "create"): Operation(
        id="createAgent",
        tag="Agents",
        summary="Create an agent",
        description="What webhooks of the logs API belong to.",
        body=Body(schema=openapi.ref("AgentDraft"), examples={"agent": {"name": "Reception"}}),
        answers={201: _answer("The new agent.", "Agent", AGENT, headers=["Location"])},
    ),
    (AgentViewSet, "list"): Operation(
        id="listAgents",
        tag="Agents",
        summary="List agents",
        description="Newest first.",
        parameters=["cursor", "page_size"],
        answers={
            200: _listed("A page of agents.", "AgentPage", AGENT),
        },
        errors={422: "Invalid"},
    ),
    (AgentViewSet, "retrieve"): Operation(
        id="getAgent",
        tag="Agents",
        summary="Get an agent",
        description="One agent.",
        answers={200: _answer("The agent.", "Agent", AGENT)},
        errors={404: "NotFound", 422: "Invalid"},
    ),
    (RecoveryViewSet, "create"): Operation(
        id="createRecovery",
        tag="Recoveries",
        summary="Send many failures again",
        description="Selects the failures that are inactive now and whose webhooks are enabled, and sends "
        "each once more, oldest first, at most `rate` a second. What has meanwhile succeeded, or was sent by "
        "somebody else, is skipped. With `dry_run` nothing is changed.",
        body=Body(
            schema=openapi.ref("RecoveryDraft"),
            examples={
                "dry run": {"event": "call.ended", "dry_run": True},
                "recovery": RECOVERY_DRAFT,
            },
        ),
        answers={
            200: _answer("What would be sent: `dry_run` was true.", "RecoveryPreview", PREVIEW),
            202: _answer("The new recovery.", "Recovery", RECOVERY, headers=["Location"]),
        },
    ),
    (RecoveryViewSet, "list"): Operation(
        id="listRecoveries",
        tag="Recoveries",
        summary="List recoveries",
        description="Newest first.",
        parameters=["cursor", "page_size", "recovery_status"],
        answers={200: _listed("A page of recoveries.", "RecoveryPage", RECOVERY)},
        errors={422: "Invalid"},
    ),
    (RecoveryViewSet, "retrieve"): Operation(
        id="getRecovery",
        tag="Recoveries",
        summary="Get a recovery",
        description="One recovery, and how far it has come.",
        answers={200: _answer("The recovery.", "Recovery", RECOVERY)},
        errors={404: "NotFound", 422: "Invalid"},
    ),
    (RecoveryViewSet, "pause"): _steering(
        "pauseRecovery",
        "Pause a recovery",
        "Nothing more is queued until it is resumed; what is to leave within the next moment still does.",
        status="paused",
    ),
    (RecoveryViewSet, "resume"): _steering(
        "resumeRecovery", "Resume a recovery", "It goes on where it was paused."
    ),
    (RecoveryViewSet, "cancel"): _steering(
        "cancelRecovery",
        "Cancel a recovery",
        "Nothing more is queued, for good.",
        status="cancelled",
        finished_at="2026-03-15T12:31:00.000000Z",
    ),
    (DeliveryViewSet, "list"): Operation(
        id="listDeliveries",
        tag="Deliveries",
        summary="List deliveries",
        description="Newest first.",
        parameters=[
            "cursor",
            "page_size",
            "status",
            "by_webhook",
            "by_event",
            "event",
            "created_at_gte",
            "created_at_lt",
        ],
        answers={200: _listed("A page of deliveries.", "DeliveryPage", DELIVERY_ALONE)},
        errors={422: "Invalid"},
    ),
    (DeliveryViewSet, "retrieve"): Operation(
        id="getDelivery",
        tag="Deliveries",
        summary="Get a delivery",
        description="One delivery.",
        answers={200: _answer("The delivery.", "Delivery", DELIVERY_ALONE)},
        errors={404: "NotFound", 422: "Invalid"},
    ),
    (DeliveryViewSet, "retry"): Operation(
        id="retryDelivery",
        tag="Deliveries",
        summary="Send a failed delivery again",
        description="Queues one attempt, and no automatic retries after it. A body is not read. Of two at "
        "once, one is answered with 409.",
        answers={202: _answer("Queued.", "Delivery", QUEUED, headers=["Location"])},
        errors={404: "NotFound", 409: "NotRedeliverable", 422: "Invalid"},
    ),
    (AttemptViewSet, "list"): Operation(
        id="listAttempts",
        tag="Deliveries",
        summary="List the attempts of a delivery",
        description="The last one first, without headers and bodies.",
        parameters=["cursor", "page_size"],
        answers={200: _listed("A page of attempts.", "AttemptPage", ATTEMPT)},
        errors={404: "NotFound", 422: "Invalid"},
    ),
    (AttemptViewSet, "retrieve"): Operation(
        id="getAttempt",
        tag="Deliveries",
        summary="Get an attempt",
        description="What was sent and what came back.",
        answers={
            200: _answer(
                "The attempt.",
                "Attempt",
                {
                    **ATTEMPT,
                    "request_headers": {"Content-Type": "application/json", "Authorization": "***"},
                    "response_headers": {"content-type": "text/plain"},
                    "response_body": "Try later.",
                },
            )
        },
        errors={404: "NotFound", 422: "Invalid"},
    ),
    (EventTypeViewSet, "list"): Operation(
        id="listEventTypes",
        tag="Events",
        summary="List event types",
        description="The whole catalogue, on one page.",
        answers={
            200: _answer(
                "The catalogue.",
                "EventTypePage",
                {
                    "results": [{"code": "call.ended", "label": "Call ended"}],
                    "next": None,
                    "previous": None,
                },
            )
        },
        errors={422: "Invalid"},
    ),
    (StatisticsViewSet, "retrieve"): Operation(
        id="getStatistics",
        tag="Statistics",
        summary="Count attempts",
        description="What was attempted in a window of time, cut into buckets, from counts by the minute. "
        "Buckets start at multiples of their length, in UTC; the last one is still filling. Percentiles are "
        "estimates: they are read off a histogram.",
        parameters=["window", "bucket", "group_by", "until", "by_webhook", "event"],
        answers={200: _answer("The figures.", "Statistics", STATISTICS)},
        errors={422: "Invalid"},
    ),
    (WhoamiViewSet, "retrieve"): Operation(
        id="whoami",
        tag="Key",
        summary="Say who asks",
        description="The key that is used, and its account.",
        answers={200: _answer("The key.", "Whoami", WHOAMI)},
        errors={422: "Invalid"},
    ),
}


class Generator(openapi.Generator):
    """`docs/openapi/native.yaml`."""

    contract = Contract(
        title="Native API",
        description="Publishing events, and what the other two lack.\n\n"
        "Errors are problem details (RFC 9457) with a stable `code`. A query parameter that is not "
        "named here is "
        "422, with the nearest one that is. Every path works with and without one slash at its end. "
        "Other paths "
        "under `/api/v1` answer 404; a method that a path does not have, 405 with an `Allow` header.",
        view=NativeView,
        tags={
            "Events": "What happened, and who was told.",
            "Deliveries": "Each event on its way to each webhook, and every request that was made.",
            "Statistics": "How much was attempted, and with what success.",
            "Agents": "What webhooks belong to.",
            "Recoveries": "Sending many failures again, as one job.",
            "Key": "Who asks.",
        },
        operations=_OPERATIONS,
        path_parameters={
            "event_id": _id("event_id", "an event"),
            "agent_id": _id("agent_id", "one of the account's agents"),
            "recovery_id": _id("recovery_id", "a recovery"),
            "delivery_id": _id("delivery_id", "a delivery"),
            "attempt_id": _id("attempt_id", "one of the delivery's attempts"),
        },
        parameters=_PARAMETERS,
        responses=_RESPONSES,
        schemas=_SCHEMAS,
        headers=["RateLimit", "RateLimit-Policy"],
    )
