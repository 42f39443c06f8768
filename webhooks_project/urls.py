"""All paths: the three APIs, the console, and under `manage.py up` the built-in receiver."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("deliveries.api.urls")),
    path("admin/", admin.site.urls),
]
if settings.WEBHOOKS_DEMO_RECEIVER:
    urlpatterns.append(path("demo/", include("deliveries.demo.urls")))
