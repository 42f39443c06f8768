"""Keep something back for a while."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries import clock
from deliveries.management import accounts, arguments
from deliveries.models import Account, EventType, Pause, Webhook
from deliveries.models.event import TYPE_FORM
from deliveries.printing import printable, utc
from deliveries.services import pausing


class Command(BaseCommand):
    """Says how to end the pause again."""

    help = (
        "Keep back what goes to a webhook, what is of an event type of an account, or all of an account. "
        "Events are accepted meanwhile, and delivered afterwards."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what, until when, and why."""
        parser.add_argument("--webhook", type=arguments.uuid, metavar="ID")
        parser.add_argument(
            "--account", metavar="ID_OR_NAME", help="all of it, unless --event-type says less"
        )
        parser.add_argument("--event-type", default="", metavar="TYPE", help="exactly this one, of --account")
        end = parser.add_mutually_exclusive_group(required=True)
        end.add_argument(
            "--for", dest="lasting", type=arguments.duration, metavar="TIME", help="90s, 30m, 2h, 1d"
        )
        end.add_argument("--until", type=arguments.moment, metavar="MOMENT", help="ISO 8601 with a zone")
        parser.add_argument("--why", required=True, help="for whoever finds nothing arriving")

    def handle(
        self,
        *,
        webhook: UUID | None,
        account: str | None,
        event_type: str,
        lasting: timedelta | None,
        until: datetime | None,
        why: str,
        **options: Any,
    ) -> str:
        """Make the pause, and say until when it lasts."""
        if (webhook is None) == (account is None):
            raise CommandError("Give either --webhook or --account.")
        now = clock.now()
        owner = _owner(webhook) if webhook else accounts.find(str(account))
        if owner is None:
            wanted = f"webhook {webhook}" if webhook else f"account {account}"
            raise CommandError(f"There is no {printable(wanted)}.")
        if TYPE_FORM.fullmatch(event_type):
            self._wonder(event_type, owner)
        try:
            pause = pausing.pause(
                account=owner,
                webhook_id=webhook,
                event_type=event_type,
                until=until or now + (lasting or timedelta()),
                why=why,
                by="manage.py pause",
                now=now,
            )
        except pausing.InvalidPause as error:
            raise CommandError(
                " ".join(printable(text) for found in error.problems.values() for text in found)
            ) from error
        return (
            f"Paused until {utc(pause.until)}: {_covered(pause)}. "
            f"To end it before: manage.py resume {pause.pk}"
        )

    def _wonder(self, event_type: str, owner: Account) -> None:
        """Name a type the catalogue has not, which may be mistyped.

        :raises CommandError: when the account publishes no others.
        """
        if EventType.objects.filter(pk=event_type).exists():
            return
        unknown = f"The catalogue has no event type {event_type}."
        if not owner.open_event_types:
            raise CommandError(f"{unknown} Nothing was paused.")
        self.stderr.write(f"{unknown} The account may publish it all the same; is it mistyped?")


def _covered(pause: Pause) -> str:
    """Return how many webhooks the pause keeps something back from: no webhook, 1 webhook, 2 webhooks."""
    if pause.webhook_id:
        return "1 webhook"
    webhooks = pause.account.webhooks.existing()
    if pause.event_type:
        count = sum(webhook.wants(pause.event_type) for webhook in webhooks)
    else:
        count = webhooks.count()
    return f"{count or 'no'} webhook{'' if count < 2 else 's'}"


def _owner(webhook_id: UUID) -> Account | None:
    webhook = Webhook.objects.existing().select_related("account").filter(pk=webhook_id).first()
    return webhook.account if webhook else None
