"""Debug pages show settings and data to whoever makes an error, so they are for this machine alone."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from webhooks_project import clients

_SENTENCE = "DEBUG is on, so only this machine is answered: set DEBUG=false, or bind to 127.0.0.1."


class DebugAtHomeMiddleware:
    """With DEBUG, refuses whoever asks from elsewhere, whatever serves us and wherever it listens."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, or refuse it."""
        if settings.DEBUG and not clients.comes_from_here(request):
            return HttpResponse(f"{_SENTENCE}\n", status=403, content_type="text/plain")
        return self.get_response(request)
