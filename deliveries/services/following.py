"""Following: what results mean for their webhooks. Circuits move, and what is gone or dead is turned off.

After the results are written and in transactions of its own, because it locks webhooks first and deliveries
after, as everybody does who changes a webhook. What could not be done then is done a little later.
"""

import logging
import random
import time
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction

from deliveries import circuits as policy
from deliveries.models import Webhook, WebhookHealth, databases
from deliveries.models.health import Tally
from deliveries.services import circuits, webhooks
from deliveries.services.circuits import Recent

logger = logging.getLogger(__name__)

# After how many seconds to try again what could not be done, because somebody held the rows.
AGAIN_AFTER = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What results say about a webhook.

    :param health: as it is after them.
    :param tally: what came of the attempts.
    :param gone: the URLs at which its receiver answered 410.
    """

    health: WebhookHealth
    tally: Tally
    gone: Set[str] = frozenset()

    def and_then(self, later: "News") -> "News":
        """Return both as one."""
        return News(health=later.health, tally=self.tally + later.tally, gone=self.gone | later.gone)


class Inbox:
    """What has not been followed up yet: one piece of news of each webhook, however many batches say it."""

    def __init__(self) -> None:
        self._new: dict[UUID, News] = {}
        # What could not be done, that which was tried longest ago first; and when to try it again.
        self._aside: dict[UUID, News] = {}
        self._again_at = 0.0

    def __len__(self) -> int:
        return len(self._new) + len(self._aside)

    @property
    def ready_at(self) -> float:
        """The moment of the monotonic clock from which on `follow` has something to do, if it ever has."""
        return 0.0 if self._new else self._again_at

    def add(self, news: Iterable[News]) -> None:
        """Take in what a batch of results says. What waits for its webhook's rows waits together."""
        for one in news:
            pk = one.health.pk
            pile = self._aside if pk in self._aside else self._new
            pile[pk] = pile[pk].and_then(one) if pk in pile else one

    def follow(self, *, now: datetime, jitter: random.Random) -> None:
        """Do for webhooks what follows. Done twice, it is done once.

        Whoever calls it does nothing else meanwhile, so it waits for rows that somebody holds once: what
        needs them is put aside for a while, and the rest is for the next call.

        :raises django.db.Error: when the database is away. What was not done is kept.
        """
        waiting = dict(self._new)
        if time.monotonic() >= self._again_at:
            waiting |= self._aside
        suspects = [news.health for news in waiting.values() if news.tally.unavailable]
        recent = circuits.recent(suspects, now=now)
        for pk, news in waiting.items():
            self._new.pop(pk, None)
            self._aside.pop(pk, None)
            try:
                _follow(news, recent=recent[pk], now=now, jitter=jitter)
            except Exception as error:
                if databases.is_refusal(error):
                    extra = {"event": "webhook.not_followed", "webhook_id": pk}
                    logger.exception("A webhook was not followed up", extra=extra)
                    continue
                self._aside[pk] = news
                self._again_at = time.monotonic() + AGAIN_AFTER
                if databases.is_busy(error):
                    return
                raise


def _follow(news: News, *, recent: Recent, now: datetime, jitter: random.Random) -> None:
    webhook_id = news.health.pk
    circuits.follow(news.health, news.tally, recent=recent, now=now, jitter=jitter)
    for url in news.gone:
        _disable(webhook_id, reason="The receiver answered 410 Gone.", url=url, by="The receiver", now=now)
    if _is_dead(news.health, now=now):
        _turn_off(news.health, now=now)


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
            f"No success for {settings.WEBHOOKS_DISABLE_AFTER.days} days of trying: "
            f"the last {health.consecutive_failures} attempts failed."
        )
        _disable(seen.pk, reason=reason, by="Automatic", now=now)


def _disable(webhook_id: UUID, *, reason: str, by: str, now: datetime, url: str | None = None) -> None:
    """Disable a webhook, and say so: nobody asked for it, unlike what a person turns off."""
    if webhooks.disable(webhook_id, reason=reason, by=by, now=now, url=url, asked_for=False):
        transaction.on_commit(partial(_log_disabled, webhook_id, reason))


def _log_disabled(webhook_id: UUID, reason: str) -> None:
    logger.warning(
        "A webhook was disabled",
        extra={"event": "webhook.disabled", "webhook_id": webhook_id, "reason": reason},
    )
