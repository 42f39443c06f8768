"""The native API's paths, each with and without a slash at its end."""

from django.urls import re_path

from deliveries.api.native.views.agents import AgentViewSet
from deliveries.api.native.views.base import UnknownPath
from deliveries.api.native.views.catalogue import EventTypeViewSet
from deliveries.api.native.views.deliveries import AttemptViewSet, DeliveryViewSet
from deliveries.api.native.views.events import EventBatchViewSet, EventViewSet
from deliveries.api.native.views.pauses import PauseViewSet
from deliveries.api.native.views.recoveries import RecoveryViewSet
from deliveries.api.native.views.statistics import StatisticsViewSet
from deliveries.api.native.views.whoami import WhoamiViewSet

urlpatterns = [
    re_path(r"^events/?$", EventViewSet.as_view({"post": "publish", "get": "list"})),
    re_path(r"^events/batch/?$", EventBatchViewSet.as_view({"post": "publish"})),
    re_path(r"^events/(?P<event_id>[^/]+)/?$", EventViewSet.as_view({"get": "retrieve"})),
    re_path(r"^agents/?$", AgentViewSet.as_view({"post": "create", "get": "list"})),
    re_path(r"^agents/(?P<agent_id>[^/]+)/?$", AgentViewSet.as_view({"get": "retrieve"})),
    re_path(r"^recoveries/?$", RecoveryViewSet.as_view({"post": "create", "get": "list"})),
    re_path(r"^recoveries/(?P<recovery_id>[^/]+)/?$", RecoveryViewSet.as_view({"get": "retrieve"})),
    re_path(r"^recoveries/(?P<recovery_id>[^/]+)/pause/?$", RecoveryViewSet.as_view({"post": "pause"})),
    re_path(r"^recoveries/(?P<recovery_id>[^/]+)/resume/?$", RecoveryViewSet.as_view({"post": "resume"})),
    re_path(r"^recoveries/(?P<recovery_id>[^/]+)/cancel/?$", RecoveryViewSet.as_view({"post": "cancel"})),
    re_path(r"^pauses/?$", PauseViewSet.as_view({"post": "create", "get": "list"})),
    re_path(r"^pauses/(?P<pause_id>[^/]+)/?$", PauseViewSet.as_view({"get": "retrieve"})),
    re_path(r"^pauses/(?P<pause_id>[^/]+)/end/?$", PauseViewSet.as_view({"post": "end"})),
    re_path(r"^deliveries/?$", DeliveryViewSet.as_view({"get": "list"})),
    re_path(r"^deliveries/(?P<delivery_id>[^/]+)/?$", DeliveryViewSet.as_view({"get": "retrieve"})),
    re_path(r"^deliveries/(?P<delivery_id>[^/]+)/retry/?$", DeliveryViewSet.as_view({"post": "retry"})),
    re_path(r"^deliveries/(?P<delivery_id>[^/]+)/attempts/?$", AttemptViewSet.as_view({"get": "list"})),
    re_path(
        r"^deliveries/(?P<delivery_id>[^/]+)/attempts/(?P<attempt_id>[^/]+)/?$",
        AttemptViewSet.as_view({"get": "retrieve"}),
    ),
    re_path(r"^event_types/?$", EventTypeViewSet.as_view({"get": "list"})),
    re_path(r"^stats/?$", StatisticsViewSet.as_view({"get": "retrieve"})),
    re_path(r"^whoami/?$", WhoamiViewSet.as_view({"get": "retrieve"})),
    re_path("", UnknownPath.as_view()),
]
