"""The id of the request this thread answers. Whoever asks may choose it, and finds it in answer and log."""

import re
from contextvars import ContextVar

from deliveries.identifiers import new_id

HEADER = "X-Request-Id"

_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def accepted(given: str | None) -> str:
    """Return the id that came with a request, or a new UUIDv7 where none came or its form is not ours."""
    return given if given and _FORM.fullmatch(given) else str(new_id())


def bind(request_id: str) -> None:
    """Say which request this thread answers from now on; the empty text: none."""
    _current.set(request_id)


def current() -> str:
    """Return the id of the request this thread answers, or the empty text outside of requests."""
    return _current.get()
