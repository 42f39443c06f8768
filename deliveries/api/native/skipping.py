"""Why a webhook did not get an event."""

from dataclasses import dataclass

from deliveries.models import Event, Webhook

OTHER_AGENT, NOT_SUBSCRIBED, DISABLED = "other_agent", "not_subscribed", "disabled"


@dataclass(frozen=True)
class Skipped:
    """A webhook that did not get an event, and why."""

    webhook: Webhook
    reason: str


def skipped(event: Event) -> list[Skipped]:
    """Return the existing webhooks of the event's account that have no delivery of it, oldest first."""
    webhooks = Webhook.objects.existing().filter(account=event.account_id)
    without = webhooks.exclude(pk__in=event.deliveries.values("webhook")).order_by("created_at", "pk")
    return [Skipped(webhook, _reason(webhook, event)) for webhook in without]


def _reason(webhook: Webhook, event: Event) -> str:
    """Return why the webhook has no delivery of the event, judged by the webhook as it is now.

    Where several reasons hold it is the one that would be left when the others are dealt with. A webhook made
    after the event was not subscribed to it. One that was there and would match today was changed since, as a
    rule by enabling it: it counts as disabled.
    """
    if webhook.agent_id not in (None, event.agent_id):
        return OTHER_AGENT
    if not webhook.wants(event.type) or webhook.created_at > event.created_at:
        return NOT_SUBSCRIBED
    return DISABLED
