"""Count the logs of each webhook anew."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from deliveries.management.progress import Progress
from deliveries.services import recounting


class Command(BaseCommand):
    """The scheduler does the same every night; this is for after an upgrade, or rows changed by hand."""

    help = "Count the attempts kept of each webhook, and correct the totals of logs that say something else."

    def handle(self, **options: Any) -> str:
        """Count, and return what was found.

        :raises CommandError: another process is at it.
        """
        try:
            with Progress(self.stderr, "webhooks") as progress:
                recounted = recounting.recount(progress=progress)
        except recounting.AlreadyRecounting as error:
            raise CommandError(str(error)) from error
        return (
            f"Counted the attempts of {recounted.webhooks} webhooks; {recounted.corrected} totals were wrong."
        )
