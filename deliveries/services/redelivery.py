"""Redelivery: a person sends again what has failed. One attempt, and no automatic retries after it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from deliveries import doorbell
from deliveries.models import AuditEntry, Delivery, Failure, Recovery
from deliveries.models.delivery import DeliveryQuerySet
from deliveries.services import auditing, circuits

BATCH = 500
# How many of the deliveries the note of an act names.
SAMPLE = 10


class NotRedeliverable(Exception):
    """Only a failed delivery to an enabled webhook can be sent again."""


def redeliver(delivery: Delivery, *, by: str, now: datetime, why: str = "") -> Delivery:
    """Queue one attempt, and return the delivery as it is now. Of two at once, one succeeds.

    It sends the stored body to the webhook as it is then: its current URL, credentials, headers and timeout.
    Where nothing goes because the receiver was down, it is the one that tries whether it still is.
    What a pause keeps back is held until the pause ends.

    :raises NotRedeliverable: when the delivery has not failed, or its webhook is disabled or deleted.
    """
    one = Delivery.objects.filter(pk=delivery.pk)
    # In one transaction, so that what is read back is what was queued, however fast a worker is.
    with transaction.atomic():
        if not _queue_some(one, now=now).moved:
            raise NotRedeliverable("Only a failed delivery to an enabled webhook can be sent again.")
        if not _hold_paused(one, now=now):
            circuits.probe_with(delivery, now=now)
        auditing.note(
            AuditEntry.Action.DELIVERIES_REDELIVERED,
            by=by,
            now=now,
            account=delivery.account_id,
            subject=delivery.pk,
            why=why,
        )
        delivery.refresh_from_db()
    return delivery


@dataclass(slots=True)
class Redelivered:
    """What sending many again came to.

    :param queued: how many deliveries have another attempt before them.
    :param held: how many of those a pause keeps back.
    """

    queued: int = 0
    held: int = 0

    def __str__(self) -> str:
        """Say it in words."""
        sentence = f"Queued {in_words(self.queued)}."
        return f"{sentence} Held by a pause: {self.held}." if self.held else sentence


def in_words(deliveries: int) -> str:
    """Write how many deliveries."""
    return f"{deliveries} {'delivery' if deliveries == 1 else 'deliveries'}"


def redeliver_all(
    deliveries: DeliveryQuerySet,
    *,
    selected: str,
    by: str,
    now: datetime,
    why: str = "",
    progress: Callable[[int], None] = lambda queued: None,
) -> Redelivered:
    """Queue one attempt for each of the deliveries that can be sent again.

    Goes on in batches, each in a transaction of its own, so that an interruption keeps what was done, and the
    note of it. Each delivery is queued at most once, also when it fails again before the last batch.

    :param selected: what was asked for, in words for the note.
    :param progress: told after each batch how many are queued.
    """
    act = _Act(selected=selected, by=by, now=now, why=why)
    last = UUID(int=0)
    while True:
        with transaction.atomic():
            batch = _queue_some(deliveries.filter(pk__gt=last), now=now)
            act.note(batch)
            act.came_to.held += _hold_paused(Delivery.objects.filter(pk__in=list(batch.accounts)), now=now)
        progress(act.came_to.queued)
        if len(batch.accounts) < BATCH:
            return act.came_to
        last = max(batch.accounts)


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


def _hold_paused(deliveries: DeliveryQuerySet, *, now: datetime) -> int:
    """Hold what a pause keeps back: no worker would take it, and this way whoever asked is told."""
    return deliveries.filter(pk__in=deliveries.paused(now).values("pk")).hold(now=now)


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What was done in one transaction: the deliveries, each with its account, and how many moved."""

    accounts: Mapping[UUID, UUID]
    moved: int


def _queue_some(deliveries: DeliveryQuerySet, *, now: datetime) -> _Batch:
    candidates = redeliverable(deliveries).select_for_update(of=("self",)).order_by("pk")
    accounts = dict(candidates.values_list("pk", "account")[:BATCH])
    moved = queue(dict.fromkeys(accounts, now), now=now)
    if moved:
        doorbell.ring_on_commit()
    return _Batch(accounts=accounts, moved=moved)


class _Act:
    """One act of somebody, in batches: its row begins with the first of them and grows with each."""

    def __init__(self, *, selected: str, by: str, now: datetime, why: str) -> None:
        self.came_to = Redelivered()
        self._selected, self._by, self._now, self._why = selected, by, now, why
        self._entry: AuditEntry | None = None

    def note(self, batch: _Batch) -> None:
        """Write down a batch, in its transaction; the account too, where all the deliveries have the same."""
        if not batch.moved:
            return
        self.came_to.queued += batch.moved
        accounts = set(batch.accounts.values())
        if self._entry is None:
            self._entry = auditing.note(
                AuditEntry.Action.DELIVERIES_REDELIVERED,
                by=self._by,
                now=self._now,
                account=accounts.pop() if len(accounts) == 1 else None,
                why=self._why,
                selected=self._selected,
                first=[str(pk) for pk in list(batch.accounts)[:SAMPLE]],
                queued=self.came_to.queued,
            )
            return
        if accounts != {self._entry.account_id}:
            self._entry.account_id = None
        self._entry.details["queued"] = self.came_to.queued
        self._entry.save(update_fields=["account", "details"])
