"""The published document of the failures API. Its examples are those the contract prints."""

from deliveries.api import openapi
from deliveries.api.failures.pagination import MOST_ACCEPTED, MOST_RETURNED
from deliveries.api.failures.views import FailuresView, FailureViewSet, WebhookViewSet
from deliveries.api.openapi import Answer, Contract, Json, Operation, Operations

_WEBHOOK_ID = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"
FAILURE: Json = {
    "id": "aabbccddeeff001122334455",
    "event": "call.ended",
    "status": "inactive",
    "reason": "Connection timeout",
    "webhook": {"id": _WEBHOOK_ID, "name": "CRM call events"},
    "last_attempt_at": "2026-03-15T10:32:14Z",
    "created_at": "2026-03-15T10:00:00Z",
    "updated_at": "2026-03-15T10:32:14Z",
}
RETRIGGERED: Json = {
    **FAILURE,
    "status": "pending",
    "reason": None,
    "last_attempt_at": "2026-03-15T10:45:00Z",
    "updated_at": "2026-03-15T10:45:00Z",
}

WEBHOOK: Json = {
    "id": "0b97ce11-b6e0-49b4-8f92-68040aa324bf",
    "name": "CRM call events",
    "http_method": "post",
    "url": "https://example.com/webhook",
    "authentication_method": "basic",
    "headers": {"X-Custom-Header": "value"},
    "events": ["inbound.call.answered", "outbound.call.answered"],
    "created_at": "2025-01-15T10:30:00.000000Z",
    "updated_at": "2025-01-15T10:30:00.000000Z",
}

_SECONDS = openapi.text(format="date-time", description="UTC, to the second.")
_MICROSECONDS = openapi.text(format="date-time", description="UTC, with six decimals.")
_TOTAL = openapi.obj(
    {"total": openapi.integer(minimum=0, description="Everything the request matches, on all pages.")}
)
_SCHEMAS: dict[str, Json] = {
    "WebhookFailure": openapi.obj(
        {
            "id": openapi.text(pattern="^[0-9a-f]{24}$", description="Opaque."),
            "event": openapi.text(description="The type of the event."),
            "status": openapi.text(
                enum=["pending", "inactive", "delivered"],
                description="`pending`: an attempt is outstanding. `inactive`: nothing happens any more "
                "unless somebody retriggers it. `delivered`: a later attempt succeeded.",
            ),
            "reason": openapi.nullable(
                openapi.text(
                    description='Why the last attempt failed, for people: "Connection timeout", '
                    '"Connection refused", "DNS lookup failed", "TLS handshake failed", "Blocked address", '
                    '"HTTP 503", "Response too slow"; more may be added. Null while pending after a '
                    "retrigger."
                )
            ),
            "webhook": openapi.obj(
                {"id": openapi.text(format="uuid"), "name": openapi.text()},
                description="The webhook as it was at the first failure. It may be gone by now.",
            ),
            "last_attempt_at": _SECONDS,
            "created_at": {**_SECONDS, "description": "When it first failed. UTC, to the second."},
            "updated_at": _SECONDS,
        },
        description="A delivery that has failed at least once.",
    ),
    "WebhookFailureList": openapi.obj(
        {"webhook_failures": openapi.array(openapi.ref("WebhookFailure")), "metadata": _TOTAL}
    ),
    "WebhookFailureAnswer": openapi.obj({"webhook_failure": openapi.ref("WebhookFailure")}),
    "Webhook": openapi.obj(
        {
            "id": openapi.text(format="uuid"),
            "name": openapi.text(),
            "http_method": openapi.text(enum=["post", "put", "patch"]),
            "url": openapi.text(),
            "authentication_method": openapi.text(enum=["none", "bearer", "basic", "api_key", "custom"]),
            "headers": {
                "type": "object",
                "additionalProperties": openapi.text(),
                "description": "The custom headers. Where the name looks like a credential's, the value is "
                "`***`. Empty also when none of the installation's encryption keys opens them.",
            },
            "events": openapi.array(openapi.text(), description="Event types, or patterns: `*`, `call.*`."),
            "created_at": _MICROSECONDS,
            "updated_at": _MICROSECONDS,
        },
        description="A webhook. Its secret and credential are never returned.",
    ),
    "WebhookList": openapi.obj({"webhooks": openapi.array(openapi.ref("Webhook")), "metadata": _TOTAL}),
    "WebhookAnswer": openapi.obj({"webhook": openapi.ref("Webhook")}),
    "Error": openapi.obj({"error": openapi.text()}),
    "InvalidParameters": openapi.obj(
        {
            "errors": {
                "type": "object",
                "description": "Messages for people, by parameter.",
                "additionalProperties": openapi.array(openapi.text(), minItems=1),
            }
        }
    ),
    "NotRetriggerable": openapi.obj(
        {"errors": openapi.obj({"status": openapi.array(openapi.text(), minItems=1)})}
    ),
}

# What "Common rules" print; a standard phrase for what they leave to us.
_WORDS = {404: "Not found", 429: "Too many requests", 503: "Internal Server Error"}
_ERRORS: dict[int, Json] = {
    **{
        status: openapi.error(
            status,
            openapi.ref("Error"),
            {"error": {"error": _WORDS.get(status) or openapi.phrase(status)}},
        )
        for status in (*openapi.OF_ALL, 404, 412)
    },
    409: openapi.error(
        409,
        openapi.ref("NotRetriggerable"),
        {
            "error": {
                "errors": {"status": ["Only an inactive failure of an enabled webhook can be retriggered."]}
            }
        },
        description="The failure is not `inactive`, or its webhook is gone or disabled.",
    ),
    422: openapi.error(
        422,
        openapi.ref("InvalidParameters"),
        {"error": {"errors": {"limit": [f"Must be a whole number from 0 to {MOST_ACCEPTED}."]}}},
        description="A value in the query is invalid. Every bad parameter is listed.",
    ),
}

