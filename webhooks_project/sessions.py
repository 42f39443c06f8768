"""Sessions of the console: over after an hour without a click, and in any case twelve hours after the login.

A password that is changed, and a logout, end them at once; that is Django's own doing.
"""

import time
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends import db
from django.dispatch import receiver
from django.http import HttpRequest

# Seconds from the login to the end, however busy its owner is.
LONGEST = 12 * 3600
_BEGUN = "begun_at"


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
