"""The probes' door. It stands before everything that looks at a host name, redirects or opens a session:
a load balancer asks by an address, over plain HTTP, and every few seconds."""

import hmac
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from deliveries.probes import exposition, readiness
from webhooks_project import clients


class ProbeMiddleware:
    """Answers /healthz, /readyz and /metrics, and passes everything else on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, or pass the request on."""
        probe = PROBES.get(request.path_info)
        if probe is None:
            return self.get_response(request)
        if request.method in ("GET", "HEAD"):
            response = probe(request)
        else:
            response = _refusal(405, "Only GET and HEAD are answered here.", Allow="GET, HEAD")
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Length"] = str(len(response.content))
        if request.method == "HEAD":
            response.content = b""
        return response


def _health(request: HttpRequest) -> HttpResponse:
    """Say that the process serves requests. No database is asked: it would not come back by a restart."""
    return JsonResponse({"status": "alive"})


def _readiness(request: HttpRequest) -> HttpResponse:
    """Answer anybody; what is missing and how many workers there are is nobody's business but our own."""
    found = readiness.look()
    token = settings.WEBHOOKS_METRICS_TOKEN
    is_ours = clients.comes_from_here(request) or bool(token and _carries(request, token))
    checks = found.checks if is_ours else found.without_details()
    answer = {"status": "ready" if found.ready else "not ready", "checks": checks}
    return JsonResponse(answer, status=200 if found.ready else 503)


def _metrics(request: HttpRequest) -> HttpResponse:
    """Answer who has the token; without one in the settings, this machine alone."""
    token = settings.WEBHOOKS_METRICS_TOKEN
    if token and not _carries(request, token):
        sentence = "Send WEBHOOKS_METRICS_TOKEN as a bearer token."
        return _refusal(401, sentence, **{"WWW-Authenticate": "Bearer"})
    if not token and not clients.comes_from_here(request):
        sentence = "Without WEBHOOKS_METRICS_TOKEN the metrics are shown to this machine alone."
        return _refusal(404, sentence)
    return HttpResponse(exposition.expose(), content_type=exposition.CONTENT_TYPE)


def _carries(request: HttpRequest, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _refusal(status: int, sentence: str, **headers: str) -> HttpResponse:
    return HttpResponse(f"{sentence}\n", status=status, content_type="text/plain", headers=headers)


PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": _health,
    "/readyz": _readiness,
    "/metrics": _metrics,
}
