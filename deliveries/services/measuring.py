"""Measuring: how the service is doing at one moment, at a cost that does not grow with the queue."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from deliveries.models import (
    Chore,
    Delivery,
    Failure,
    FailureGroup,
    Pause,
    QueueMinute,
    TrafficMinute,
    Webhook,
    WebhookHealth,
    Worker,
)
from deliveries.models.databases import count_of_each
from deliveries.models.failure_group import FailureGroupQuerySet
from deliveries.services import dispatching, queues
from deliveries.services.queues import Kept, Queue

# No count goes beyond this: it says "as many, or more".
MOST = 100_000
# What a worker could have taken for so long should be with one: fewer workers than webhooks may take a while
# to go round.
_TAKEN_WITHIN = timedelta(minutes=1)
# More workers than this are not listed one by one.
_LISTED = 1000


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The service at one moment. Counts end at `MOST`.

    :param at: that moment.
    :param due: waiting for a worker, without what is held or could not be sent anyway: of webhooks that are
        disabled, paused or behind an open circuit.
    :param oldest_due_at: since when the oldest of those has been due that a worker could take now; None when
        there is none. A webhook with as many under way as it may have waits for its own receiver.
    :param oldest_waiting_at: since when the oldest of all of those has been due.
    :param in_flight: with a worker.
    :param scheduled: for later: retries.
    :param held: why what is held is: `disabled`, `circuit`, `paused`, or `none`. What is being let go counts
        as `circuit`.
    :param oldest_held_at: since when the oldest of that would have been due; None where nothing is yet.
    :param stranded: what nobody seems to care for: `held` without a reason, which is the same number; for a
        minute with a `lease` that ran out; or `due` for a minute while nothing of its webhook is under way.
    :param circuits: how many are not closed, by their state.
    :param pauses: how many are in force.
    :param failures: those nothing happens to by itself; `inbox` tells those that need a person.
    :param killed: those of them whose workers died of them.
    :param chores: when each chore of beat was last done; None where it never was.
    :param alive: the workers seen lately.
    :param silent: how many others were not, and did not stop in good order; those of the last day.
    """

    at: datetime
    due: int
    oldest_due_at: datetime | None
    oldest_waiting_at: datetime | None
    in_flight: int
    scheduled: int
    held: Mapping[str, int]
    oldest_held_at: datetime | None
    stranded: Mapping[str, int]
    circuits: Mapping[str, int]
    pauses: int
    failures: int
    killed: int
    chores: Mapping[str, datetime | None]
    alive: list[Worker]
    silent: int


def measure(*, now: datetime) -> Measures:
    """Ask the database; each number comes from an index, of which no question reads more rows than twice
    `MOST`, and a few for each webhook.

    :raises django.db.Error: when the database is away.
    """
    alive = list(Worker.objects.alive(now).order_by("host", "pid", "pk")[:_LISTED])
    found = queues.queues(now=now)
    waiting = [queue for queue in found if queue.is_due(now)]
    for_long = [queue for queue in waiting if queue.is_due(now - _TAKEN_WITHIN)]
    neglected = [queue for queue in for_long if not queue.under_way]
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING)
    due = pending.filter(due_at__lte=now)
    ran_out = Delivery.objects.filter(lease_token__isnull=False, due_at__lte=now - _TAKEN_WITHIN)
    held = _held(found)
    # One slow receiver gets no more than its share of each worker, which may be less than it is allowed.
    shares = sum(dispatching.share(worker.slots) for worker in alive)
    return Measures(
        at=now,
        due=_count_of(waiting, due),
        oldest_due_at=_oldest(queue.pending_since for queue in waiting if _has_room(queue, shares)),
        oldest_waiting_at=_oldest(queue.pending_since for queue in waiting),
        in_flight=_count(Delivery.objects.under_way(now), in_order_of=("webhook", "due_at")),
        scheduled=_count_of(
            [queue for queue in found if queue.pending_since],
            pending.filter(lease_token=None, due_at__gt=now),
        ),
        held=held,
        oldest_held_at=_oldest(
            queue.held_since for queue in found if queue.held_since and queue.held_since <= now
        ),
        stranded={
            "held": held[Kept.NONE],
            "lease": _count_of(for_long, ran_out),
            "due": _count_of(neglected, due),
        },
        circuits=_circuits(),
        pauses=Pause.objects.in_force(now).count(),
        failures=_count(Failure.objects.inactive(), in_order_of=("account", "created_at")),
        killed=_count(Failure.objects.that_killed(), in_order_of=("account", "created_at")),
        chores=Chore.objects.last_done(),
        alive=alive,
        silent=Worker.objects.silent(now).count(),
    )


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """The failures nothing happens to by itself, by who deals with them. Counts end at `MOST`.

    :param open: of groups that want somebody.
    :param snoozed: of groups that somebody put off.
    :param settled: others: of groups that somebody resolved, and of webhooks that are deleted; where all are
        counted no further, as many at least.
    """

    open: int
    snoozed: int
    settled: int

    @property
    def others(self) -> dict[str, int]:
        """Those that need nobody now, as far as there are any, by what they are called in a sentence."""
        kept = {"snoozed": self.snoozed, "of resolved groups or deleted webhooks": self.settled}
        return {what: count for what, count in kept.items() if count}


