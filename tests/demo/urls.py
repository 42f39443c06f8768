"""What is routed under `manage.py up`, and what its page links to."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("demo/", include("deliveries.demo.urls")), path("admin/", admin.site.urls)]
