"""Cancelling: a person gives up what is queued, for good."""

from datetime import datetime

from django.db import transaction

from deliveries.models import AuditEntry, Delivery
from deliveries.services import auditing, holding


class NotCancellable(Exception):
    """Only what still has an attempt before it can be cancelled."""


def cancel(delivery: Delivery, *, by: str, now: datetime, why: str = "") -> Delivery:
    """Make no further attempt, and return the delivery as it is now. Of two at once, one succeeds.

    A request under way may arrive all the same; its result is dropped.

    :raises NotCancellable: when it is finished.
    """
    one = Delivery.objects.filter(pk=delivery.pk)
    with transaction.atomic():
        if not holding.cancel(one.select_for_update(of=("self",)), now=now):
            raise NotCancellable("Only what is pending or held can be cancelled.")
        auditing.note(
            AuditEntry.Action.DELIVERY_CANCELLED,
            by=by,
            now=now,
            account=delivery.account_id,
            subject=delivery.pk,
            why=why,
        )
        delivery.refresh_from_db()
    return delivery
