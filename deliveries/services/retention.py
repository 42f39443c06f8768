"""Retention: what is past its time is deleted, in batches, and never what is still to be delivered.

Attempts go by days, where the database keeps them so.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from axes.models import AccessLog
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

from deliveries.models import (
    Attempt,
    Delivery,
    Event,
    FailureGroup,
    IdempotencyKey,
    QueueMinute,
    TrafficMinute,
    WebhookHealth,
    WebhookRevision,
)
from deliveries.models.databases import drop_days, exclusively, midnight

# Rows of a batch. After each, pruning rests for as long as that took, and for so many seconds at most: who
# publishes meanwhile, and what is delivered, would else wait a third longer at the worst (p99, decision
# record 49).
BATCH = 200
LONGEST_REST = 1.0


class AlreadyPruning(Exception):
    """Another process is pruning at this moment."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How many rows were deleted, or would be."""

    attempts: int
    deliveries: int
    events: int
    minutes: int
    revisions: int
    logins: int
    sessions: int


def past(age: timedelta, *, now: datetime) -> datetime:
    """Return the moment before which everything is of this age: whole days of UTC, which can go as such."""
    return midnight(now - age)


def prune(
    *,
    before: datetime,
    dry_run: bool = False,
    go_on: Callable[[], bool] = lambda: True,
    longest_rest: float = LONGEST_REST,
    progress: Callable[[int], None] = lambda deleted: None,
) -> Pruned:
    """Delete the attempts queued before a moment, the events from before it with all their deliveries, the
    minutes of traffic and of the queue that were over by then, the groups of failures that were last seen
    before it, the revisions of webhooks that no event needs any more, and the console's logins and sessions
    of before.

    An event stays, with its deliveries and their failures, as long as one of them is unfinished or was
    finished only after that moment. A revision stays as long as there may be an event from its time.

    :param go_on: asked before each batch; what is left when it says no waits for the next time.
    :param longest_rest: in seconds, after each batch; 0 for none.
    :param progress: told after each how many rows are deleted.
    :raises AlreadyPruning: when another process is at it.
    :raises deliveries.models.databases.InUse: days of attempts are past their time, and cannot be dropped at
        this moment; nothing else was deleted.
    """
    attempts = Attempt.objects.filter(created_at__lt=before)
    events = _finished_events(before)
    minutes = TrafficMinute.objects.filter(minute__lt=TrafficMinute.of(before))
    of_queue = QueueMinute.objects.filter(minute__lt=TrafficMinute.of(before))
    groups = FailureGroup.objects.filter(last_seen_at__lt=before)
    logins = AccessLog.objects.filter(attempt_time__lt=before)
    sessions = Session.objects.filter(expire_date__lt=before)
    if dry_run:
        deliveries = Delivery.objects.filter(event__in=events)
        return Pruned(
            attempts=attempts.count(),
            deliveries=deliveries.count(),
            events=events.count(),
            minutes=minutes.count() + of_queue.count(),
            revisions=_ended_revisions(before).count(),
            logins=logins.count(),
            sessions=sessions.count(),
        )
    with exclusively("deliveries.prune") as free:
        if not free:
            raise AlreadyPruning("Another process is pruning at this moment.")
        dropped = drop_days(before=before, go_on=go_on, forget=WebhookHealth.objects.forget)
        deleted = Counter({Attempt._meta.label: dropped})
        delete = partial(
            _delete_in_batches, deleted, go_on=go_on, longest_rest=longest_rest, progress=progress
        )
        # Then those in the middle of a day, and those among younger ones. None is left of an event that goes.
        delete(attempts, by="created_at", prepare=_no_longer_counted)
        delete(events, by="created_at", prepare=partial(_still_finished, before=before))
        delete(minutes, by="minute")
        delete(of_queue, by="minute")
        # Their failures went with the events.
        delete(groups, by="pk")
        delete(logins, by="pk")
        delete(sessions, by="pk")
        # Looked for only now: what events are left says how far back they go.
        delete(_ended_revisions(before), by="pk")
    return Pruned(
        attempts=deleted["deliveries.Attempt"],
        deliveries=deleted["deliveries.Delivery"],
        events=deleted["deliveries.Event"],
        minutes=deleted["deliveries.TrafficMinute"] + deleted["deliveries.QueueMinute"],
        revisions=deleted["deliveries.WebhookRevision"],
        logins=deleted["axes.AccessLog"],
        sessions=deleted["sessions.Session"],
    )


