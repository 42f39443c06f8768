from datetime import timedelta
from functools import partial

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class DeliveriesConfig(AppConfig):
    """The one application of this project."""

    name = "deliveries"

    def ready(self) -> None:
        """Register the system checks, and have the database tell the time."""
        import deliveries.checks  # noqa: F401  (importing is registering)
        from deliveries import clock
        from deliveries.models import databases

        connection_created.connect(databases.ask_the_time)
        clock.ask_by(partial(databases.keep_time, within=timedelta()))
