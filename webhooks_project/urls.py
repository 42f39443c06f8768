"""All paths: the APIs, their documents, the console, and under `manage.py up` the built-in receiver."""

from typing import NoReturn

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest
from django.urls import include, path
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from deliveries.api import docs

# What people type. APPEND_SLASH, which is off for the APIs' sake, would have had these as well.
_console = require_safe(RedirectView.as_view(pattern_name="admin:index"))
_docs = require_safe(RedirectView.as_view(pattern_name="docs"))
_receiver = require_safe(RedirectView.as_view(pattern_name="demo:page"))


def _nowhere(request: HttpRequest, **where: str) -> NoReturn:
    raise Http404


handler400 = "deliveries.api.fallback.bad_request"
handler404 = "deliveries.api.fallback.not_found"
handler500 = "deliveries.api.fallback.internal_error"
urlpatterns = [
    path("api/", include("deliveries.api.urls")),
    path("docs/", docs.page, name="docs"),
    path("docs", _docs),
    path("schema/<slug:contract>.yaml", docs.document, name="document"),
    # Django's way from a row to its page on a public site: ours have none, and it fails on their ids.
    path("admin/r/<path:row>", _nowhere),
    path("admin/", include("deliveries.admin.pages.urls")),
    path("admin/", admin.site.urls),
    path("admin", _console),
]
if settings.WEBHOOKS_DEMO_RECEIVER:
    urlpatterns += [path("demo/", include("deliveries.demo.urls")), path("demo", _receiver)]
urlpatterns.append(path("", _receiver if settings.WEBHOOKS_DEMO_RECEIVER else _console))
