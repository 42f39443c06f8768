"""The outermost middleware: every answer carries the id of its request, whoever gives it."""

from collections.abc import Callable

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponseBase

from deliveries import request_ids


class RequestIdMiddleware:
    """Binds the request's id to what is logged, and puts it on the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        request_id = request_ids.accepted(request.headers.get(request_ids.HEADER))
        request_ids.bind(request_id)
        response = self.get_response(request)
        response.headers[request_ids.HEADER] = request_id
        return response


def _forget(**kwargs: object) -> None:
    request_ids.bind("")


# Not when the middleware is left: Django logs what it answered only after that.
request_finished.connect(_forget, dispatch_uid="webhooks_project.request_ids")
