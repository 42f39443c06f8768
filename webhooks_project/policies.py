"""What a browser may load and run, for each area of the service. Nowhere a script inside of a page.

An area is the beginning of a path. The console and the pages load their own files from this server; whatever
is no page, above all what the APIs answer, may load nothing should a browser take it for one.
"""

from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponseBase

HEADER = "Content-Security-Policy"

_NOTHING = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_OWN_FILES = {
    **_NOTHING,
    "script-src": "'self'",
    "style-src": "'self'",
    # Icons that are part of a page or of a style sheet.
    "img-src": "'self' data:",
    "connect-src": "'self'",
}


def _written(directives: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in directives.items())


# The first that fits.
AREAS = {
    "/admin/": _written({**_OWN_FILES, "form-action": "'self'"}),
    "/docs/": _written(_OWN_FILES),
    "/demo/": _written(_OWN_FILES),
}
ELSEWHERE = _written(_NOTHING)


class PolicyMiddleware:
    """Says with every answer what its area may."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        response = self.get_response(request)
        response.headers[HEADER] = _policy(request.path_info)
        return response


def _policy(path: str) -> str:
    return next((policy for area, policy in AREAS.items() if path.startswith(area)), ELSEWHERE)
