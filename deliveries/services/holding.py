"""Holding: deliveries are kept back, let go and given up, so many at a time that no statement takes long.

Whoever holds the row of a webhook's health waits for no delivery: recorders hold deliveries while they wait
for it. So rows somebody else has locked are passed over here, and found by the next sweep.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from deliveries import doorbell
from deliveries.models import Delivery, Failure, Pause
from deliveries.models.delivery import DeliveryQuerySet

BATCH = 5000
# How many held deliveries are looked at in one step, where the pause of an event type may keep them back.
AHEAD = 1000


def hold(deliveries: DeliveryQuerySet, *, now: datetime) -> int:
    """Keep back what is pending and with no worker, up to `BATCH` of them, and return how many.

    Their schedule and their attempts stay as they are.
    """
    waiting = deliveries.filter(status=Delivery.Status.PENDING).unleased(now)
    with transaction.atomic():
        return Delivery.objects.filter(pk__in=_take(waiting, most=BATCH)).hold(now=now)


class Ready(NamedTuple):
    """What of a webhook's held deliveries may go, of as many as were looked at.

    :param behind: the one behind which to look next; None when all the rest has been looked at.
    """

    deliveries: DeliveryQuerySet
    behind: UUID | None = None


def ready(webhook_id: UUID, *, behind: UUID | None, now: datetime) -> Ready:
    """Return what is held for a webhook and kept back by no pause.

    No index knows the type of an event. Where one is paused, no more than the next `AHEAD` are looked at.

    :param behind: the delivery the last look ended with; None to begin with the first.
    """
    held = Delivery.objects.filter(webhook=webhook_id, status=Delivery.Status.HELD)
    of_account = Pause.objects.in_force(now).filter(account__webhooks=webhook_id)
    pauses = of_account.filter(Q(webhook=webhook_id) | Q(webhook=None))
    types = set(pauses.values_list("event_type", flat=True))
    if "" in types:
        return Ready(held.none())
    if not types:
        return Ready(held)
    rest = held if behind is None else held.filter(pk__gt=behind)
    looked_at = list(rest.order_by("pk").values_list("pk", "event__type")[:AHEAD])
    free = [pk for pk, event_type in looked_at if event_type not in types]
    of_these = Delivery.objects.filter(pk__in=free, status=Delivery.Status.HELD)
    return Ready(of_these, looked_at[-1][0] if len(looked_at) == AHEAD else None)


def let_go(deliveries: DeliveryQuerySet, *, most: int) -> int:
    """Let held deliveries go on, the oldest first, up to `most` or `BATCH` of them, and return how many.

    None is sent before its time: a retry that was scheduled for later stays so.
    """
    with transaction.atomic():
        ids = _take(deliveries.order_by("due_at"), most=min(most, BATCH))
        if not ids:
            return 0
        doorbell.ring_on_commit()
        return Delivery.objects.filter(pk__in=ids).release()


def cancel(deliveries: DeliveryQuerySet, *, now: datetime) -> int:
    """Give up what is unfinished, for good, up to `BATCH` of them, and return how many.

    Their failures say so, from the same commit on.
    """
    batch: list[UUID] = []
    # One state after the other: each has an index of its own, and the two together have none.
    for status in Delivery.UNFINISHED:
        waiting = deliveries.filter(status=status).values_list("pk", flat=True)
        batch += waiting[: BATCH - len(batch)]
    with transaction.atomic():
        Delivery.objects.filter(pk__in=batch).cancel(now=now)
        Failure.objects.filter(delivery__in=batch).mark_cancelled(now=now)
    return len(batch)


def count(deliveries: DeliveryQuerySet, *, most: int) -> int:
    """Return how many `cancel` would give up in the end; counted up to `most`."""
    counted = 0
    # Like there, one state after the other.
    for status in Delivery.UNFINISHED:
        counted += deliveries.filter(status=status)[: most - counted].count()
    return counted


def _take(deliveries: DeliveryQuerySet, *, most: int) -> list[UUID]:
    """Return the ids of so many, locked until the transaction ends.

    Asked first and moved after, because PostgreSQL may move more than the LIMIT of a query in an UPDATE.
    """
    free = deliveries.select_for_update(skip_locked=True, of=("self",))
    return list(free.values_list("pk", flat=True)[:most])
