"""The failures API's words for errors."""

from http import HTTPStatus
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from deliveries.api import errors


class Conflict(APIException):
    """The state of the resource forbids it; `detail` says why."""

    status_code = status.HTTP_409_CONFLICT


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """Return the answer to an error, as "Common rules" of the contract word it."""
    known = errors.known(error, context["request"])
    return Response(_body(known), status=known.status_code, headers=dict(errors.headers(known)))


def _body(error: APIException) -> dict[str, Any]:
    if isinstance(error, Conflict):
        return {"errors": {"status": [error.detail]}}
    if isinstance(error, ValidationError):
        return {"errors": error.detail}
    if isinstance(error, errors.TooManyRequests):
        return {"error": "Too many requests"}
    if error.status_code == status.HTTP_404_NOT_FOUND:
        return {"error": "Not found"}
    if error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        return {"error": "Internal Server Error"}
    return {"error": HTTPStatus(error.status_code).phrase}
