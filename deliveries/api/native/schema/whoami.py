"""The key that asks, in the document of the native API."""

from deliveries.api import openapi
from deliveries.api.native.schema.common import CREATED_AT, MOMENT, UUID, Resource, answer
from deliveries.api.native.views.whoami import WhoamiViewSet
from deliveries.api.openapi import Json, Operation

_EXAMPLE: Json = {
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
        "created_at": CREATED_AT,
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


WHOAMI = Resource(
    operations={
        (WhoamiViewSet, "retrieve"): Operation(
            id="whoami",
            tag="Key",
            summary="Say who asks",
            description="The key that is used, and its account.",
            answers={200: answer("The key.", "Whoami", _EXAMPLE)},
            errors={422: "Invalid"},
        ),
    },
    schemas={
        "Whoami": openapi.obj(
            {
                "account": openapi.obj(
                    {"id": UUID, "name": openapi.text(), "open_event_types": {"type": "boolean"}}
                ),
                "key": openapi.obj(
                    {
                        "id": UUID,
                        "name": openapi.text(),
                        "prefix": openapi.text(description="The part of the key that is no secret."),
                        "scopes": openapi.array(openapi.text()),
                        "created_at": MOMENT,
                        "expires_at": openapi.nullable(MOMENT),
                        "last_used_at": openapi.nullable({**MOMENT, "description": "To the minute."}),
                    }
                ),
                "limits": {
                    "type": "object",
                    "description": "Where the key stands, by kind of request: `read`, `publish`, `manage`, "
                    "and `test`, which all keys of the account share. A kind without a limit is left out.",
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
    },
)
