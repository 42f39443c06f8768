"""Recovering: many failures sent again as one job, at a pace, that survives whatever happens to its workers.

What is to be sent is put into the queue a little ahead of its time, each delivery with a moment of its own,
and the row says how far that has come. Both happen in one transaction, so nothing is lost or queued twice.
One worker at a time keeps a recovery going; once its next moment is past, any other takes it up.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max, OuterRef, Q

from deliveries.identifiers import first_id_at, new_id
from deliveries.models import Account, AuditEntry, Delivery, Failure, Recovery
from deliveries.models.failure import FailureQuerySet
from deliveries.services import auditing, guarding, redelivery

MAX_RATE = 1000
DEFAULT_RATE = 50
SAMPLE = 10
# How long a slice takes.
SLICE = timedelta(seconds=0.1)
# How far ahead of its time a delivery is queued. It bridges the time between two slices, and is as much as
# can leave at once after a stop, or can no longer be paused.
AHEAD = timedelta(seconds=0.3)
# What one slice queues at most, whatever the rate.
BATCH = 500
# By how much the clocks of workers may differ: within it a recovery waits, and keeps its pace.
TOLERANCE = timedelta(seconds=2)
# How many recoveries of an account may be unfinished. Each has a slice of its own ten times a second.
MAX_UNFINISHED = 10


class StateConflict(Exception):
    """The recovery's state does not allow it; the message says which it is in."""


class TooMany(Exception):
    """As many recoveries of the account as there may be are unfinished; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which failures: those that all the given parts select. With no part given it selects nothing.

    :param reason: the text of a reason, which says the status code, too: "HTTP 503".
    :param failed_from: first failed at this moment or later.
    :param made_from: of deliveries that were made at this moment or later.
    """

    webhook_id: UUID | None = None
    event_type: str = ""
    reason_code: str = ""
    reason: str = ""
    failed_from: datetime | None = None
    failed_before: datetime | None = None
    made_from: datetime | None = None
    made_before: datetime | None = None

    @classmethod
    def of(cls, recovery: Recovery) -> "Selection":
        """Return what a recovery selects."""
        return cls(**{part.name: getattr(recovery, part.name) for part in fields(cls)})

    @property
    def empty(self) -> bool:
        """Whether nothing was given."""
        return not any(asdict(self).values())

    def failures(self, account: Account | OuterRef) -> FailureQuerySet:
        """Return the account's failures that are selected and inactive.

        :param account: or how a query around them names it.
        """
        if self.empty:
            return Failure.objects.none()
        lookups = {
            "webhook_id": self.webhook_id,
            "event_type": self.event_type,
            "reason_code": self.reason_code,
            "reason": self.reason,
            "created_at__gte": self.failed_from,
            "created_at__lt": self.failed_before,
            # A delivery's id is of the moment it was made; another table need not be asked.
            "delivery__gte": self.made_from and first_id_at(self.made_from),
            "delivery__lt": self.made_before and first_id_at(self.made_before),
        }
        given = {name: value for name, value in lookups.items() if value}
        return Failure.objects.inactive().filter(account=account, **given)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a recovery would send.

    :param sample: the first of them.
    :param excluded: how many more are selected that cannot be sent: their webhook is disabled or deleted.
    """

    count: int
    sample: list[Failure]
    excluded: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What has become of what a recovery has queued.

    What was sent again by somebody else since then, or deleted by retention, is in none of the three.
    """

    delivered: int = 0
    failed: int = 0
    outstanding: int = 0


def preview(*, account: Account, selection: Selection) -> Preview:
    """Return what a recovery would send at this moment; change nothing."""
    selected = selection.failures(account)
    sendable = selected.of_enabled_webhooks(account)
    enabled = Q(webhook_id__in=account.webhooks.enabled().values("pk"))
    # Both in one walk through what may be a hundred thousand.
    counts = selected.aggregate(all=Count("*"), sendable=Count("pk", filter=enabled))
    return Preview(
        count=counts["sendable"],
        sample=_sample(sendable) if counts["sendable"] else [],
        excluded=counts["all"] - counts["sendable"],
    )


def already_made(pk: UUID | None, *, account: Account, selection: Selection) -> Recovery | None:
    """Return the recovery with this id, if it is of that account and selects that."""
    made = Recovery.objects.filter(pk=pk, account=account).first() if pk else None
    return made if made and Selection.of(made) == selection else None


