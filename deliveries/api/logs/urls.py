"""The logs API's paths, each with and without a slash at its end."""

from django.urls import re_path

from deliveries.api.logs.views import LogViewSet, UnknownPath, WebhookViewSet

_WEBHOOKS = r"^agents/(?P<agent_id>[^/]+)/webhooks"
_WEBHOOK = rf"{_WEBHOOKS}/(?P<webhook_id>[^/]+)"

urlpatterns = [
    re_path(rf"{_WEBHOOKS}/?$", WebhookViewSet.as_view({"get": "list", "post": "create"})),
    re_path(
        rf"{_WEBHOOK}/?$",
        WebhookViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    re_path(rf"{_WEBHOOK}/toggle/?$", WebhookViewSet.as_view({"patch": "toggle"})),
    re_path(rf"{_WEBHOOK}/test/?$", WebhookViewSet.as_view({"post": "test"})),
    re_path(rf"{_WEBHOOK}/rotate_secret/?$", WebhookViewSet.as_view({"post": "rotate_secret"})),
    re_path(rf"{_WEBHOOK}/logs/?$", LogViewSet.as_view({"get": "list"})),
    re_path(rf"{_WEBHOOK}/logs/(?P<log_id>[^/]+)/retry/?$", LogViewSet.as_view({"post": "retry"})),
    re_path(r"^agents/[^/]+/webhooks(?:/|$)", UnknownPath.as_view()),
]
