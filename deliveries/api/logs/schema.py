"""The published document of the logs API. Its examples are those the contract prints."""

from typing import Any

from deliveries.api import openapi
from deliveries.api.conditional import PreconditionFailed
from deliveries.api.logs.pagination import DEFAULT_PER_PAGE, MOST_PER_PAGE
from deliveries.api.logs.serializers import DEFAULT_OVERLAP_HOURS, MAX_EVENTS, MOST_OVERLAP_HOURS
from deliveries.api.logs.views import LogsView, LogViewSet, WebhookViewSet
from deliveries.api.openapi import Answer, Body, Contract, Json, Operation, Operations

WEBHOOK: Json = {
    "id": "9fcafbf2-7593-44d6-8cd7-1b221beba62a",
    "agent_id": "9fbef0b7-8d4e-4a08-9207-66c22155721d",
    "name": "My Webhook",
    "webhook_url": "https://example.com/webhook",
    "events": ["event_phone_call_started", "event_phone_call_ended"],
    "timeout": 30,
    "max_retries": 3,
    "enabled": True,
    "created_at": "2025-09-03T23:19:51.000000Z",
    "updated_at": "2025-09-03T23:37:01.000000Z",
    "events_count": 2,
    "status": "active",
    "http_method": "POST",
    "authorization_scheme": "none",
}
NEW_WEBHOOK: Json = {
    name: WEBHOOK[name] for name in ("name", "webhook_url", "events", "timeout", "max_retries", "enabled")
}
LOG: Json = {
    "id": "9fd0c3a4-5b1e-4c57-8a36-2f6f1d0c9e11",
    "webhook_id": WEBHOOK["id"],
    "event": "event_phone_call_ended",
    "attempt": 1,
    "status": "success",
    "http_status": 200,
    "error": None,
    "request_payload": {"call_id": "call-uuid", "duration": 45},
    "response_body": '{"received":true}',
    "response_headers": {"content-type": "application/json"},
    "duration_ms": 142,
    "delivered_at": "2024-01-15T11:00:01Z",
    "created_at": "2024-01-15T11:00:00Z",
}
RETRY: Json = {
    "log_id": "9fd0c5e7-0d7b-4f39-9a55-6e0f5f6f7b12",
    "original_log_id": LOG["id"],
    "queued_at": "2024-01-15T11:30:00Z",
}

_SECONDS = openapi.text(format="date-time", description="UTC, to the second.")
_MICROSECONDS = openapi.text(format="date-time", description="UTC, with six decimals.")
_METHODS = openapi.text(enum=["POST", "PUT", "PATCH"])
_SCHEMES = openapi.text(enum=["none", "bearer", "basic", "api_key", "custom"])
_SUCCESS: Json = {"type": "boolean", "const": True}
_FAILURE: Json = {"type": "boolean", "const": False}


def _succeeded(data: Json, *, message: bool = False, **more: Json) -> Json:
    """Return the schema of an answer; those to GET have no message."""
    said = {"message": openapi.text()} if message else {}
    return openapi.obj({"success": _SUCCESS, "data": data, **said, **more})


