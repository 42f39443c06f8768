"""Measuring: how the service is doing at one moment, at a cost that does not grow with the queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    Min,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Least

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
from deliveries.models.webhook import WebhookQuerySet, number_of
from deliveries.services import dispatching, tending

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
    :param in_flight: with a worker.
    :param scheduled: for later: retries.
    :param held: why what is held is: `disabled`, `circuit`, `paused`, or `none`. What is being let go counts
        as `circuit`.
    :param stranded: what nobody seems to care for: `held` without a reason, which is the same number; for a
        minute with a `lease` that ran out; or `due` for a minute while nothing of its webhook is under way.
    :param circuits: how many are not closed, by their state.
    :param pauses: how many are in force.
    :param failures: those that need a person.
    :param killed: those of them whose workers died of them.
    :param chores: when each chore of beat was last done; None where it never was.
    :param alive: the workers seen lately.
    :param silent: how many others were not, and did not stop in good order; those of the last day.
    """

    at: datetime
    due: int
    oldest_due_at: datetime | None
    in_flight: int
    scheduled: int
    held: Mapping[str, int]
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
    reachable, due = _reachable(now), _due(now)
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING)
    leased = Delivery.objects.filter(lease_token__isnull=False)
    held = _held(now)
    ran_out = leased.filter(due_at__lte=now - _TAKEN_WITHIN)
    alive = Worker.objects.alive(now)
    listed = list(alive.order_by("host", "pid", "pk")[:_LISTED])
    return Measures(
        at=now,
        due=_count_of(reachable, due),
        oldest_due_at=_oldest(_with_room(reachable, listed, now), due),
        in_flight=_count(Delivery.objects.under_way(now), in_order_of=("webhook", "due_at")),
        scheduled=_count_of(Webhook.objects.all(), pending.filter(lease_token=None, due_at__gt=now)),
        held=held,
        stranded={
            "held": held["none"],
            "lease": _count_of(reachable, ran_out),
            "due": _count_of(_neglected(reachable, due, now), due),
        },
        circuits=_circuits(),
        pauses=Pause.objects.in_force(now).count(),
        failures=_count(Failure.objects.inactive(), in_order_of=("account", "created_at")),
        killed=_count(Failure.objects.that_killed(), in_order_of=("account", "created_at")),
        chores=Chore.objects.last_done(),
        alive=listed,
        silent=Worker.objects.silent(now).count(),
    )


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """The failures that need a person, by who deals with them. Counts end at `MOST`.

    :param open: of groups that want somebody.
    :param snoozed: of groups that somebody put off.
    :param settled: others: of groups that somebody resolved, and of webhooks that are deleted; where all are
        counted no further, as many at least.
    """

    open: int
    snoozed: int
    settled: int


def inbox(failures: int, *, now: datetime) -> Inbox:
    """Return it: one look into an index for each group that is not resolved, and what of it is counted.

    :param failures: how many need a person, as `measure` counts them.
    """
    groups = FailureGroup.objects
    opened, snoozed = _count_of_groups(groups.open(now)), _count_of_groups(groups.snoozed(now))
    # Each was counted a moment after the other.
    return Inbox(open=opened, snoozed=snoozed, settled=max(failures - opened - snoozed, 0))


def _count_of_groups(groups: FailureGroupQuerySet) -> int:
    its = {"webhook_id": "webhook", "reason": "reason"}
    return count_of_each(groups, Failure.objects.inactive(), by=its, order="delivery", most=MOST)


def oldest_due_at(*, now: datetime) -> datetime | None:
    """Return since when the oldest of what is due has been, whatever it waits for: its own receiver, too."""
    return _oldest(_reachable(now), _due(now))


def oldest_held_at(*, now: datetime) -> datetime | None:
    """Return since when the oldest of what is held would have been due; None where nothing is yet."""
    return _oldest(
        Webhook.objects.all(), Delivery.objects.filter(status=Delivery.Status.HELD, due_at__lte=now)
    )


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


def _reachable(now: datetime) -> WebhookQuerySet:
    return Webhook.objects.exclude(pk__in=tending.unreachable(now).values("pk"))


