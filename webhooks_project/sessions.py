"""Sessions of the console: over after an hour without a click, and in any case twelve hours after the login.

A password that is changed, and a logout, end them at once; that is Django's own doing.
"""

import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends import db
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

# Seconds from the login to the end, however busy its owner is.
LONGEST = 12 * 3600
_BEGUN = "begun_at"
# What a page sends along that asks by itself; see console.js.
BY_ITSELF = "X-Refresh"


class SessionStore(db.SessionStore):
    """Sessions in the database, whose rows carry the moment of their end."""

    def load(self) -> dict[str, Any]:
        """Return what the session holds, and have its end put off when the request is answered."""
        data: dict[str, Any] = super().load()
        self.modified = True
        return data

    def get_session_cookie_age(self) -> int:
        """Return for how many seconds from now the session lives if nothing more is asked for in it."""
        idle = super().get_session_cookie_age()
        begun = self.get(_BEGUN)
        return idle if begun is None else max(0, min(idle, int(begun + LONGEST - time.time())))


@receiver(user_logged_in, dispatch_uid="webhooks_project.sessions")
def _note_the_login(request: HttpRequest, **kwargs: Any) -> None:
    request.session[_BEGUN] = time.time()


class RefreshMiddleware:
    """Lets a session end of which only a page that keeps up asks something: nobody is there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, and put no end off where no person asked."""
        response = self.get_response(request)
        if request.method == "GET" and BY_ITSELF in request.headers:
            request.session.modified = False
        return response
