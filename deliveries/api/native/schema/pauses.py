"""Pauses, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import (
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
from deliveries.api.native.serializers.pauses import MOST_SECONDS
from deliveries.api.native.views.pauses import PauseViewSet
from deliveries.api.openapi import Body, Json, Operation
from deliveries.services import pausing

_WHY = "The CRM is being moved to another host."
_PAUSE: Json = {
    "id": "0198c8f2-6c1e-7cc3-9a10-9e2f1c8d3b44",
    "webhook_id": HOOK["id"],
    "event": None,
    "in_force": True,
    "why": _WHY,
    "by": "API key operations (whk_1a2b3c4d)",
    "created_at": "2026-03-15T10:00:00.000000Z",
    "until": "2026-03-15T14:00:00.000000Z",
    "ended_at": None,
    "ended_by": None,
}
_ENDED: Json = {
    **_PAUSE,
    "in_force": False,
    "ended_at": "2026-03-15T12:31:00.000000Z",
    "ended_by": "API key operations (whk_1a2b3c4d)",
}
_EVENT_TYPE = openapi.text(pattern="^[a-z0-9_.]{1,100}$")

PAUSES = Resource(
    operations={
        (PauseViewSet, "create"): Operation(
            id="createPause",
            tag="Pauses",
            summary="Keep something back for a while",
            description="Of a webhook when `webhook_id` is given, of an event type when `event` is, of the "
            "whole account with neither. Events are accepted meanwhile, and their deliveries are `held`; so "
            "are retries, and what is sent again by hand. What is under way at that moment still arrives. "
            "Pauses may overlap: what any of them covers is kept back. At `until` the pause ends by itself, "
            "and what was held leaves at a rate that grows. A test call goes through.",
            body=Body(
                schema=openapi.ref("PauseDraft"),
                examples={
                    "webhook": {"webhook_id": HOOK["id"], "seconds": 14400, "why": _WHY},
                    "event type": {"event": "call.ended", "until": "2026-03-15T14:00:00Z", "why": _WHY},
                    "account": {"seconds": 3600, "why": _WHY},
                },
            ),
            answers={201: answer("The new pause.", "Pause", _PAUSE, headers=["Location"])},
        ),
        (PauseViewSet, "list"): listing(
            "listPauses",
            "List pauses",
            tag="Pauses",
            parameters=["in_force"],
            found="A page of pauses.",
            schema="PausePage",
            row=_PAUSE,
        ),
        (PauseViewSet, "retrieve"): fetching(
            "getPause",
            "Get a pause",
            tag="Pauses",
            description="One pause.",
            found=answer("The pause.", "Pause", _PAUSE),
        ),
        (PauseViewSet, "end"): Operation(
            id="endPause",
            tag="Pauses",
            summary="End a pause",
            description="Before its time. What nothing else keeps back leaves at a rate that grows.",
            answers={200: answer("The pause as it is now.", "Pause", _ENDED)},
            errors={404: "NotFound", 409: "PauseEnded", 422: "Invalid"},
        ),
    },
    schemas={
        "PauseDraft": openapi.obj(
            {
                "webhook_id": {**UUID, "description": "A webhook of the account."},
                "event": {**_EVENT_TYPE, "description": "An event type, whether anybody uses it or not."},
                "until": {
                    **MOMENT_GIVEN,
                    "description": f"When it ends by itself: within {pausing.LONGEST.days} days. ISO 8601 "
                    "with a zone.",
                },
                "seconds": openapi.integer(
                    minimum=1, maximum=MOST_SECONDS, description="Instead of `until`: from now on."
                ),
                "why": openapi.text(
                    minLength=1, maxLength=pausing.MAX_WHY, description="For whoever finds nothing arriving."
                ),
            },
            required=["why"],
            description="At most one of `webhook_id` and `event`; one of `until` and `seconds`.",
        ),
        "Pause": openapi.obj(
            {
                "id": UUID,
                "webhook_id": openapi.nullable(UUID),
                "event": openapi.nullable(_EVENT_TYPE),
                "in_force": {"type": "boolean", "description": "Whether it keeps something back now."},
                "why": openapi.text(),
                "by": openapi.text(description="Who made it."),
                "created_at": MOMENT,
                "until": MOMENT,
                "ended_at": openapi.nullable(
                    {**MOMENT, "description": "Null also for a moment after `until`, until that is noted."}
                ),
                "ended_by": openapi.nullable(openapi.text(description=f"Or `{pausing.CLOCK}`.")),
            },
            description="Of a webhook, of an event type, or with both null of the whole account.",
        ),
        "PausePage": page("Pause"),
    },
    parameters={
        "in_force": openapi.query(
            "in_force",
            {"type": "boolean"},
            "Only those that keep something back now, or with `false` the others.",
        ),
    },
    path_parameters=path_ids(pause_id="one of the account's pauses"),
    responses={
        "PauseEnded": conflict("pause_ended", "The pause was ended at 2026-03-15 12:31:00 UTC by ada."),
    },
)