def _due(now: datetime) -> "QuerySet[Delivery]":
    return Delivery.objects.filter(status=Delivery.Status.PENDING, due_at__lte=now)


def _count(rows: "QuerySet[Any]", *, in_order_of: tuple[str, ...]) -> int:
    """Count rows up to `MOST`, in the order of the index that is to be read and holds no others."""
    return rows.order_by(*in_order_of)[:MOST].count()


def _count_of(webhooks: WebhookQuerySet, rows: "QuerySet[Delivery]") -> int:
    """Count deliveries of these webhooks up to `MOST`."""
    return count_of_each(webhooks, rows, by="webhook", order="due_at", most=MOST)


def with_oldest(webhooks: WebhookQuerySet, rows: "QuerySet[Delivery]") -> "QuerySet[Any]":
    """Add `oldest_due_at` of each webhook's deliveries among these: one look into an index for each."""
    oldest = rows.filter(webhook=OuterRef("pk")).order_by("due_at").values("due_at")[:1]
    return webhooks.annotate(oldest_due_at=Subquery(oldest))


def _oldest(webhooks: WebhookQuerySet, due: "QuerySet[Delivery]") -> datetime | None:
    oldest: datetime | None = with_oldest(webhooks, due).aggregate(oldest=Min("oldest_due_at"))["oldest"]
    return oldest


def _with_room(webhooks: WebhookQuerySet, alive: list[Worker], now: datetime) -> WebhookQuerySet:
    """Keep those of which a worker may take one more: the others wait for receivers, and not for workers.

    Reads what is under way for each, which is never more than its `max_in_flight`.
    """
    most: Any = Case(
        When(health__circuit=WebhookHealth.Circuit.PROBING, then=Value(1)),
        default=F("max_in_flight"),
        output_field=IntegerField(),
    )
    if alive:
        # One slow receiver gets no more than its share of each, which may be less than it is allowed. With
        # nobody alive all that is due waits for a worker.
        shares = sum(dispatching.share(worker.slots) for worker in alive)
        most = Least(most, Value(shares))
    of_webhook = Delivery.objects.under_way(now).filter(webhook=OuterRef("pk"))
    return webhooks.annotate(under_way=number_of(of_webhook)).filter(under_way__lt=most)


def _neglected(webhooks: WebhookQuerySet, due: "QuerySet[Delivery]", now: datetime) -> WebhookQuerySet:
    """Keep those of which something should have been taken long ago, and nothing is under way."""
    under_way = Delivery.objects.under_way(now).filter(webhook=OuterRef("pk"))
    waiting = due.filter(webhook=OuterRef("pk"), due_at__lte=now - _TAKEN_WITHIN)
    return webhooks.filter(Exists(waiting)).exclude(Exists(under_way))


def _held(now: datetime) -> dict[str, int]:
    """Count what is held by its reason, which is told of each webhook and not of each delivery: where types
    of an account's events are paused, all that is held of that account counts as paused."""
    in_force = Pause.objects.in_force(now)
    of_webhook = in_force.of_webhook(OuterRef("pk"), account=OuterRef("account"))
    of_types = in_force.exclude(event_type="").filter(account=OuterRef("account"))
    moving = WebhookHealth.objects.filter(webhook=OuterRef("pk"), next_step_at__isnull=False)
    reason = Case(
        When(enabled=False, then=Value("disabled")),
        When(Exists(moving), then=Value("circuit")),
        When(Exists(of_webhook) | Exists(of_types), then=Value("paused")),
        default=Value("none"),
    )
    webhooks = Webhook.objects.annotate(reason=reason)
    held = Delivery.objects.filter(status=Delivery.Status.HELD)
    return {
        reason: _count_of(webhooks.filter(reason=reason), held)
        for reason in ("disabled", "circuit", "paused", "none")
    }


def _circuits() -> dict[str, int]:
    states = [state for state in WebhookHealth.Circuit.values if state != WebhookHealth.Circuit.CLOSED]
    moving = WebhookHealth.objects.filter(next_step_at__isnull=False)
    return {**dict.fromkeys(states, 0), **dict(moving.values_list("circuit").annotate(count=Count("*")))}