# Defaults in words: generators make what has a `default` a field that must be given.
_FIELDS: dict[str, Json] = {
    "name": openapi.text(minLength=1, maxLength=255),
    "webhook_url": openapi.text(
        format="uri",
        maxLength=500,
        description="HTTPS, and no address inside of a private network.",
    ),
    "webhook_secret": openapi.nullable(
        openapi.text(
            maxLength=255,
            writeOnly=True,
            description="Signs every delivery. One that starts with `whsec_` is base64; any other is "
            "taken as it is. Null or an empty string clears it.",
        )
    ),
    "events": openapi.array(
        openapi.text(),
        minItems=1,
        maxItems=MAX_EVENTS,
        uniqueItems=True,
        description="Event types of the catalogue, or patterns: `*`, `call.*`.",
    ),
    "timeout": openapi.integer(minimum=5, maximum=120, description="Seconds. Default: 30."),
    "max_retries": openapi.integer(minimum=0, maximum=10, description="Tries after the first. Default: 3."),
    "enabled": {"type": "boolean", "description": "Default: true."},
    "http_method": {**_METHODS, "description": "Default: `POST`."},
    "authorization_scheme": {
        **_SCHEMES,
        "description": "Default: `none`. `bearer` and `basic` send the credential in `Authorization`, "
        "`api_key` in `X-API-Key`; `custom` sends `custom_headers` only.",
    },
    "authorization_credential": openapi.nullable(
        openapi.text(
            maxLength=1024,
            pattern="^[ -~]*$",
            writeOnly=True,
            description="Needed by `bearer`, `basic` and `api_key`. Never returned.",
        )
    ),
    "custom_headers": openapi.array(
        openapi.obj({"key": openapi.text(), "value": openapi.text()}),
        writeOnly=True,
        description="Sent on every delivery. Never returned.",
    ),
}
_SCHEMAS: dict[str, Json] = {
    "Webhook": openapi.obj(
        {
            "id": openapi.text(format="uuid"),
            "agent_id": openapi.text(format="uuid"),
            "name": openapi.text(),
            "webhook_url": openapi.text(),
            "events": openapi.array(openapi.text()),
            "timeout": openapi.integer(minimum=1, maximum=120),
            "max_retries": openapi.integer(minimum=0, maximum=10),
            "enabled": {"type": "boolean"},
            "created_at": _MICROSECONDS,
            "updated_at": _MICROSECONDS,
            "events_count": openapi.integer(minimum=0),
            "status": openapi.text(enum=["active", "disabled"], description="The same as `enabled`."),
            "http_method": _METHODS,
            "authorization_scheme": _SCHEMES,
        },
        description="A webhook. Its secret, credential and header values are never returned.",
    ),
    "NewWebhook": openapi.obj(_FIELDS, required=["name", "webhook_url", "events"]),
    "WebhookChanges": openapi.obj(
        _FIELDS,
        required=[],
        description="What is left out stays as it is: the defaults are those of a new webhook.",
    ),
    "Rotation": openapi.obj(
        {
            "overlap_hours": openapi.integer(
                minimum=0,
                maximum=MOST_OVERLAP_HOURS,
                description="For how long the present secret goes on signing beside the new one. "
                f"Default: {DEFAULT_OVERLAP_HOURS}.",
            )
        },
        required=[],
    ),
    "SecretRotated": _succeeded(
        openapi.obj(
            {
                "webhook_secret": openapi.text(description="The new secret. It is never shown again."),
                "previous_secret_expires_at": openapi.nullable(
                    {**_MICROSECONDS, "description": "Null when no secret before it signs on."}
                ),
            }
        ),
        message=True,
    ),
    "TestOutcome": openapi.obj(
        {
            "success": {"type": "boolean", "description": "Whether the receiver answered 2xx."},
            "message": openapi.text(
                description='"Test webhook sent successfully", or why not: "Connection timeout", "HTTP 500".'
            ),
            "data": openapi.obj(
                {
                    "status_code": openapi.nullable(openapi.integer(description="Null without an answer.")),
                    "response_time": openapi.integer(minimum=0, description="Milliseconds."),
                }
            ),
        }
    ),
    "WebhookDeleted": openapi.obj({"success": _SUCCESS, "message": openapi.text()}),
    "WebhookAnswer": _succeeded(openapi.ref("Webhook")),
    "WebhookChanged": _succeeded(openapi.ref("Webhook"), message=True),
    "WebhookList": _succeeded(
        openapi.obj(
            {
                "webhooks": openapi.array(openapi.ref("Webhook")),
                "available_events": {
                    "type": "object",
                    "additionalProperties": openapi.text(),
                    "description": "The catalogue: labels by event type. It may grow.",
                },
            }
        )
    ),
    "Log": openapi.obj(
        {
            "id": openapi.text(format="uuid"),
            "webhook_id": openapi.text(format="uuid"),
            "event": openapi.text(),
            "attempt": openapi.integer(minimum=1),
            "status": openapi.text(
                enum=["pending", "success", "retrying", "failed"],
                description="`pending`: queued. `success`: answered with 2xx. `retrying`: failed, and an "
                "automatic attempt is outstanding. `failed`: failed for good.",
            ),
            "http_status": openapi.nullable(openapi.integer(description="Null when nobody answered.")),
            "error": openapi.nullable(openapi.text(description="Why it failed, for people.")),
            "request_payload": {"type": "object", "additionalProperties": True},
            "response_body": openapi.nullable(openapi.text(description="The first 64 KiB.")),
            "response_headers": {"type": ["object", "null"], "additionalProperties": openapi.text()},
            "duration_ms": openapi.nullable(openapi.integer(minimum=0)),
            "delivered_at": openapi.nullable({**_SECONDS, "description": "Only on success. UTC."}),
            "created_at": {**_SECONDS, "description": "When the attempt was scheduled. UTC."},
        },
        description="One attempt, made or queued. Every key is always there.",
    ),
    "LogList": _succeeded(
        openapi.array(openapi.ref("Log")),
        pagination=openapi.obj(
            {
                "current_page": openapi.integer(minimum=1),
                "per_page": openapi.integer(minimum=1, maximum=MOST_PER_PAGE),
                "total": openapi.integer(minimum=0),
                "last_page": openapi.integer(minimum=1),
            }
        ),
    ),
    "RetryQueued": _succeeded(
        openapi.obj(
            {
                "log_id": openapi.text(format="uuid", description="The new log, of the queued attempt."),
                "original_log_id": openapi.text(format="uuid"),
                "queued_at": _SECONDS,
            }
        ),
        message=True,
    ),
    "Message": openapi.obj({"message": openapi.text()}),
    "Failure": openapi.obj({"success": _FAILURE, "message": openapi.text()}),
    "ValidationErrors": openapi.obj(
        {
            "message": openapi.text(),
            "errors": {
                "type": "object",
                "description": "Messages for people, by field or parameter.",
                "additionalProperties": openapi.array(openapi.text(), minItems=1),
            },
        }
    ),
    "NotRetriable": openapi.obj(
        {"success": _FAILURE, "message": openapi.text(), "code": openapi.text(const="LOG_NOT_RETRIABLE")}
    ),
}


