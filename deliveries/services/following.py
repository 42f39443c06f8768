"""Following: what results mean for their webhooks. Circuits move, and what is gone or dead is turned off.

After the results are written and in transactions of its own, because it locks webhooks first and deliveries
after, as everybody does who changes a webhook. What could not be done then is done a little later.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from deliveries import circuits as policy
from deliveries.models import Webhook, WebhookHealth
from deliveries.models.health import Tally
from deliveries.services import circuits, webhooks


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a batch of results says about webhooks.

    :param healths: of all webhooks concerned, as they are after the batch.
    :param tallies: what came of the attempts, by webhook.
    :param gone: the webhooks that answered 410, and the URLs at which they did.
    """

    healths: Sequence[WebhookHealth]
    tallies: Mapping[UUID, Tally]
    gone: Collection[tuple[UUID, str]]


def follow(news: News, *, now: datetime, jitter: random.Random) -> None:
    """Do for webhooks what follows from a batch of results. Done twice, it is done once."""
    circuits.follow(news.healths, news.tallies, now=now, jitter=jitter)
    for webhook_id, url in news.gone:
        webhooks.disable(
            webhook_id, reason="The receiver answered 410 Gone.", url=url, by="The receiver", now=now
        )
    for health in news.healths:
        if _is_dead(health, now=now):
            _turn_off(health, now=now)


def _is_dead(health: WebhookHealth, *, now: datetime) -> bool:
    return policy.is_dead(
        failing_since=health.failing_since,
        failures=health.consecutive_failures,
        now=now,
        patience=settings.WEBHOOKS_DISABLE_AFTER,
    )


def _turn_off(seen: WebhookHealth, *, now: datetime) -> None:
    """Disable a webhook, unless somebody has enabled it since, or something has arrived."""
    with transaction.atomic():
        # Who enables it holds this row, so what is read now stays so.
        Webhook.objects.select_for_update(no_key=True).get(pk=seen.pk)
        health = WebhookHealth.objects.get(pk=seen.pk)
        if not _is_dead(health, now=now):
            return
        reason = (
            f"No success for {settings.WEBHOOKS_DISABLE_AFTER.days} days: all {health.consecutive_failures} "
            f"attempts since {health.failing_since:%Y-%m-%d %H:%M} UTC failed."
        )
        webhooks.disable(seen.pk, reason=reason, by="Automatic", now=now)