def create(
    *,
    account: Account,
    selection: Selection,
    by: str,
    now: datetime,
    rate: int = DEFAULT_RATE,
    why: str = "",
    pk: UUID | None = None,
) -> Recovery:
    """Make a recovery of what is selected now and return it; one that has nothing to send is completed.

    :param rate: how many deliveries may leave in a second.
    :param pk: the id it is to have. Who selects the same with the same id again gets the recovery there is.
    :raises TooMany: when `MAX_UNFINISHED` of the account's are unfinished.
    """
    with transaction.atomic():
        # Until the transaction ends, nobody else makes one. Not so strictly that nobody could publish.
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        if made := already_made(pk, account=account, selection=selection):
            return made
        _look_for_room(account)
        sendable = selection.failures(account).of_enabled_webhooks(account)
        count, sample = sendable.count(), _sample(sendable)
        # The clock of the worker that recorded it may be ahead of ours.
        newest = sendable.aggregate(newest=Max("updated_at"))["newest"]
        disabled = account.webhooks.existing().filter(enabled=False).values_list("pk", flat=True)
        recovery = Recovery.objects.create(
            pk=pk if pk and not Recovery.objects.filter(pk=pk).exists() else new_id(),
            account=account,
            by=by[: auditing.MAX_BY],
            why=why,
            rate=rate,
            **asdict(selection),
            status=Recovery.Status.RUNNING if count else Recovery.Status.COMPLETED,
            created_at=now,
            finished_at=None if count else now,
            covers_until=max(now, newest or now),
            total=count,
            sample=[failure.pk for failure in sample],
            left_out=[str(pk) for pk in disabled],
            next_slot_at=now,
        )
        _note(AuditEntry.Action.RECOVERY_CREATED, recovery, by=by, now=now, why=why, total=count, rate=rate)
    return recovery


def pause(recovery: Recovery, *, by: str, now: datetime) -> Recovery:
    """Queue nothing more until `resume`; return the recovery as it is now. Of two at once, one succeeds.

    :raises StateConflict: when it is not running.
    """
    return _move(
        recovery,
        Recovery.Status.PAUSED,
        AuditEntry.Action.RECOVERY_PAUSED,
        allowed_from=[Recovery.Status.RUNNING],
        by=by,
        now=now,
    )


def resume(recovery: Recovery, *, by: str, now: datetime) -> Recovery:
    """Go on where it was paused, and return the recovery as it is now.

    :raises StateConflict: when it is not paused.
    """
    return _move(
        recovery,
        Recovery.Status.RUNNING,
        AuditEntry.Action.RECOVERY_RESUMED,
        allowed_from=[Recovery.Status.PAUSED],
        by=by,
        now=now,
    )


def cancel(recovery: Recovery, *, by: str, now: datetime) -> Recovery:
    """Queue nothing more, for good, and return the recovery as it is now. What is queued already is sent.

    :raises StateConflict: when it is finished.
    """
    return _move(
        recovery,
        Recovery.Status.CANCELLED,
        AuditEntry.Action.RECOVERY_CANCELLED,
        allowed_from=Recovery.UNFINISHED,
        by=by,
        now=now,
    )


def progress(recoveries: Iterable[Recovery]) -> dict[UUID, Progress]:
    """Return what has become of what each recovery has queued, in one query."""
    ids = [recovery.pk for recovery in recoveries]
    counted = (
        Failure.objects.filter(recovery__in=ids)
        .values_list("recovery")
        .annotate(
            delivered=Count("pk", filter=Q(status=Failure.Status.DELIVERED)),
            failed=Count("pk", filter=Q(status=Failure.Status.INACTIVE)),
            outstanding=Count("pk", filter=Q(status=Failure.Status.PENDING)),
        )
    )
    found = {
        pk: Progress(delivered=delivered, failed=failed, outstanding=outstanding)
        for pk, delivered, failed, outstanding in counted
    }
    return {pk: found.get(pk, Progress()) for pk in ids}


def take_up(*, but_for: Collection[UUID], now: datetime) -> list[Recovery]:
    """Return the running recoveries that nobody keeps going: their next moment is past.

    Or so far ahead that a wrong clock wrote it.

    :param but_for: those the caller keeps going.
    """
    beyond = now + AHEAD + timedelta(seconds=1) + TOLERANCE
    forsaken = Recovery.objects.running().filter(Q(next_slot_at__lte=now) | Q(next_slot_at__gt=beyond))
    return list(forsaken.exclude(pk__in=but_for).only("next_slot_at").order_by("pk"))


def advance(recovery: Recovery, *, now: datetime) -> bool:
    """Do one slice of a recovery, and tell whether the caller is to keep it going.

    Not where it no longer runs, or where somebody else has gone on with it. One that fails, or meets a row
    somebody holds for long, is taken up again later.

    :param recovery: as the caller left it; from here on as this slice does.
    """
    with guarding.going_on("recover", recovery_id=recovery.pk):
        return _advance(recovery, now=now)
    return False


