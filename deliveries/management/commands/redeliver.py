"""Send again what has failed."""

from argparse import ArgumentTypeError
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock
from deliveries.management import arguments
from deliveries.management.progress import Progress
from deliveries.models import Account, Delivery, EventType, Webhook
from deliveries.models.event import TYPE_FORM
from deliveries.printing import printable
from deliveries.services import redelivery


class Command(BaseCommand):
    """Takes filters, at least one: whoever forgets them must not send everything again."""

    help = (
        "Queue one attempt for each failed delivery that all the filters given select and whose webhook is "
        "enabled. --since and --until speak of the moment the event was published."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say which deliveries."""
        parser.add_argument("--webhook", type=arguments.uuid, metavar="ID")
        parser.add_argument("--event-type", type=_event_type, metavar="TYPE", help="exactly this one")
        parser.add_argument("--since", type=arguments.moment, metavar="MOMENT", help="ISO 8601; inclusive")
        parser.add_argument("--until", type=arguments.moment, metavar="MOMENT", help="ISO 8601; exclusive")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(
        self,
        *,
        webhook: UUID | None,
        event_type: str | None,
        since: datetime | None,
        until: datetime | None,
        dry_run: bool,
        **options: Any,
    ) -> str:
        """Queue, and return how many."""
        if since and until and since >= until:
            raise CommandError("--since must be before --until.")
        if webhook:
            _check(webhook)
        wanted = {
            "webhook": webhook,
            "event__type": event_type,
            "event__created_at__gte": since,
            "event__created_at__lt": until,
        }
        filters = {name: value for name, value in wanted.items() if value is not None}
        if not filters:
            raise CommandError("Give at least one of --webhook, --event-type, --since and --until.")
        deliveries = Delivery.objects.filter(**filters)
        if dry_run:
            count = redelivery.redeliverable(deliveries).count()
            said = f"Would queue {redelivery.in_words(count)}."
        else:
            with Progress(self.stderr, "deliveries") as progress:
                came_to = redelivery.redeliver_all(
                    deliveries,
                    selected=", ".join(f"{name}={value}" for name, value in filters.items()),
                    by="manage.py redeliver",
                    now=clock.now(),
                    progress=partial(progress, total=redelivery.redeliverable(deliveries).count()),
                )
            count, said = came_to.queued, str(came_to)
        if event_type and not count:
            self._wonder(event_type)
        return said

    def _wonder(self, event_type: str) -> None:
        """Name a type of which nothing was found, when it looks mistyped.

        :raises CommandError: when no account publishes types that are not in the catalogue.
        """
        if EventType.objects.filter(pk=event_type).exists():
            return
        unknown = f"The catalogue has no event type {event_type}."
        if not Account.objects.filter(open_event_types=True).exists():
            raise CommandError(f"{unknown} Nothing was queued.")
        self.stderr.write(
            f"{unknown} An account with open event types may have published it; is it mistyped?"
        )


def _event_type(text: str) -> str:
    if not TYPE_FORM.fullmatch(text):
        raise ArgumentTypeError("write an event type such as call.ended, of a-z, 0-9, _ and .")
    return text


def _check(webhook_id: UUID) -> None:
    """Make sure that something can be sent to the webhook at all.

    :raises CommandError: when there is no such webhook, or it is disabled.
    """
    webhook = Webhook.objects.existing().filter(pk=webhook_id).first()
    if webhook is None:
        raise CommandError(f"There is no webhook {webhook_id}.")
    if not webhook.enabled:
        raise CommandError(f"The webhook {printable(webhook)} is disabled. Enable it first.")
