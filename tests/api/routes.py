"""Every endpoint of the three contracts, as the URL patterns have it: "GET /api/v1/events/{event_id}"."""

import re
from collections.abc import Iterable, Iterator

from django.urls import URLPattern, URLResolver, get_resolver

_GROUP = re.compile(r"\(\?P<(\w+)>[^)]*\)")
_OPTIONAL_SLASH = re.compile(r"/\?\$$|\(\?:/\|\$\)|\$$")


def endpoints() -> list[str]:
    """Return the endpoints, sorted."""
    return sorted(set(_walk(get_resolver().url_patterns, "/")))


def parameters(endpoint: str) -> list[str]:
    """Return the names in an endpoint's path, from left to right."""
    return re.findall(r"\{(\w+)\}", endpoint)


def _walk(patterns: Iterable[URLPattern | URLResolver], above: str) -> Iterator[str]:
    for pattern in patterns:
        path = above + _template(str(pattern.pattern), above)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif path.startswith("/api/"):
            # Only viewsets know the methods of a path, and every endpoint is an action of one. What else
            # there is answers with errors only. HEAD, which they add at the first request, is GET cut short.
            for method in getattr(pattern.callback, "actions", None) or {}:
                if method != "head":
                    yield f"{method.upper()} {path}"


def _template(regex: str, above: str) -> str:
    path = _GROUP.sub(r"{\1}", regex.removeprefix("^"))
    path = _OPTIONAL_SLASH.sub("" if path.endswith("$") else "/", path)
    return path.lstrip("/") if above.endswith("/") else path
