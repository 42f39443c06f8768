"""Delete what is past its retention."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock
from deliveries.management import arguments
from deliveries.management.progress import Progress
from deliveries.models.databases import InUse
from deliveries.services import retention


class Command(BaseCommand):
    """The scheduler does the same every hour; this is for other ages, and for looking first."""

    help = "Delete old attempts, old events with their finished deliveries, minutes of traffic and revisions."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say how old."""
        parser.add_argument(
            "--older-than",
            type=arguments.days,
            metavar="DAYS",
            default=settings.WEBHOOKS_RETENTION,
            help=f"{settings.WEBHOOKS_RETENTION.days} by default, from WEBHOOKS_RETENTION_DAYS;"
            " whole days (UTC) go, so some of what is kept is up to a day older",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count, every row")
        parser.add_argument(
            "--no-rest",
            action="store_true",
            help="twice as fast, where a disk is full; what is delivered meanwhile waits longer",
        )

    def handle(self, *, older_than: timedelta, dry_run: bool, no_rest: bool, **options: Any) -> str:
        """Delete, and return how much that was."""
        try:
            before = retention.past(older_than, now=clock.now())
            longest_rest = 0 if no_rest else retention.LONGEST_REST
            with Progress(self.stderr, "rows") as progress:
                pruned = retention.prune(
                    before=before, dry_run=dry_run, longest_rest=longest_rest, progress=progress
                )
        except (retention.AlreadyPruning, InUse) as error:
            raise CommandError(str(error)) from error
        return (
            f"{'Would delete' if dry_run else 'Deleted'} {pruned.attempts} attempts, "
            f"{pruned.deliveries} deliveries, {pruned.events} events, {pruned.minutes} minutes of traffic, "
            f"{pruned.revisions} revisions, {pruned.logins} logins, {pruned.sessions} sessions."
        )
