"""Redelivery: a person sends again what has failed. One attempt, and no automatic retries after it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from deliveries import doorbell
from deliveries.models import AuditEntry, Delivery, Failure, Recovery
from deliveries.models.delivery import DeliveryQuerySet
from deliveries.services import auditing

BATCH = 500


class NotRedeliverable(Exception):
    """Only a failed delivery to an enabled webhook can be sent again."""


def redeliver(delivery: Delivery, *, by: str, now: datetime) -> Delivery:
    """Queue one attempt, and return the delivery as it is now. Of two at once, one succeeds.

    It sends the stored body to the webhook as it is then: its current URL, credentials, headers and timeout.

    :raises NotRedeliverable: when the delivery has not failed, or its webhook is disabled or deleted.
    """
    # In one transaction, so that what is read back is what was queued, however fast a worker is.
    with transaction.atomic():
        if not _queue_all(Delivery.objects.filter(pk=delivery.pk), now=now):
            raise NotRedeliverable("Only a failed delivery to an enabled webhook can be sent again.")
        auditing.note(
            AuditEntry.Action.DELIVERIES_REDELIVERED,
            by=by,
            now=now,
            account=delivery.account_id,
            subject=delivery.pk,
        )
        delivery.refresh_from_db()
    return delivery


def redeliver_all(deliveries: DeliveryQuerySet, *, by: str, now: datetime) -> int:
    """Queue one attempt for each of the deliveries that can be sent again, and return how many.

    Goes on in batches, each in a transaction of its own, so that an interruption keeps what was done. Each
    delivery is queued at most once, also when it fails again before the last batch.
    """
    queued = _queue_all(deliveries, now=now)
    if queued:
        auditing.note(AuditEntry.Action.DELIVERIES_REDELIVERED, by=by, now=now, queued=queued)
    return queued


def redeliverable(deliveries: DeliveryQuerySet) -> DeliveryQuerySet:
    """Keep what can be sent again."""
    return deliveries.filter(status=Delivery.Status.FAILED, webhook__enabled=True, webhook__deleted_at=None)


def queue(due_at: Mapping[UUID, datetime], *, now: datetime, recovery: Recovery | None = None) -> int:
    """Queue one attempt for each of the deliveries, and say so in their failures; return how many.

    The caller's transaction holds the rows of the deliveries, which `redeliverable` has kept.

    :param due_at: the deliveries, with the moment each is to be sent at.
    :param recovery: the one that sends them, if it is no person.
    """
    moved = Delivery.objects.requeue(due_at, now=now)
    queued = list(due_at) if moved == len(due_at) else _pending(due_at)
    Failure.objects.mark_retriggered(queued, now=now, recovery=recovery)
    return moved


def _pending(ids: Iterable[UUID]) -> list[UUID]:
    """Return which of the deliveries are in the queue.

    Compared here: asked for pending rows, a database that believes the queue empty reads all of it.
    """
    states = Delivery.objects.filter(pk__in=list(ids)).values_list("pk", "status")
    return [pk for pk, status in states if status == Delivery.Status.PENDING]


def _queue_all(deliveries: DeliveryQuerySet, *, now: datetime) -> int:
    queued = 0
    last = UUID(int=0)
    candidates = redeliverable(deliveries).values_list("pk", flat=True).order_by("pk")
    while True:
        with transaction.atomic():
            batch = list(candidates.filter(pk__gt=last).select_for_update(of=("self",))[:BATCH])
            moved = queue(dict.fromkeys(batch, now), now=now)
            if moved:
                doorbell.ring_on_commit()
        queued += moved
        if len(batch) < BATCH:
            return queued
        last = batch[-1]
