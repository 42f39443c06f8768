"""Errors before they are worded: what went wrong, as an exception with an HTTP status.

Each contract turns these into its own body; status and headers are the same in all three.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import UnreadablePostError
from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAcceptable,
    ParseError,
    Throttled,
    ValidationError,
)
from rest_framework.request import Request

logger = logging.getLogger(__name__)

RETRY_AFTER = 5


class DatabaseAway(APIException):
    """The database did not do what it was asked; nothing was stored."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "service_unavailable"
    default_detail = "The service cannot reach its database. Try again in a few seconds."


class InternalError(APIException):
    """Our fault, and in the log."""

    default_code = "internal_error"
    default_detail = "Something went wrong on our side."


class TooManyRequests(APIException):
    """More requests than are allowed; `wait` says for how many seconds, where that is known."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_requests"
    default_detail = "Too many requests."

    def __init__(self, wait: int | None) -> None:
        super().__init__()
        self.wait = wait


def known(error: Exception, request: Request) -> APIException:
    """Return an error in the terms the contracts word. An unexpected one is logged with its traceback."""
    match error:
        case ValidationError():
            # DRF says 400; all three contracts say 422.
            error.status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
            return error
        case Throttled():
            return TooManyRequests(getattr(error, "wait", None))
        case NotAcceptable():
            return NotAcceptable("The answers are JSON: send `Accept: application/json`.")
        case APIException():
            return error
        case OperationalError() | InterfaceError():
            logger.warning(
                "The database failed a request", extra={"event": "request.no_database"}, exc_info=error
            )
            return DatabaseAway()
        case UnreadablePostError():
            # Whoever has gone does not read this.
            return ParseError("The body did not arrive in time.")
        case SuspiciousOperation() | BadRequest():
            return ParseError("The request cannot be read.")
    logger.error(
        "A request failed",
        extra={"event": "request.failed", "method": request.method, "path": request.path},
        exc_info=error,
    )
    # As Django does where nobody catches the error: the test client and error trackers listen.
    got_request_exception.send(sender=None, request=request._request)
    return InternalError()


def messages(error: ValidationError) -> dict[str, Any]:
    """Return what an error says about each field, to say more beside it."""
    assert isinstance(error.detail, dict)  # noqa: S101 - every error about fields is
    return dict(error.detail)


def headers(error: APIException) -> Mapping[str, str]:
    """Return the headers that belong to an error, whatever its body."""
    if isinstance(error, DatabaseAway):
        return {"Retry-After": str(RETRY_AFTER)}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(RETRY_AFTER if error.wait is None else error.wait)}
    challenge = getattr(error, "auth_header", None)
    if challenge and isinstance(error, AuthenticationFailed):
        challenge += ' error="invalid_token"'  # RFC 6750, section 3: only where a token was given
    return {"WWW-Authenticate": challenge} if challenge else {}
