"""What is answered where no view of a contract sees the request, in the words of the contract it is near.

`webhooks_project.urls` names these functions. Paths outside of the APIs are left to Django.
"""

import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, DisallowedHost
from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase
from django.template.loader import render_to_string
from django.views import defaults
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api import views
from deliveries.api.errors import InternalError
from deliveries.api.failures import errors as failures
from deliveries.api.logs import errors as logs
from deliveries.api.native import errors as native

Handler = Callable[[Exception, dict[str, Any]], Response]

# As `deliveries.api.urls` has it; the first that fits.
_HANDLERS: list[tuple[re.Pattern[str], Handler]] = [
    (re.compile(r"/api/v4(?:/|$)"), failures.handler),
    (re.compile(r"/api/v1/agents/[^/]+/webhooks(?:/|$)"), logs.handler),
    (re.compile(r"/api(?:/|$)"), native.handler),
]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 400, as a rule to a wrong Host header. What a page refuses in a sentence of ours says that."""
    if (handler := _handler(request)) is None:
        if not isinstance(exception, BadRequest) or not _is_of_console(request):
            return defaults.bad_request(request, exception)
        return HttpResponseBadRequest(render_to_string("400.html", {"says": str(exception)}, request))
    wrong_host = isinstance(exception, DisallowedHost)
    words = "The Host header names no host of this service." if wrong_host else "The request cannot be read."
    return _answer(request, handler, ParseError(words))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 404 to a path no contract has."""
    if (handler := _handler(request)) is None:
        if not _is_of_console(request):
            return defaults.page_not_found(request, exception)
        return defaults.page_not_found(request, exception, "console/not_found.html")
    return _answer(request, handler, NotFound())


def internal_error(request: HttpRequest) -> HttpResponseBase:
    """Answer 500. Django has logged the reason."""
    if (handler := _handler(request)) is None:
        return defaults.server_error(request)
    return _answer(request, handler, InternalError())


def _is_of_console(request: HttpRequest) -> bool:
    """Tell whether pages of the console are shown there: elsewhere none may load its style."""
    return request.path_info.startswith("/admin/")


def _handler(request: HttpRequest) -> Handler | None:
    fitting = (handler for path, handler in _HANDLERS if path.match(request.path_info))
    return next(fitting, None)


def _answer(request: HttpRequest, handler: Handler, error: APIException) -> HttpResponseBase:
    response = handler(error, {"request": Request(request)})
    response.accepted_renderer = JSONRenderer()
    response.accepted_media_type = JSONRenderer.media_type
    response.renderer_context = {}  # type: ignore[attr-defined]  # the stubs leave it out
    for name, value in views.COMMON_HEADERS.items():
        response.headers[name] = value
    return views.last_of_its_connection(request, response.render())