_PARAMETERS: dict[str, Json] = {
    "limit": openapi.query(
        "limit",
        openapi.integer(minimum=0, maximum=MOST_ACCEPTED, default=MOST_RETURNED),
        f"How many to return. More than {MOST_RETURNED} is accepted, and {MOST_RETURNED} returned.",
    ),
    "offset": openapi.query("offset", openapi.integer(minimum=0, default=0), "How many to skip."),
    "IfMatch": openapi.IF_MATCH,
    "IfNoneMatch": openapi.IF_NONE_MATCH,
    "created_at_gte": openapi.query(
        "created_at[gte]",
        openapi.text(format="date-time"),
        "First failed at this moment or later. ISO 8601 with a zone, such as `2026-03-01T00:00:00Z`.",
    ),
    "created_at_lt": openapi.query(
        "created_at[lt]",
        openapi.text(format="date-time"),
        "First failed before this moment. ISO 8601 with a zone, such as `2026-04-01T00:00:00Z`.",
    ),
}

_OPERATIONS: Operations = {
    (FailureViewSet, "list"): Operation(
        id="listWebhookFailures",
        tag="Webhook failures",
        summary="List webhook failures",
        description="The failures that need attention (status `inactive`), newest first. Parameters not "
        "named here are ignored, except another operator on `created_at`, which is refused.\n\n"
        "```\n"
        'curl "http://127.0.0.1:8000/api/v4/tasks/webhook_failures'
        "?created_at%5Bgte%5D=2026-03-01T00:00:00Z&created_at%5Blt%5D=2026-04-01T00:00:00Z"
        '&limit=50&offset=0" \\\n'
        '  -H "Authorization: Bearer <api key>"\n'
        "```\n\n"
        "Brackets as they are work too; `curl` then needs `-g`.",
        parameters=["limit", "offset", "created_at_gte", "created_at_lt"],
        answers={
            200: Answer(
                description="A page of failures.",
                schema=openapi.ref("WebhookFailureList"),
                examples={"page": {"webhook_failures": [FAILURE], "metadata": {"total": 1}}},
            )
        },
        errors={422: "Invalid"},
    ),
    (FailureViewSet, "retrieve"): Operation(
        id="getWebhookFailure",
        tag="Webhook failures",
        summary="Get a webhook failure",
        description="One failure, whatever its status.",
        answers={
            200: Answer(
                description="The failure.",
                schema=openapi.ref("WebhookFailureAnswer"),
                examples={"failure": {"webhook_failure": FAILURE}},
            )
        },
        errors={404: "NotFound"},
    ),
    (FailureViewSet, "retrigger"): Operation(
        id="retriggerWebhookFailure",
        tag="Webhook failures",
        summary="Retrigger a webhook failure",
        description="Queues exactly one attempt and answers at once. The stored body goes out byte for byte, "
        "to the webhook's current URL, with its current credentials, headers and timeout. If that attempt "
        "fails the failure is `inactive` again: no automatic retries follow a manual one. A body is ignored.",
        answers={
            200: Answer(
                description="The failure, now pending.",
                schema=openapi.ref("WebhookFailureAnswer"),
                examples={"failure": {"webhook_failure": RETRIGGERED}},
            )
        },
        errors={404: "NotFound", 409: "Conflict"},
    ),
    (WebhookViewSet, "list"): Operation(
        id="listWebhooks",
        tag="Webhooks",
        summary="List webhooks",
        description="The account's webhooks, newest first: those of its agents, and those of none. Other "
        "parameters are ignored.",
        parameters=["limit", "offset"],
        answers={
            200: Answer(
                description="A page of webhooks.",
                schema=openapi.ref("WebhookList"),
                examples={"page": {"webhooks": [WEBHOOK], "metadata": {"total": 1}}},
            )
        },
        errors={422: "Invalid"},
    ),
    (WebhookViewSet, "retrieve"): Operation(
        id="getWebhook",
        tag="Webhooks",
        summary="Get a webhook",
        description="One webhook.",
        parameters=["IfMatch", "IfNoneMatch"],
        answers={
            200: Answer(
                description="The webhook.",
                schema=openapi.ref("WebhookAnswer"),
                examples={"webhook": {"webhook": WEBHOOK}},
                headers=["ETag"],
            ),
            304: openapi.NOT_MODIFIED,
        },
        errors={404: "NotFound", 412: "PreconditionFailed"},
    ),
}


class Generator(openapi.Generator):
    """`docs/openapi/failures.yaml`."""

    contract = Contract(
        title="Failures API",
        description="Deliveries that failed and need a person, and sending them again.\n\n"
        "Every path works with and without one slash at its end. Paths under `/api/v4` that are not "
        'listed here answer 404 with `{"error": "Not found"}`; a method that a path does not have, 405 with '
        '`{"error": "Method Not Allowed"}` and an `Allow` header.',
        view=FailuresView,
        tags={
            "Webhook failures": "Deliveries that have failed.",
            "Webhooks": "Where events go. They are managed through the logs API and the console.",
        },
        operations=_OPERATIONS,
        path_parameters={
            "failure_id": {
                "name": "webhook_failure_id",
                "description": "The `id` of a failure. A malformed one is 404.",
                "schema": openapi.text(),
            },
            "webhook_id": {
                "name": "webhook_id",
                "description": "The `id` of a webhook. A malformed one is 404.",
                "schema": openapi.text(),
            },
        },
        parameters=_PARAMETERS,
        responses={openapi.name_of(status): error for status, error in _ERRORS.items()},
        schemas=_SCHEMAS,
    )
