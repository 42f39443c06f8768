"""Send again what has failed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from deliveries.management import arguments
from deliveries.models import Delivery, Webhook
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
        parser.add_argument("--event-type", metavar="TYPE", help="exactly this one")
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
            return f"Would queue {_some(redelivery.redeliverable(deliveries).count())}."
        return f"Queued {_some(redelivery.redeliver_all(deliveries, now=timezone.now()))}."


def _check(webhook_id: UUID) -> None:
    """Make sure that something can be sent to the webhook at all.

    :raises CommandError: when there is no such webhook, or it is disabled.
    """
    webhook = Webhook.objects.existing().filter(pk=webhook_id).first()
    if webhook is None:
        raise CommandError(f"There is no webhook {webhook_id}.")
    if not webhook.enabled:
        raise CommandError(f"The webhook {webhook} is disabled. Enable it first.")


def _some(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"
