"""The failures API's paths, each with and without a slash at its end."""

from django.urls import re_path

from deliveries.api.failures.views import FailureViewSet, UnknownPath, WebhookViewSet

_ONE = r"^tasks/webhook_failures/(?P<failure_id>[^/]+)"

urlpatterns = [
    re_path(r"^tasks/webhook_failures/?$", FailureViewSet.as_view({"get": "list"})),
    re_path(rf"{_ONE}/?$", FailureViewSet.as_view({"get": "retrieve"})),
    re_path(rf"{_ONE}/retrigger/?$", FailureViewSet.as_view({"post": "retrigger"})),
    re_path(r"^tasks/webhooks/?$", WebhookViewSet.as_view({"get": "list"})),
    re_path(r"^tasks/webhooks/(?P<webhook_id>[^/]+)/?$", WebhookViewSet.as_view({"get": "retrieve"})),
    re_path("", UnknownPath.as_view()),
]