def _advance(left: Recovery, *, now: datetime) -> bool:
    """Queue what may leave from now until a little later, and tell whether there may be more."""
    with transaction.atomic():
        # Whoever else is at it does this slice; and nobody pauses what is half done.
        locked = Recovery.objects.select_for_update(skip_locked=True, of=("self",)).select_related("account")
        recovery = locked.running().filter(pk=left.pk, next_slot_at=left.next_slot_at).first()
        if recovery is None:
            return False
        first = _next_slot(recovery, now=now)
        slots = min(math.ceil((now + AHEAD - first).total_seconds() * recovery.rate), BATCH)
        if slots <= 0:
            return True
        failures = list(
            _ahead(recovery).only("created_at", "delivery_id").order_by("created_at", "pk")[:slots]
        )
        if failures:
            _queue(recovery, failures, first=first, now=now)
        elif first <= now:
            skipped = max(recovery.total - recovery.queued, 0)
            Recovery.objects.filter(pk=recovery.pk).move(
                Recovery.Status.COMPLETED, allowed_from=[Recovery.Status.RUNNING], now=now, skipped=skipped
            )
            return False
    left.next_slot_at = recovery.next_slot_at
    return True


def _next_slot(recovery: Recovery, *, now: datetime) -> datetime:
    """Return when the next may be sent: not before now, and now where a wrong clock wrote the row."""
    furthest = now + AHEAD + timedelta(seconds=1 / recovery.rate) + TOLERANCE
    return now if recovery.next_slot_at > furthest else max(recovery.next_slot_at, now)


def _queue(recovery: Recovery, failures: list[Failure], *, first: datetime, now: datetime) -> None:
    """Queue the failures' deliveries, one after the other from `first` on, and note how far that has come."""
    deliveries = Delivery.objects.filter(pk__in=[failure.delivery_id for failure in failures])
    sendable = redelivery.redeliverable(deliveries).select_for_update(of=("self",)).order_by("pk")
    ids = set(sendable.values_list("pk", flat=True))
    in_turn = [failure.delivery_id for failure in failures if failure.delivery_id in ids]
    due_at = {pk: first + timedelta(seconds=turn / recovery.rate) for turn, pk in enumerate(in_turn)}
    recovery.queued += redelivery.queue(due_at, now=now, recovery=recovery)
    recovery.next_slot_at = first + timedelta(seconds=len(due_at) / recovery.rate)
    recovery.passed_created_at, recovery.passed_failure_id = failures[-1].created_at, failures[-1].pk
    recovery.save(update_fields=["queued", "next_slot_at", "passed_created_at", "passed_failure_id"])


def _ahead(recovery: Recovery) -> FailureQuerySet:
    """Return what the recovery covers and has not passed, as far as it still needs sending and can be sent.

    What has changed since the recovery was made has been sent by somebody else, and failed again at most.
    """
    selected = Selection.of(recovery).failures(recovery.account).filter(updated_at__lte=recovery.covers_until)
    failures = selected.of_enabled_webhooks(recovery.account).exclude(webhook_id__in=recovery.left_out)
    if recovery.passed_created_at is None:
        return failures
    # The first condition alone is what an index can follow.
    behind = Q(created_at__gt=recovery.passed_created_at) | Q(pk__gt=recovery.passed_failure_id)
    return failures.filter(behind, created_at__gte=recovery.passed_created_at)


def _look_for_room(account: Account) -> None:
    """Make sure that the account may have one more.

    :raises TooMany: when it may not.
    """
    if Recovery.objects.filter(account=account, status__in=Recovery.UNFINISHED).count() >= MAX_UNFINISHED:
        raise TooMany(
            f"The account has {MAX_UNFINISHED} unfinished recoveries. "
            "Wait until one is finished, or cancel one."
        )


def _sample(failures: FailureQuerySet) -> list[Failure]:
    return list(failures.order_by("created_at", "pk")[:SAMPLE])


def _move(
    recovery: Recovery,
    status: Recovery.Status,
    action: AuditEntry.Action,
    *,
    allowed_from: Iterable[Recovery.Status],
    by: str,
    now: datetime,
) -> Recovery:
    with transaction.atomic():
        moved = Recovery.objects.filter(pk=recovery.pk).move(status, allowed_from=list(allowed_from), now=now)
        recovery.refresh_from_db()
        if not moved:
            raise StateConflict(f"The recovery is {recovery.status}.")
        _note(action, recovery, by=by, now=now)
    return recovery


def _note(
    action: AuditEntry.Action, recovery: Recovery, *, by: str, now: datetime, why: str = "", **details: Any
) -> None:
    auditing.note(
        action, by=by, now=now, account=recovery.account_id, subject=recovery.pk, why=why, **details
    )
