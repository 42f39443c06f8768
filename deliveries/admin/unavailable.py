"""The console while its database is away, or where a question takes it too long."""

import logging
from collections.abc import Callable, Mapping

from django.contrib import admin
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from deliveries.models.databases import took_too_long

RETRY_AFTER_SECONDS = 10

logger = logging.getLogger(__name__)


class UnavailableMiddleware:
    """Answers 503 with a sentence where a page of the console got no answer from the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Say what is the matter; leave every other error, and every other path, to the others."""
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        if request.resolver_match is None or request.resolver_match.app_name not in ("admin", "console"):
            return None
        if took_too_long(exception):
            return _took_too_long(request)
        # Where it happened says nothing, and would be logged for every page while the database is away.
        logger.error("The console got no answer from the database.", extra={"error": str(exception)})
        return _page("unavailable.html", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _took_too_long(request: HttpRequest) -> HttpResponse:
    """Say that it is the question, and not the database; on the page itself nothing is asked any more."""
    logger.warning(
        "A page of the console took the database too long.",
        extra={"event": "console.slow", "path": request.path, "asked": sorted(request.GET)},
    )
    # Without what was asked for it is another question. One that asks for nothing is not asked again.
    back = request.path if request.method == "GET" and request.GET else None
    return _page("too_slow.html", back=back)


def _page(template: str, *, headers: Mapping[str, str] | None = None, **context: object) -> HttpResponse:
    # Rendered without the request: who is logged in stands in the database.
    page = render_to_string(
        f"admin/deliveries/{template}", {"site_header": admin.site.site_header, **context}
    )
    return HttpResponse(page, status=503, headers=headers)