def inbox(failures: int, *, now: datetime) -> Inbox:
    """Return it: one look into an index for each group that is not resolved, and what of it is counted.

    :param failures: how many there are, as `measure` counts them.
    """
    groups = FailureGroup.objects
    opened, snoozed = _count_of_groups(groups.open(now)), _count_of_groups(groups.snoozed(now))
    # Each was counted a moment after the other.
    return Inbox(open=opened, snoozed=snoozed, settled=max(failures - opened - snoozed, 0))


def _count_of_groups(groups: FailureGroupQuerySet) -> int:
    its = {"webhook_id": "webhook", "reason": "reason"}
    return count_of_each(groups, Failure.objects.inactive(), by=its, order="delivery", most=MOST)


def note_minute(*, now: datetime) -> None:
    """Measure the queue and write that down for charts, once a minute, whoever else does it."""
    measures = measure(now=now)
    waiting = now - measures.oldest_due_at if measures.oldest_due_at else timedelta(0)
    QueueMinute.objects.note(
        QueueMinute(
            minute=TrafficMinute.of(now),
            due=measures.due,
            oldest_due_ms=waiting // timedelta(milliseconds=1),
            in_flight=measures.in_flight,
            scheduled=measures.scheduled,
            held=sum(measures.held.values()),
        )
    )


def _count(rows: "QuerySet[Any]", *, in_order_of: tuple[str, ...]) -> int:
    """Count rows up to `MOST`, in the order of the index that is to be read and holds no others."""
    return rows.order_by(*in_order_of)[:MOST].count()


def _count_of(found: Sequence[Queue], rows: "QuerySet[Delivery]") -> int:
    """Count deliveries in these queues up to `MOST`."""
    if not found:
        return 0
    webhooks = Webhook.objects.filter(pk__among=[queue.webhook_id for queue in found])
    return count_of_each(webhooks, rows, by="webhook", order="due_at", most=MOST)


def _oldest(moments: "Iterable[datetime | None]") -> datetime | None:
    return min((moment for moment in moments if moment), default=None)


def _has_room(queue: Queue, shares: int) -> bool:
    """Tell whether a worker may take one more: else it waits for its receiver, and not for workers.

    :param shares: how many all workers together may have; 0 where none is alive, and all waits for a worker.
    """
    return queue.under_way < min(queue.allowed, shares or queue.allowed)


def _held(found: Sequence[Queue]) -> dict[str, int]:
    """Count what is held by its reason."""
    held = Delivery.objects.filter(status=Delivery.Status.HELD)
    holding = [queue for queue in found if queue.held_since]
    return {str(kept): _count_of([queue for queue in holding if queue.kept == kept], held) for kept in Kept}


def _circuits() -> dict[str, int]:
    states = [state for state in WebhookHealth.Circuit.values if state != WebhookHealth.Circuit.CLOSED]
    moving = WebhookHealth.objects.out_of_order()
    return {**dict.fromkeys(states, 0), **dict(moving.values_list("circuit").annotate(count=Count("*")))}
