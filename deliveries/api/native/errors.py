"""The native API's words for errors: problem details by RFC 9457, with a stable code."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    ValidationError,
)
from rest_framework.response import Response

from deliveries import request_ids
from deliveries.api import errors, parsing

CONTENT_TYPE = "application/problem+json"


class Conflict(APIException):
    """What is there already forbids it; `errors` names the fields that say so, where there are any."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, detail: str, errors: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or {}


class IdempotencyConflict(Conflict):
    """The idempotency key stands for another event."""

    default_code = "idempotency_conflict"


class RecoveryStateConflict(Conflict):
    """The recovery's state does not allow it."""

    default_code = "recovery_state_conflict"


class TooManyRecoveries(Conflict):
    """As many of the account's recoveries as there may be are unfinished."""

    default_code = "too_many_recoveries"


class PauseEnded(Conflict):
    """The pause holds nothing back any more."""

    default_code = "pause_ended"


class NotRedeliverable(Conflict):
    """The delivery has not failed, or its webhook takes nothing."""

    default_code = "not_redeliverable"


class InvalidIdempotencyKey(ValidationError):
    """The header has a form no key may have."""

    default_code = "invalid_idempotency_key"


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """Return the answer to an error. Consumers may rely on `status`, `code` and the keys of `errors`."""
    known = errors.known(error, context["request"])
    invalid = isinstance(known, ValidationError)
    problem = {
        # Says that title and status tell all there is to know about the type; `code` is more precise.
        "type": "about:blank",
        "title": HTTPStatus(known.status_code).phrase,
        "status": known.status_code,
        "detail": _detail(known),
        "instance": _instance(request_ids.current()),
        "code": known.default_code,
        "errors": known.detail if invalid else getattr(known, "errors", {}),
    }
    return Response(
        problem, status=known.status_code, headers=dict(errors.headers(known)), content_type=CONTENT_TYPE
    )


def _detail(error: APIException) -> Any:
    match error:
        case NotAuthenticated():
            return "Send the key as `Authorization: Bearer <key>`."
        case AuthenticationFailed():
            return "The key is unknown, revoked or expired."
        case ValidationError():
            return "Some of what was sent is not valid."
        case _:
            return error.detail


def _instance(request_id: str) -> str:
    """Return the request's id as a URI reference: a URN where it is a UUID, otherwise a fragment."""
    uuid = parsing.uuid(request_id)
    return uuid.urn if uuid else f"#{request_id}"
