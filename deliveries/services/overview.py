"""The overview: how much is waiting, for how long, for whom, and what keeps it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from deliveries.models import Delivery, Pause, Webhook, WebhookHealth
from deliveries.models.delivery import DeliveryQuerySet
from deliveries.models.webhook import WebhookQuerySet
from deliveries.services import measuring, queues, tending
from deliveries.services.measuring import Inbox

# So many webhooks are named in each list.
LISTED = 20
# What is counted for one webhook ends here: it says "as many, or more". Totals end at `measuring.MOST`.
MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What waits for one webhook, or is held for it while it is disabled.

    :param disabled_reason: why it is disabled; empty where it is not, or nobody said.
    """

    webhook_id: UUID
    webhook_name: str
    count: int
    oldest_due_at: datetime
    disabled_reason: str


@dataclass(frozen=True, kw_only=True)
class ShutCircuit:
    """A webhook that nothing is sent to but a probe."""

    webhook_id: UUID
    webhook_name: str
    circuit: str
    since: datetime
    next_step_at: datetime


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
    """The queue at one moment. What these have in common with the metrics `Measures` explains.

    :param due: waiting for a worker, those included whose lease has run out.
    :param oldest_due_at: since when the oldest of those has been due, also where it waits for its own
        receiver; None when there is none.
    :param leased: with a worker.
    :param held: until their webhooks are enabled, their receivers are there again, or a pause ends; by why.
    :param failed: failures that nothing happens to any more unless a person does something, by who deals
        with them.
    :param workers: alive.
    :param circuits: how many are not closed, by their state.
    :param waiting: the webhooks whose oldest due delivery has waited longest, at most `LISTED` of them.
    :param shut: those that are open or probing, as many, the longest first.
    :param disabled: the disabled webhooks for which something is held, as many, the oldest first.
    :param pauses: those in force, the first to end first.
    """

    due: int
    oldest_due_at: datetime | None
    leased: int
    scheduled: int
    held: Mapping[str, int]
    failed: Inbox
    workers: int
    chores: Mapping[str, datetime | None]
    circuits: Mapping[str, int]
    waiting: list[Backlog]
    shut: list[ShutCircuit]
    disabled: list[Backlog]
    pauses: list[PauseInForce]


def queue_status(*, now: datetime) -> QueueStatus:
    """Return the numbers of the queue; what each of them reads is bounded, however long the queue is."""
    measures = measuring.measure(now=now)
    reachable = Webhook.objects.exclude(pk__in=tending.unreachable(now).values("pk"))
    waiting = _backlogs(reachable, Delivery.objects.filter(status=Delivery.Status.PENDING, due_at__lte=now))
    held = Delivery.objects.filter(status=Delivery.Status.HELD)
    return QueueStatus(
        due=measures.due,
        oldest_due_at=waiting[0].oldest_due_at if waiting else None,
        leased=measures.in_flight,
        scheduled=measures.scheduled,
        held=measures.held,
        failed=measuring.inbox(measures.failures, now=now),
        workers=len(measures.alive),
        chores=measures.chores,
        circuits=measures.circuits,
        waiting=waiting,
        shut=_shut(),
        disabled=_backlogs(Webhook.objects.existing().filter(enabled=False), held),
        pauses=_pauses(now),
    )


def _backlogs(webhooks: WebhookQuerySet, deliveries: DeliveryQuerySet) -> list[Backlog]:
    """Return what there is of these deliveries, by webhook, the longest wait first."""
    some: QuerySet[Any] = webhooks.annotate(oldest_due_at=queues.first_due_at(deliveries)).exclude(
        oldest_due_at=None
    )
    return [
        Backlog(
            webhook_id=webhook.pk,
            webhook_name=webhook.name,
            count=deliveries.filter(webhook=webhook).order_by("due_at")[:MOST].count(),
            oldest_due_at=webhook.oldest_due_at,
            disabled_reason=webhook.disabled_reason,
        )
        for webhook in some.order_by("oldest_due_at", "pk")[:LISTED]
    ]


def _shut() -> list[ShutCircuit]:
    states = [WebhookHealth.Circuit.OPEN, WebhookHealth.Circuit.PROBING]
    healths = WebhookHealth.objects.out_of_order().filter(circuit__in=states)
    columns = ("pk", "webhook__name", "circuit", "circuit_since", "next_step_at")
    return [
        ShutCircuit(webhook_id=pk, webhook_name=name, circuit=circuit, since=since, next_step_at=next_step_at)
        for pk, name, circuit, since, next_step_at in healths.order_by("circuit_since", "pk").values_list(
            *columns
        )[:LISTED]
    ]


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
