"""What the documents of the native API's resources have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deliveries.api import openapi
from deliveries.api.native.errors import CONTENT_TYPE
from deliveries.api.native.pagination import MOST_PER_PAGE
from deliveries.api.openapi import Answer, Json, Operation, Operations

EVENT_ID = "0198c8f2-6c1e-7cc3-9a10-6f0c6a4f4b11"
CREATED_AT = "2026-03-15T10:00:00.123456Z"
HOOK: Json = {"id": "0b97ce11-b6e0-49b4-8f92-68040aa324bf", "name": "CRM call events"}

UUID = openapi.text(format="uuid")
MOMENT = openapi.text(format="date-time", description="UTC, with six decimals.")
MOMENT_GIVEN = openapi.text(format="date-time", description="ISO 8601 with a zone.")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The part of the document that is about one kind of resource; see `openapi.Contract`."""

    operations: Operations = field(default_factory=dict)
    schemas: Mapping[str, Json]
    path_parameters: Mapping[str, Json] = field(default_factory=dict)
    parameters: Mapping[str, Json] = field(default_factory=dict)
    responses: Mapping[str, Json] = field(default_factory=dict)


def path_ids(**of_what: str) -> dict[str, Json]:
    """Return the ids in paths, by their names in the URLs."""
    return {
        name: {
            "name": name,
            "description": f"The id of {what}. A malformed one is 404.",
            "schema": openapi.text(),
        }
        for name, what in of_what.items()
    }


def page(name: str) -> Json:
    """Return the schema of a page of what has the schema of this name."""
    link = openapi.nullable(openapi.text(format="uri"))
    return openapi.obj({"results": openapi.array(openapi.ref(name)), "next": link, "previous": link})


def page_of(example: object) -> Json:
    """Return the example of a page: the only one, with one row."""
    return {"results": [example], "next": None, "previous": None}


def answer(description: str, schema: str, example: object, **more: Any) -> Answer:
    """Return an answer with the schema of this name."""
    return Answer(description=description, schema=openapi.ref(schema), examples={"answer": example}, **more)


def listing(
    id: str,  # noqa: A002 - its name
    summary: str,
    *,
    tag: str,
    description: str = "Newest first.",
    parameters: Sequence[str] = (),
    found: str,
    schema: str,
    row: object,
    errors: Mapping[int, str] | None = None,
) -> Operation:
    """Return the operation that lists a resource, page by page.

    :param parameters: beside those of every list.
    :param found: what it answers, in words.
    :param row: the example's only one.
    :param errors: beside those of every list.
    """
    return Operation(
        id=id,
        tag=tag,
        summary=summary,
        description=description,
        parameters=["cursor", "page_size", *parameters],
        answers={200: answer(found, schema, page_of(row), headers=["Link"])},
        errors={422: "Invalid", **(errors or {})},
    )


def fetching(id: str, summary: str, *, tag: str, description: str, found: Answer) -> Operation:  # noqa: A002
    """Return the operation that gets one of a resource, by the id in its path."""
    return Operation(
        id=id,
        tag=tag,
        summary=summary,
        description=description,
        answers={200: found},
        errors={404: "NotFound", 422: "Invalid"},
    )


# Code and detail, by status.
_PROBLEMS = {
    400: ("parse_error", "Malformed JSON."),
    401: ("not_authenticated", "Send the key as `Authorization: Bearer <key>`."),
    403: ("permission_denied", "The key lacks the scope `events.read`."),
    404: ("not_found", "Not found."),
    406: ("not_acceptable", "The answers are JSON: send `Accept: application/json`."),
    409: ("idempotency_conflict", "The idempotency key stands for another event."),
    411: ("length_required", "This server reads no chunks; send the body with a Content-Length."),
    413: ("body_too_large", "The body takes more than 278,528 bytes."),
    415: ("unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
    422: ("invalid", "Some of what was sent is not valid."),
    429: ("too_many_requests", "Too many requests."),
    500: ("internal_error", "Something went wrong on our side."),
    503: ("service_unavailable", "The service cannot reach its database. Try again in a few seconds."),
}


def _problem(status: int, code: str, detail: str) -> Json:
    wrong = {"create_at": ['Unknown parameter. Did you mean "created_at"?']} if status == 422 else {}
    example = {
        "type": "about:blank",
        "title": openapi.phrase(status),
        "status": status,
        "detail": detail,
        "instance": "urn:uuid:0198c0de-8f5e-7c1a-9b3d-2f4e6a8c0d1e",
        "code": code,
        "errors": wrong,
    }
    return openapi.error(status, openapi.ref("Problem"), {"problem": example}, media_type=CONTENT_TYPE)


def conflict(code: str, detail: str) -> Json:
    """Return an answer with status 409 that only some operations have."""
    return _problem(409, code, detail)


COMMON = Resource(
    schemas={
        "WebhookName": openapi.obj({"id": UUID, "name": openapi.text()}),
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
    },
    parameters={
        "cursor": openapi.query("cursor", openapi.text(), "From a link of this list. Opaque."),
        "page_size": openapi.query(
            "page_size", openapi.integer(minimum=1, maximum=MOST_PER_PAGE, default=MOST_PER_PAGE), "How many."
        ),
        "created_at_gte": openapi.query("created_at[gte]", MOMENT_GIVEN, "From this moment on."),
        "created_at_lt": openapi.query("created_at[lt]", MOMENT_GIVEN, "Before this moment."),
        "event": openapi.query(
            "event", openapi.text(pattern="^[a-z0-9_.]{1,100}$"), "Only of this event type."
        ),
        "by_webhook": openapi.query("webhook_id", openapi.text(format="uuid"), "Only to this webhook."),
    },
    responses={openapi.name_of(status): _problem(status, *words) for status, words in _PROBLEMS.items()},
)