def _failed(message: str) -> Json:
    return {"success": False, "message": message}


_AGENT, _WEBHOOK, _LOG = (
    _failed(message)
    for message in ("Agent not found in this environment.", "Webhook not found.", "Log not found.")
)


def _not_found(**examples: object) -> Json:
    return openapi.error(404, openapi.ref("Failure"), examples)


_MESSAGES = {
    400: "Invalid JSON.",
    403: "This token may not do that.",
    406: "The answers are JSON: send `Accept: application/json`.",
    411: "This server reads no chunks; send the body with a Content-Length.",
    412: PreconditionFailed.default_detail,
    413: "The body takes more than 278,528 bytes.",
    415: 'Unsupported media type "text/plain" in request.',
    429: "Too many requests.",
    500: "Something went wrong on our side.",
    503: "The service cannot reach its database. Try again in a few seconds.",
}
_RESPONSES: dict[str, Json] = {
    **{
        openapi.name_of(status): openapi.error(status, openapi.ref("Failure"), {"error": _failed(message)})
        for status, message in _MESSAGES.items()
    },
    "Unauthorized": openapi.error(
        401,
        openapi.ref("Message"),
        {"missing": {"message": "Missing Bearer Token"}, "invalid": {"message": "Invalid token"}},
    ),
    "AgentNotFound": _not_found(agent=_AGENT),
    "WebhookNotFound": _not_found(agent=_AGENT, webhook=_WEBHOOK),
    "LogNotFound": _not_found(agent=_AGENT, webhook=_WEBHOOK, log=_LOG),
    "Invalid": openapi.error(
        422,
        openapi.ref("ValidationErrors"),
        {
            "error": {
                "message": "The given data was invalid.",
                "errors": {
                    "webhook_url": ["The webhook url field is required."],
                    "events": ["The events field must contain at least 1 items."],
                },
            }
        },
    ),
    "LogNotRetriable": openapi.error(
        422,
        openapi.ref("NotRetriable"),
        {"error": {**_failed("Log cannot be retried"), "code": "LOG_NOT_RETRIABLE"}},
        description="The log is not `failed`, too old, its delivery has an attempt outstanding or has "
        "meanwhile succeeded, or the webhook is disabled.",
    ),
}

