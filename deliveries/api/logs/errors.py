"""The logs API's words for errors: one shape per kind."""

from typing import Any

from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    ValidationError,
)
from rest_framework.response import Response

from deliveries.api import errors


class NotRetriable(APIException):
    """The log cannot be retried."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "LOG_NOT_RETRIABLE"
    default_detail = "Log cannot be retried"


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """Return the answer to an error, as "Common rules" of the contract word it."""
    known = errors.known(error, context["request"])
    return Response(_body(known), status=known.status_code, headers=dict(errors.headers(known)))


def _body(error: APIException) -> dict[str, Any]:
    match error:
        case NotAuthenticated():
            return {"message": "Missing Bearer Token"}
        case AuthenticationFailed():
            return {"message": "Invalid token"}
        case PermissionDenied():
            return {"success": False, "message": "This token may not do that."}
        case ValidationError():
            return {"message": "The given data was invalid.", "errors": error.detail}
        case NotRetriable():
            return {"success": False, "message": error.detail, "code": error.default_code}
        case _:
            return {"success": False, "message": error.detail}
