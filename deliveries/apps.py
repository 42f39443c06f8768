from django.apps import AppConfig


class DeliveriesConfig(AppConfig):
    """The one application of this project."""

    name = "deliveries"

    def ready(self) -> None:
        """Register the system checks."""
        from deliveries import checks  # noqa: F401  (importing is registering)
