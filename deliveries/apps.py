from django.apps import AppConfig
from django.db.backends.signals import connection_created


class DeliveriesConfig(AppConfig):
    """The one application of this project."""

    name = "deliveries"

    def ready(self) -> None:
        """Register the system checks, and have each new connection tell the time."""
        from deliveries import checks  # noqa: F401  (importing is registering)
        from deliveries.models import databases

        connection_created.connect(databases.ask_the_time)
