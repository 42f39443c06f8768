"""Removing an account for good, with all that belongs to it. For accounts that nobody ever meant to keep."""

from uuid import UUID

from django.db import transaction

from deliveries.models import (
    Account,
    Agent,
    Attempt,
    Delivery,
    Event,
    Failure,
    IdempotencyKey,
    Webhook,
    WebhookHealth,
)


def remove(account_id: UUID) -> bool:
    """Delete an account with every row of it, and nothing else. Tell whether there was one.

    :raises django.db.IntegrityError: a worker has added to it meanwhile; nothing was deleted.
    """
    ours = {"account": account_id}
    with transaction.atomic():
        # From the leaves on: history protects what it is about.
        Failure.objects.filter(**ours).delete()
        Delivery.objects.filter(**ours).delete()
        IdempotencyKey.objects.filter(**ours).delete()
        Event.objects.filter(**ours).delete()
        # Only now, when nobody can record one more.
        Attempt.objects.filter(webhook__in=list(Webhook.objects.filter(**ours))).delete()
        WebhookHealth.objects.filter(webhook__account=account_id).delete()
        Webhook.objects.filter(**ours).delete()
        Agent.objects.filter(**ours).delete()
        deleted, _ = Account.objects.filter(pk=account_id).delete()
    return bool(deleted)
