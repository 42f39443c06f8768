"""Paths of the pages below /admin/, where they come before Django's own."""

from django.urls import path

from deliveries.admin import ended
from deliveries.admin.pages import overview, signatures, system, why

app_name = "console"
urlpatterns = [
    path("", overview.page, name="overview"),
    path("again/", ended.again, name="again"),
    path("signatures/", signatures.page, name="signatures"),
    path("system/", system.page, name="system"),
    path("why/", why.page, name="why"),
]