_PARAMETERS: dict[str, Json] = {
    "IfMatch": openapi.IF_MATCH,
    "IfNoneMatch": openapi.IF_NONE_MATCH,
    "page": openapi.query("page", openapi.integer(minimum=1, default=1), "Which page."),
    "per_page": openapi.query(
        "per_page", openapi.integer(minimum=1, maximum=MOST_PER_PAGE, default=DEFAULT_PER_PAGE), "How many."
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


_OPERATIONS: Operations = {
    (WebhookViewSet, "list"): Operation(
        id="listAgentWebhooks",
        tag="Webhooks",
        summary="List an agent's webhooks",
        description="All of them, newest first, and the event types a webhook may listen to.",
        answers={
            200: _answer(
                "The webhooks and the catalogue.",
                "WebhookList",
                {
                    "success": True,
                    "data": {
                        "webhooks": [WEBHOOK],
                        "available_events": {
                            "event_phone_call_started": "Phone call has started",
                            "event_phone_call_ended": "Phone call has ended",
                        },
                    },
                },
            )
        },
        errors={404: "AgentNotFound"},
    ),
    (WebhookViewSet, "create"): Operation(
        id="createAgentWebhook",
        tag="Webhooks",
        summary="Create a webhook",
        description='Types are strict: `"timeout": "30"` is refused, and so are unknown fields.',
        body=Body(schema=openapi.ref("NewWebhook"), examples={"webhook": NEW_WEBHOOK}),
        answers={
            201: _answer(
                "The new webhook.",
                "WebhookChanged",
                {"success": True, "data": WEBHOOK, "message": "Webhook created successfully"},
                headers=["ETag", "Location"],
            )
        },
        errors={404: "AgentNotFound"},
    ),
    (WebhookViewSet, "retrieve"): Operation(
        id="getAgentWebhook",
        tag="Webhooks",
        summary="Get a webhook",
        description="One webhook.",
        parameters=["IfMatch", "IfNoneMatch"],
        answers={
            200: _answer(
                "The webhook.", "WebhookAnswer", {"success": True, "data": WEBHOOK}, headers=["ETag"]
            ),
            304: openapi.NOT_MODIFIED,
        },
        errors={404: "WebhookNotFound", 412: "PreconditionFailed"},
    ),
    (WebhookViewSet, "update"): Operation(
        id="updateAgentWebhook",
        tag="Webhooks",
        summary="Change a webhook",
        description="Changes the fields that are given, and no others. A new URL, method, header, credential "
        "or timeout applies from the next attempt on. With `If-Match` nobody's change in between is "
        "overwritten.",
        parameters=["IfMatch"],
        body=Body(
            schema=openapi.ref("WebhookChanges"),
            examples={"changes": {"timeout": 10, "max_retries": 5}},
            required=False,
        ),
        answers={
            200: _answer(
                "The webhook as it is now.",
                "WebhookChanged",
                {"success": True, "data": WEBHOOK, "message": "Webhook updated successfully"},
                headers=["ETag"],
            )
        },
        errors={404: "WebhookNotFound", 412: "PreconditionFailed"},
    ),
    (WebhookViewSet, "destroy"): Operation(
        id="deleteAgentWebhook",
        tag="Webhooks",
        summary="Delete a webhook",
        description="Cancels what is queued for it and forgets its secrets. What was sent stays readable "
        "through the failures API and the console.",
        parameters=["IfMatch"],
        answers={
            200: _answer(
                "It is gone.",
                "WebhookDeleted",
                {"success": True, "message": "Webhook deleted successfully"},
            )
        },
        errors={404: "WebhookNotFound", 412: "PreconditionFailed"},
    ),
    (WebhookViewSet, "toggle"): Operation(
        id="toggleAgentWebhook",
        tag="Webhooks",
        summary="Enable or disable a webhook",
        description="Flips `enabled`. What is queued is held while a webhook is disabled, and goes on when "
        "it is enabled again. A body is ignored.",
        parameters=["IfMatch"],
        answers={
            200: _answer(
                "The webhook as it is now.",
                "WebhookChanged",
                {"success": True, "data": WEBHOOK, "message": "Webhook enabled"},
                headers=["ETag"],
            )
        },
        errors={404: "WebhookNotFound", 412: "PreconditionFailed"},
    ),
    (WebhookViewSet, "rotate_secret"): Operation(
        id="rotateAgentWebhookSecret",
        tag="Webhooks",
        summary="Replace a webhook's secret",
        description="Makes a new secret and shows it this once. The present one goes on signing beside it "
        "for a while, and so do those before it, each for its own time; at most five sign at once. To end "
        "all of them at once, set `webhook_secret`.",
        parameters=["IfMatch"],
        body=Body(
            schema=openapi.ref("Rotation"), examples={"rotation": {"overlap_hours": 24}}, required=False
        ),
        answers={
            200: _answer(
                "The new secret.",
                "SecretRotated",
                {
                    "success": True,
                    "data": {
                        "webhook_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=",
                        "previous_secret_expires_at": "2025-09-04T23:37:01.000000Z",
                    },
                    "message": "Webhook secret rotated successfully",
                },
            )
        },
        errors={404: "WebhookNotFound", 412: "PreconditionFailed"},
    ),
    (WebhookViewSet, "test"): Operation(
        id="testAgentWebhook",
        tag="Webhooks",
        summary="Send a test event",
        description="Sends `webhook.test` at once, signed and authorized like any delivery, also while the "
        "webhook is disabled, and answers with what came of it. Waits as long as the webhook's timeout, 30 "
        "seconds at most. Makes no log. A body is ignored. Ten a minute for an account.",
        answers={
            200: Answer(
                description="What came of it.",
                schema=openapi.ref("TestOutcome"),
                examples={
                    "arrived": {
                        "success": True,
                        "message": "Test webhook sent successfully",
                        "data": {"status_code": 200, "response_time": 150},
                    },
                    "failed": {
                        "success": False,
                        "message": "Connection timeout",
                        "data": {"status_code": None, "response_time": 5003},
                    },
                },
            )
        },
        errors={404: "WebhookNotFound"},
    ),
    (LogViewSet, "list"): Operation(
        id="listWebhookLogs",
        tag="Logs",
        summary="List a webhook's logs",
        description="One log per attempt, made or queued, newest first. Kept 30 days. A page past the end is "
        "empty, with the true total.",
        parameters=["page", "per_page"],
        answers={
            200: _answer(
                "A page of logs.",
                "LogList",
                {
                    "success": True,
                    "data": [LOG],
                    "pagination": {"current_page": 1, "per_page": 25, "total": 247, "last_page": 10},
                },
            )
        },
        errors={404: "WebhookNotFound", 422: "Invalid"},
    ),
    (LogViewSet, "retry"): Operation(
        id="retryWebhookLog",
        tag="Logs",
        summary="Retry a log",
        description="Queues one more attempt of the log's delivery, with the webhook's current URL, method, "
        "headers, credential and timeout, and the stored body byte for byte. The log stays as it is; the "
        "attempt gets a log of its own. No automatic retries follow. A body is ignored.",
        answers={
            200: _answer(
                "The attempt is queued.",
                "RetryQueued",
                {"success": True, "message": "Webhook retry queued successfully", "data": RETRY},
            )
        },
        errors={404: "LogNotFound", 422: "LogNotRetriable"},
    ),
}


class Generator(openapi.Generator):
    """`docs/openapi/logs.yaml`."""

    contract = Contract(
        title="Logs API",
        description="The webhooks of an agent, and a log of every attempt.\n\n"
        "Every path works with and without one slash at its end. Paths below an agent's webhooks that "
        'are not listed here answer 404 with `{"success": false, "message": "..."}`; a method that a path '
        "does not have, 405 in the same shape and an `Allow` header.",
        view=LogsView,
        tags={"Webhooks": "Where the events of an agent go.", "Logs": "What was sent, and what came back."},
        operations=_OPERATIONS,
        path_parameters={
            "agent_id": _id("agent_id", "one of the account's agents"),
            "webhook_id": _id("webhook_id", "one of the agent's webhooks"),
            "log_id": _id("log_id", "one of the webhook's logs"),
        },
        parameters=_PARAMETERS,
        responses=_RESPONSES,
        schemas=_SCHEMAS,
    )
