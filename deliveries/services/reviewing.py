"""Reviewing: how webhooks do, from the minutes of traffic and the queue, some at once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, Subquery

from deliveries import circuits as policy
from deliveries.identifiers import first_id_at
from deliveries.models import Attempt, Delivery, FailureGroup, Pause, TrafficMinute, Webhook, WebhookHealth
from deliveries.models.databases import sums_by
from deliveries.models.webhook import number_up_to
from deliveries.printing import utc
from deliveries.services import queues
from deliveries.services.statistics import NOTHING, Figures, Period, all_sums, sums_of

# The last error is looked for among so many of a webhook's attempts, queued since.
_LATEST, _LATELY = 20, timedelta(days=7)
DAY, CELL, HOUR = timedelta(days=1), timedelta(minutes=15), timedelta(hours=1)
# What is due of one webhook, and what is held, is counted so far.
MOST = 1000


class State(StrEnum):
    """How a webhook is; of several that hold, the first."""

    DELETED = "deleted"
    DISABLED = "disabled"
    PAUSED = "paused"
    OPEN = "open"
    PROBING = "probing"
    RECOVERING = "recovering"
    FAILING = "failing"
    ACTIVE = "active"


@dataclass(frozen=True)
class Cell:
    """A quarter of an hour: how many attempts ended in it."""

    start: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Review:
    """How a webhook does.

    :param brief: why it is like that, in few words; empty where it is active.
    :param why: the same, and since when.
    :param strip: the last 24 hours.
    :param hour: what was attempted in the last hour.
    :param due: how many wait to be sent; counted up to `MOST`.
    :param held: how many are kept back; counted up to `MOST`.
    :param oldest_held_at: since when the oldest of those would have been due; None where none is yet.
    :param last_error: why an attempt failed last, or else why it gave up last, as far as that is kept.
    """

    state: State
    brief: str
    why: str
    strip: Sequence[Cell]
    hour: Figures
    due: int
    oldest_due_at: datetime | None
    held: int
    oldest_held_at: datetime | None
    last_error: str

    @property
    def succeeded(self) -> int:
        """Attempts of the last 24 hours that succeeded."""
        return sum(cell.succeeded for cell in self.strip)

    @property
    def attempts(self) -> int:
        """Attempts of the last 24 hours."""
        return self.succeeded + sum(cell.failed for cell in self.strip)

    @property
    def success_ratio(self) -> float | None:
        """Which part of them succeeded; None where there were none."""
        return round(self.succeeded / self.attempts, 4) if self.attempts else None


def review(webhooks: Sequence[Webhook], *, now: datetime) -> dict[UUID, Review]:
    """Return how each of the webhooks does, in as many queries for fifty as for one.

    :param webhooks: with their health.
    """
    ids = [webhook.pk for webhook in webhooks]
    strips, hours = _strips(ids, now), _hours(ids, now)
    queue, pauses = _queue(ids, now), _pauses(webhooks, now)
    found = {}
    for webhook in webhooks:
        waiting = queue[webhook.pk]
        last_error = waiting["last_error"] or waiting["gave_up"] or ""
        state, brief, why = _state(webhook, pauses.get(webhook.pk), last_error)
        found[webhook.pk] = Review(
            state=state,
            brief=brief,
            why=why,
            strip=strips[webhook.pk],
            hour=hours.get(webhook.pk, NOTHING),
            due=waiting["due"],
            oldest_due_at=waiting["oldest_due_at"],
            held=waiting["held"],
            oldest_held_at=waiting["oldest_held_at"],
            last_error=last_error,
        )
    return found


def _state(webhook: Webhook, pause: Pause | None, last_error: str) -> tuple[State, str, str]:
    health = webhook.health
    if webhook.deleted_at:
        return _alike(State.DELETED, f"At {_at(webhook.deleted_at)}.")
    if not webhook.enabled:
        return _alike(State.DISABLED, webhook.disabled_reason)
    if pause:
        return _alike(State.PAUSED, f"Until {_at(pause.until)}, by {pause.by}: {pause.why}")
    if health.circuit != WebhookHealth.Circuit.CLOSED:
        since = f"Since {_at(health.circuit_since)}" if health.circuit_since else ""
        brief = _out_of_order(health, last_error)
        return State(health.circuit), brief, f"{brief}. {since}; next step at {_at(health.next_step_at)}."
    if health.failing_since:
        brief = f"{health.consecutive_failures:,} failures in a row"
        return State.FAILING, brief, f"{brief}, since {_at(health.failing_since)}."
    return _alike(State.ACTIVE, "")


def _alike(state: State, why: str) -> tuple[State, str, str]:
    return state, why, why


def _out_of_order(health: WebhookHealth, last_error: str) -> str:
    if health.circuit == WebhookHealth.Circuit.RECOVERING:
        return "What was held is let go"
    if health.circuit == WebhookHealth.Circuit.PROBING and not health.openings:
        return "Enabled again, and tried first"
    in_a_row = health.unavailable_in_a_row
    # Else most of the last minutes failed.
    many = f"{in_a_row:,} in a row" if in_a_row >= policy.IN_A_ROW else "Too many failed"
    return f"{many}: {last_error}" if last_error else many


def _at(moment: datetime | None) -> str:
    return utc(moment) if moment else "some time"


def _strips(ids: Sequence[UUID], now: datetime) -> dict[UUID, list[Cell]]:
    period = Period.until(now, window=DAY, bucket=CELL)
    minutes = _minutes(ids, period).annotate(slot=F("minute") / (CELL // timedelta(minutes=1)))
    counted: dict[UUID, dict[int, tuple[int, int]]] = defaultdict(dict)
    for pk, number, succeeded, failed in sums_by(minutes, ("webhook", "slot"), ("succeeded", "failed")):
        counted[pk][number] = succeeded, failed
    slots = {start: int(start.timestamp() // CELL.total_seconds()) for start in period.starts}
    return {
        pk: [Cell(start, *counted[pk].get(number, (0, 0))) for start, number in slots.items()] for pk in ids
    }


def _hours(ids: Sequence[UUID], now: datetime) -> dict[UUID, Figures]:
    period = Period.until(now, window=HOUR, bucket=timedelta(minutes=1))
    rows = _minutes(ids, period).values("webhook").annotate(**all_sums())
    return {row["webhook"]: Figures(sums_of(row)) for row in rows}


def _minutes(ids: Sequence[UUID], period: Period) -> Any:
    return TrafficMinute.objects.filter(
        webhook__in=ids, minute__gte=TrafficMinute.of(period.start), minute__lt=TrafficMinute.of(period.end)
    ).order_by()


def _queue(ids: Sequence[UUID], now: datetime) -> dict[UUID, Mapping[str, Any]]:
    due = Delivery.objects.filter(status=Delivery.Status.PENDING, due_at__lte=now)
    held = Delivery.objects.filter(status=Delivery.Status.HELD, webhook=OuterRef("pk")).order_by("due_at")
    attempts = Attempt.objects.filter(webhook=OuterRef("pk"), pk__gte=first_id_at(now - _LATELY))
    attempts = attempts.order_by("-created_at", "-pk")
    groups = FailureGroup.objects.filter(webhook=OuterRef("pk")).order_by("-last_seen_at")
    webhooks = Webhook.objects.filter(pk__in=ids).annotate(
        oldest_due_at=queues.first_due_at(due),
        due=number_up_to(due.filter(webhook=OuterRef("pk")).order_by("due_at"), MOST),
        held=number_up_to(held, MOST),
        oldest_held_at=queues.first_due_at(held.filter(due_at__lte=now)),
        last_error=attempts.last_error(among=_LATEST),
        gave_up=Subquery(groups.values("reason")[:1]),
    )
    shown = ("due", "oldest_due_at", "held", "oldest_held_at", "last_error", "gave_up")
    return {row["pk"]: row for row in webhooks.values("pk", *shown)}


def _pauses(webhooks: Sequence[Webhook], now: datetime) -> dict[UUID, Pause]:
    """Return the pause that keeps each of them back the longest, if any does as a whole."""
    accounts = {webhook.account_id for webhook in webhooks}
    in_force = Pause.objects.in_force(now).filter(account__in=accounts, event_type="").order_by("until")
    found: dict[UUID, Pause] = {}
    for pause in in_force:
        for webhook in webhooks:
            if pause.account_id == webhook.account_id and pause.webhook_id in (None, webhook.pk):
                found[webhook.pk] = pause
    return found