def expire_idempotency_keys(*, now: datetime) -> int:
    """Forget the idempotency keys that have had their 72 hours; return how many."""
    expired = IdempotencyKey.objects.filter(created_at__lte=now - IdempotencyKey.KEPT)
    deleted: Counter[str] = Counter()
    _delete_in_batches(deleted, expired, by="created_at", go_on=lambda: True, longest_rest=0)
    return deleted.total()


def _finished_events(before: datetime) -> "models.QuerySet[Event]":
    return Event.objects.filter(~_has_kept_deliveries(before), created_at__lt=before)


def _has_kept_deliveries(before: datetime) -> Exists:
    return Exists(
        Delivery.objects.filter(Q(finished_at=None) | Q(finished_at__gte=before), event=OuterRef("pk"))
    )


def _ended_revisions(before: datetime) -> "models.QuerySet[WebhookRevision]":
    """Return the revisions that another had followed before the first event that is kept."""
    kept = Event.objects.filter(_has_kept_deliveries(before), created_at__lt=before)
    first = kept.order_by("created_at").values_list("created_at", flat=True).first() or before
    later = WebhookRevision.objects.filter(
        Q(valid_from__gt=OuterRef("valid_from"))
        | Q(valid_from=OuterRef("valid_from"), pk__gt=OuterRef("pk")),
        webhook=OuterRef("webhook"),
        valid_from__lte=first,
    )
    return WebhookRevision.objects.filter(Exists(later), valid_from__lte=first)


def _still_finished(batch: Sequence[Any], *, before: datetime) -> list[Any]:
    """Return which of the events may go, once nobody can send one of their deliveries again any more."""
    deliveries = Delivery.objects.filter(event__in=batch)
    list(deliveries.select_for_update().order_by("pk").values_list("pk"))
    return list(_finished_events(before).filter(pk__in=batch).values_list("pk", flat=True))


def _no_longer_counted(batch: Sequence[Any]) -> Sequence[Any]:
    """Take attempts out of what their webhooks' logs amount to, and return them."""
    WebhookHealth.objects.forget(
        Counter(Attempt.objects.filter(pk__in=batch).values_list("webhook", flat=True))
    )
    return batch


def _delete_in_batches(
    deleted: Counter[str],
    rows: "models.QuerySet[Any]",
    *,
    by: str,
    go_on: Callable[[], bool],
    longest_rest: float,
    prepare: Callable[[Sequence[Any]], Sequence[Any]] = lambda batch: batch,
    progress: Callable[[int], None] = lambda deleted: None,
) -> None:
    """Delete rows in the order of a column, each batch in one transaction.

    :param deleted: grows by how many that were of each model.
    :param prepare: does in that transaction what is to be done before, and returns which of the batch may go.
    """
    # Each batch begins where the one before ended: between those that go there may be ever so many that stay.
    ahead = rows
    while go_on():
        began = time.monotonic()
        with transaction.atomic():
            batch = list(ahead.order_by(by).values_list("pk", by)[:BATCH])
            ids = prepare([pk for pk, _ in batch])
            _, counts = rows.model._default_manager.filter(pk__in=ids).delete()
        deleted.update(counts)
        progress(deleted.total())
        if len(batch) < BATCH:
            break
        time.sleep(min(time.monotonic() - began, longest_rest))
        ahead = rows.filter(**{f"{by}__gte": batch[-1][1]})
