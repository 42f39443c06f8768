"""The overview: how much is waiting, for how long, and for whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Min

from deliveries.models import Chore, Delivery, Failure, Pause, WebhookHealth, Worker

BUSIEST = 10


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What is due for one webhook."""

    webhook_id: UUID
    webhook_name: str
    due: int
    oldest_due_at: datetime


@dataclass(frozen=True, kw_only=True)
class PauseInForce:
    """What an operator keeps back now: a webhook, an event type of an account, or with neither all of it."""

    id: UUID
    account_id: UUID
    account_name: str
    webhook_id: UUID | None
    webhook_name: str | None
    event_type: str
    until: datetime
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """The queue at one moment.

    :param due: waiting for a worker, those included whose lease has run out.
    :param oldest_due_at: since when the oldest of those has been due; None when there is none.
    :param leased: with a worker.
    :param scheduled: for later: retries.
    :param held: until their webhooks are enabled, their receivers are there again, or a pause ends.
    :param failed: failures that nothing happens to any more unless a person does something.
    :param workers: alive.
    :param chores: when each chore of beat was last done; None where it never was.
    :param open_circuits: webhooks that nothing is sent to until their receivers answer again.
    :param busiest: the webhooks with the most due, at most `BUSIEST` of them.
    :param pauses: those in force, the first to end first.
    """

    due: int
    oldest_due_at: datetime | None
    leased: int
    scheduled: int
    held: int
    failed: int
    workers: int
    chores: Mapping[str, datetime | None]
    open_circuits: int
    busiest: list[Backlog]
    pauses: list[PauseInForce]


def queue_status(*, now: datetime) -> QueueStatus:
    """Return the numbers of the queue; each comes from an index that holds nothing else."""
    backlogs = [
        Backlog(webhook_id=webhook_id, webhook_name=name, due=due, oldest_due_at=oldest)
        for webhook_id, name, due, oldest in Delivery.objects.due(now)
        .values_list("webhook_id", "webhook__name")
        .annotate(due=Count("*"), oldest=Min("due_at"))
        .order_by("-due", "webhook_id")
    ]
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING)
    return QueueStatus(
        due=sum(backlog.due for backlog in backlogs),
        oldest_due_at=min((backlog.oldest_due_at for backlog in backlogs), default=None),
        leased=Delivery.objects.under_way(now).count(),
        scheduled=pending.filter(lease_token=None, due_at__gt=now).count(),
        held=Delivery.objects.filter(status=Delivery.Status.HELD).count(),
        failed=Failure.objects.inactive().count(),
        workers=Worker.objects.alive(now).count(),
        chores=Chore.objects.last_done(),
        open_circuits=WebhookHealth.objects.filter(
            next_step_at__isnull=False, circuit=WebhookHealth.Circuit.OPEN
        ).count(),
        busiest=backlogs[:BUSIEST],
        pauses=_pauses(now),
    )


def _pauses(now: datetime) -> list[PauseInForce]:
    in_force = Pause.objects.in_force(now).select_related("account", "webhook").order_by("until", "pk")
    return [
        PauseInForce(
            id=pause.pk,
            account_id=pause.account.pk,
            account_name=pause.account.name,
            webhook_id=pause.webhook_id,
            webhook_name=pause.webhook.name if pause.webhook else None,
            event_type=pause.event_type,
            until=pause.until,
            by=pause.by,
            why=pause.why,
        )
        for pause in in_force
    ]
