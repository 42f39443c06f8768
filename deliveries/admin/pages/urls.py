"""Paths of the pages below /admin/, where they come before Django's own."""

from django.urls import path

from deliveries.admin.pages import overview, why

app_name = "console"
urlpatterns = [
    path("", overview.page, name="overview"),
    path("why/", why.page, name="why"),
]
