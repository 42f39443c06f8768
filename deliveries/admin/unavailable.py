"""The console while its database is away."""

import logging
from collections.abc import Callable

from django.contrib import admin
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

RETRY_AFTER_SECONDS = 10

logger = logging.getLogger(__name__)


class UnavailableMiddleware:
    """Answers 503 with a sentence where a page of the console could not ask the database."""

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
        # Where it happened says nothing, and would be logged for every page while the database is away.
        logger.error("The console got no answer from the database.", extra={"error": str(exception)})
        # Rendered without the request: who is logged in stands in the database.
        page = render_to_string("admin/deliveries/unavailable.html", {"site_header": admin.site.site_header})
        return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
