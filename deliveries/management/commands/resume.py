"""End a pause before its time."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock
from deliveries.management import arguments
from deliveries.models import Pause
from deliveries.printing import printable
from deliveries.services import pausing


class Command(BaseCommand):
    """Takes the id that `manage.py pause` and `manage.py queue_status` say."""

    help = "End a pause. What nothing else keeps back goes on, at a rate that grows."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which."""
        parser.add_argument("pause", type=arguments.uuid, metavar="ID")

    def handle(self, *, pause: UUID, **options: Any) -> str:
        """End the pause."""
        found = Pause.objects.filter(pk=pause).first()
        if found is None:
            raise CommandError(f"There is no pause {pause}.")
        now = clock.now()
        try:
            pausing.resume(found, by="manage.py resume", now=now)
        except pausing.AlreadyEnded as error:
            raise CommandError(printable(error)) from error
        kept_back = pausing.still_kept_back(found, now=now)
        if not kept_back:
            return "Resumed."
        return "\n".join(["Ended, but not all of it goes on:", *map(printable, kept_back)])
