"""Recoveries, in the document of the native API."""

from typing import Any

from deliveries.api import openapi
from deliveries.api.native.schema.common import (
    CREATED_AT,
    HOOK,
    MOMENT,
    MOMENT_GIVEN,
    UUID,
    Resource,
    answer,
    conflict,
    fetching,
    listing,
    page,
    path_ids,
)
from deliveries.api.native.views.recoveries import RecoveryViewSet
from deliveries.api.openapi import Body, Json, Operation
from deliveries.models import Recovery
from deliveries.reasons import Reason
from deliveries.services import recovering

_FAILURE_ID = "aabbccddeeff001122334455"
_RECOVERY_DRAFT: Json = {
    "webhook_id": HOOK["id"],
    "event": "call.ended",
    "reason_code": "connection_timeout",
    "created_at": {"gte": "2026-03-15T10:00:00Z", "lt": "2026-03-15T12:00:00Z"},
    "dry_run": False,
    "rate": 50,
    "why": "The CRM was down for maintenance.",
}
_PREVIEW: Json = {
    "dry_run": True,
    "count": 1,
    "sample": [
        {
            "id": _FAILURE_ID,
            "event": "call.ended",
            "webhook": HOOK,
            "reason": "Connection timeout",
            "reason_code": "connection_timeout",
            "created_at": CREATED_AT,
        }
    ],
    "excluded": 0,
}
_RECOVERY: Json = {
    "id": "0198c8f2-6c1e-7cc3-9a10-8d1f0b7e2a33",
    "status": "running",
    "filter": {
        "webhook_id": HOOK["id"],
        "event": "call.ended",
        "reason_code": "connection_timeout",
        "created_at": {"gte": "2026-03-15T10:00:00.000000Z", "lt": "2026-03-15T12:00:00.000000Z"},
        "reason": None,
        "delivery_created_at": None,
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


def _period(moment: Json, *, of: str = "When they first failed", **rules: Any) -> Json:
    bounds = {"gte": openapi.nullable(moment), "lt": openapi.nullable(moment)}
    return openapi.obj(bounds, description=f"{of}: from `gte` on, before `lt`.", **rules)


_REASON_CODE = openapi.text(enum=[reason.value for reason in Reason], description="More may be added.")
_FILTER_PROPERTIES: dict[str, Json] = {
    "webhook_id": openapi.nullable(UUID),
    "event": openapi.nullable(openapi.text(minLength=1, maxLength=100, description="An event type.")),
    "reason_code": {**openapi.nullable(_REASON_CODE), "enum": [*_REASON_CODE["enum"], None]},
}


def _steering(id: str, summary: str, description: str, **after: Any) -> Operation:  # noqa: A002 - its name
    return Operation(
        id=id,
        tag="Recoveries",
        summary=summary,
        description=description,
        answers={200: answer("The recovery as it is now.", "Recovery", {**_RECOVERY, **after})},
        errors={404: "NotFound", 409: "RecoveryConflict", 422: "Invalid"},
    )


RECOVERIES = Resource(
    operations={
        (RecoveryViewSet, "create"): Operation(
            id="createRecovery",
            tag="Recoveries",
            summary="Send many failures again",
            description="Selects the failures that are inactive now and whose webhooks are enabled, and "
            "sends each once more, oldest first, at most `rate` a second. What has meanwhile succeeded, or "
            "was sent by somebody else, is skipped. With `dry_run` nothing is changed. An account may have "
            f"{recovering.MAX_UNFINISHED} unfinished recoveries; one more is 409 `too_many_recoveries`.",
            body=Body(
                schema=openapi.ref("RecoveryDraft"),
                examples={
                    "dry run": {"event": "call.ended", "dry_run": True},
                    "recovery": _RECOVERY_DRAFT,
                },
            ),
            answers={
                200: answer("What would be sent: `dry_run` was true.", "RecoveryPreview", _PREVIEW),
                202: answer("The new recovery.", "Recovery", _RECOVERY, headers=["Location"]),
            },
            errors={409: "TooManyRecoveries"},
        ),
        (RecoveryViewSet, "list"): listing(
            "listRecoveries",
            "List recoveries",
            tag="Recoveries",
            parameters=["recovery_status"],
            found="A page of recoveries.",
            schema="RecoveryPage",
            row=_RECOVERY,
        ),
        (RecoveryViewSet, "retrieve"): fetching(
            "getRecovery",
            "Get a recovery",
            tag="Recoveries",
            description="One recovery, and how far it has come.",
            found=answer("The recovery.", "Recovery", _RECOVERY),
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
    },
    schemas={
        "RecoveryDraft": openapi.obj(
            {
                **_FILTER_PROPERTIES,
                "created_at": openapi.nullable(_period(MOMENT_GIVEN, required=[])),
                "dry_run": {"type": "boolean", "description": "Only say what would be sent. Default: false."},
                "rate": openapi.integer(
                    minimum=1,
                    maximum=recovering.MAX_RATE,
                    description=f"Deliveries a second, at most. Default: {recovering.DEFAULT_RATE}. It is "
                    "this recovery's own: those that run beside each other add up.",
                ),
                "why": openapi.nullable(openapi.text(maxLength=500, description="For the audit.")),
            },
            required=[],
            description="Failures are selected by all of `webhook_id`, `event`, `reason_code` and "
            "`created_at` that are given; at least one must be.",
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
                            "created_at": MOMENT,
                        }
                    ),
                    maxItems=recovering.SAMPLE,
                    description="The oldest of them.",
                ),
                "excluded": openapi.integer(
                    minimum=0,
                    description="How many more are selected that cannot be sent: their webhook is disabled "
                    "or deleted.",
                ),
            }
        ),
        "Recovery": openapi.obj(
            {
                "id": UUID,
                "status": openapi.text(enum=list(Recovery.Status.values), description="More may be added."),
                "filter": openapi.obj(
                    {
                        **_FILTER_PROPERTIES,
                        "created_at": openapi.nullable(_period(MOMENT)),
                        "reason": openapi.nullable(
                            openapi.text(
                                description="The text of the reason. Only the console selects by it."
                            )
                        ),
                        "delivery_created_at": openapi.nullable(
                            _period(
                                MOMENT,
                                of="When their deliveries were made, by which only the console selects",
                            )
                        ),
                    },
                    description="As it was given, here or in the console.",
                ),
                "rate": openapi.integer(minimum=1, maximum=recovering.MAX_RATE),
                "why": openapi.text(),
                "by": openapi.text(description="Who made it."),
                "total": openapi.integer(minimum=0, description="How many failures it covers."),
                "progress": openapi.obj(
                    {
                        "queued": openapi.integer(
                            minimum=0, description="Sent again so far, or about to be."
                        ),
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
                "created_at": MOMENT,
                "finished_at": openapi.nullable(MOMENT),
            }
        ),
        "RecoveryPage": page("Recovery"),
    },
    parameters={
        "recovery_status": openapi.query(
            "status", openapi.text(enum=list(Recovery.Status.values)), "Only recoveries in this state."
        ),
    },
    path_parameters=path_ids(recovery_id="a recovery"),
    responses={
        "RecoveryConflict": conflict("recovery_state_conflict", "The recovery is completed."),
        "TooManyRecoveries": conflict(
            "too_many_recoveries",
            f"The account has {recovering.MAX_UNFINISHED} unfinished recoveries. "
            "Wait until one is finished, or cancel one.",
        ),
    },
)
