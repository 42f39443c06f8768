"""Recounting: whether the totals the recorder keeps are what there is; those that are not are put right."""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import OperationalError
from django.db.models import F, OuterRef
from django.db.models.functions import Greatest

from deliveries.models import Attempt, FailureGroup, WebhookHealth, databases
from deliveries.models.webhook import number_of

logger = logging.getLogger(__name__)

# Webhooks whose attempts are counted in one statement.
BATCH = 20


class AlreadyRecounting(Exception):
    """Another process is recounting at this moment."""


@dataclass(frozen=True, kw_only=True)
class Recounted:
    """How many webhooks were counted, and of how many the total was wrong."""

    webhooks: int
    corrected: int


def recount(
    *,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recounted:
    """Count the attempts kept of each webhook, and correct `attempts_kept` where it says something else; and
    make the groups that failures lack.

    Totals go wrong where attempts come or go without being counted: recorded by a version before the counter,
    added to a day in the moment it is dropped, or changed by hand. Nobody has to wait: total and attempts are
    of one moment, and what comes after it is added to the corrected total like to every other.

    It begins anywhere, so that one which is always ended early comes to all of them in the end.

    :param go_on: asked before each batch of webhooks.
    :param progress: told at the same time how many are done, and how many there are.
    :raises AlreadyRecounting: when another process is at it.
    """
    with databases.exclusively("deliveries.recount") as free:
        if not free:
            raise AlreadyRecounting("Another process is recounting at this moment.")
        FailureGroup.objects.complete()
        return _recount(go_on, progress)


def _recount(go_on: Callable[[], bool], progress: Callable[[int, int], None]) -> Recounted:
    webhooks = corrected = 0
    ids = _from_anywhere()
    for start in range(0, len(ids), BATCH):
        progress(start, len(ids))
        if not go_on():
            break
        batch = ids[start : start + BATCH]
        try:
            found = _missing(batch)
        except OperationalError as error:
            if not databases.is_busy(error):
                raise
            logger.warning(
                "The logs of some webhooks could not be counted",
                extra={"event": "recount.postponed", "webhook_ids": batch},
                exc_info=True,
            )
            continue
        webhooks += len(found)
        for webhook_id, missing in found.items():
            if missing:
                _correct(webhook_id, missing)
                corrected += 1
    return Recounted(webhooks=webhooks, corrected=corrected)


def _from_anywhere() -> Sequence[UUID]:
    ids = list(WebhookHealth.objects.order_by("pk").values_list("pk", flat=True))
    begin = random.randrange(len(ids)) if ids else 0  # noqa: S311 - no secret
    return ids[begin:] + ids[:begin]


def _missing(webhooks: Sequence[UUID]) -> Mapping[UUID, int]:
    """Return by how many the total of each is too small."""
    kept = number_of(Attempt.objects.filter(webhook=OuterRef("pk")))
    rows = WebhookHealth.objects.filter(pk__in=webhooks).values_list("pk", kept - F("attempts_kept"))
    with databases.unhurried():
        return dict(rows)


def _correct(webhook_id: UUID, missing: int) -> None:
    WebhookHealth.objects.filter(pk=webhook_id).update(
        attempts_kept=Greatest(F("attempts_kept") + missing, 0)
    )
    logger.warning(
        "The total of a webhook's logs was wrong and has been corrected",
        extra={"event": "recount.corrected", "webhook_id": webhook_id, "missing": missing},
    )
