"""Make the days attempts are kept by, where workers leave that to a person."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from deliveries import clock
from deliveries.models import databases


class Command(BaseCommand):
    """Workers make the days of the coming week by themselves, unless that would take long."""

    help = (
        "Make the days by which PostgreSQL keeps attempts, from today on for as long as attempts are kept."
        " Nobody can record meanwhile; nothing is lost."
    )

    def handle(self, **options: Any) -> str:
        """Make them, and return how many that were."""
        made = databases.make_days(now=clock.now(), ahead=settings.WEBHOOKS_RETENTION.days, however_long=True)
        return f"Made {made} days; the others are there."
