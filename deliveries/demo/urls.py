"""Paths below /demo/."""

from django.urls import path, register_converter

from deliveries.demo import views


class ReceiverName:
    """The part of a path that names a receiver."""

    regex = "[A-Za-z0-9_-]{1,40}"

    def to_python(self, value: str) -> str:
        """Return the name as it stands in the path."""
        return value

    def to_url(self, value: str) -> str:
        """Return the name as it stands in the path."""
        return value


register_converter(ReceiverName, "receiver")

app_name = "demo"
urlpatterns = [
    path("", views.page, name="page"),
    path("state", views.state, name="state"),
    path("receivers/<receiver:name>", views.receiver, name="receiver"),
    path("receivers/<receiver:name>/behaviour", views.behaviour, name="behaviour"),
]
