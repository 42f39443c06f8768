"""Holding: deliveries are kept back, let go and given up, so many at a time that no statement takes long.

Whoever holds the row of a webhook's health waits for no delivery: recorders hold deliveries while they wait
for it. So rows somebody else has locked are passed over here, and found by the next sweep.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from deliveries import doorbell
from deliveries.models import Delivery, Failure
from deliveries.models.delivery import DeliveryQuerySet

BATCH = 5000


def hold(deliveries: DeliveryQuerySet, *, now: datetime) -> int:
    """Keep back what is pending and with no worker, up to `BATCH` of them, and return how many.

    Their schedule and their attempts stay as they are.
    """
    waiting = deliveries.filter(status=Delivery.Status.PENDING).unleased(now)
    with transaction.atomic():
        return Delivery.objects.filter(pk__in=_take(waiting, most=BATCH)).hold(now=now)


def held(webhook_id: UUID, *, now: datetime) -> DeliveryQuerySet:
    """Return what is held for a webhook, but for what a pause keeps back."""
    return Delivery.objects.filter(webhook=webhook_id, status=Delivery.Status.HELD).unpaused(now)


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


def _take(deliveries: DeliveryQuerySet, *, most: int) -> list[UUID]:
    """Return the ids of so many, locked until the transaction ends.

    Asked first and moved after, because PostgreSQL may move more than the LIMIT of a query in an UPDATE.
    """
    free = deliveries.select_for_update(skip_locked=True, of=("self",))
    return list(free.values_list("pk", flat=True)[:most])
