"""The paths of the three contracts. Each ends with a catch-all, so that its errors stay in its own words."""

from django.urls import include, re_path

urlpatterns = [
    re_path(r"^v4(?:/|$)", include("deliveries.api.failures.urls")),
    # The logs API takes what lies below an agent's webhooks, the native API all the rest.
    re_path(r"^v1/", include("deliveries.api.logs.urls")),
    re_path(r"^v1(?:/|$)", include("deliveries.api.native.urls")),
]
