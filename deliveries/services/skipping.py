"""Skipping: why a webhook did not get an event."""

from dataclasses import dataclass

from deliveries.models import Event, Webhook, WebhookRevision

OTHER_AGENT, NOT_SUBSCRIBED, DISABLED = "other_agent", "not_subscribed", "disabled"


@dataclass(frozen=True)
class Skipped:
    """A webhook that did not get an event, and why."""

    webhook: Webhook
    reason: str


def skipped(event: Event) -> list[Skipped]:
    """Return the webhooks that its account had when the event was published, and that have no delivery of it.

    Oldest first; those deleted since are among them. Two queries, however many there are.
    """
    there = Webhook.objects.filter(account=event.account_id).existing_at(event.created_at)
    without = there.exclude(pk__in=event.deliveries.values("webhook")).order_by("created_at", "pk")
    revisions = WebhookRevision.objects.of(without, at=event.created_at)
    then = {revision.webhook_id: revision for revision in revisions}
    # One made by the release before during the upgrade has no revision yet: it is judged as it is.
    return [Skipped(webhook, _reason(webhook, then.get(webhook.pk, webhook), event)) for webhook in without]


def _reason(webhook: Webhook, then: WebhookRevision | Webhook, event: Event) -> str:
    """Return why the webhook has no delivery of the event, judged by what it was when that was published.

    Where several reasons hold it is the one that would be left when the others are dealt with. What was there
    and subscribed, for every agent or this one, can only have been disabled. That is said even where the
    revision says enabled: a change was committed in the very moment of publishing, or it was made before
    revisions were written, as a rule by enabling the webhook.
    """
    if webhook.agent_id not in (None, event.agent_id):
        return OTHER_AGENT
    return DISABLED if then.wants(event.type) else NOT_SUBSCRIBED
