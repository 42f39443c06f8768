"""Once a minute, a web process asks its database for the time."""

from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.http import HttpRequest, HttpResponseBase

from deliveries.models import databases

EVERY = timedelta(minutes=1)


class DatabaseTimeMiddleware:
    """Keeps the clock of the rows right, on the connection of a request that comes anyway."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        # Who has no connection yet asks when one is made, if one is.
        if connection.connection is not None:
            databases.keep_time(within=EVERY)
        return self.get_response(request)
