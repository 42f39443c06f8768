"""Staffing: which processes deliver, which have fallen silent, and what beat has had done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deliveries.models import Chore, Worker

# More workers are not listed; those that fell silent come first.
LISTED = 200


@dataclass(frozen=True, kw_only=True)
class Member:
    """A worker of the last day.

    :param silent: it was not seen lately, and did not stop in good order.
    """

    worker: Worker
    silent: bool


@dataclass(frozen=True, kw_only=True)
class Duty:
    """A chore of beat's.

    :param done_at: when it was last done; None where it never was.
    :param late: it should have been done since. One that never was has as long as the oldest worker is there.
    """

    name: str
    done_at: datetime | None
    late: bool


@dataclass(frozen=True, kw_only=True)
class Staff:
    """Who works here, and what was done.

    :param more: whether there are workers that are not listed.
    """

    members: Sequence[Member]
    more: bool
    duties: Sequence[Duty]


def staff(*, now: datetime) -> Staff:
    """Return the workers of the last day and the chores."""
    # Who was seen longest ago comes first: an index has them in this order.
    found = list(Worker.objects.filter(seen_at__gt=now - Worker.KEPT).order_by("seen_at", "pk")[: LISTED + 1])
    members = [
        Member(worker=worker, silent=worker.seen_at <= now - Worker.SILENT_AFTER) for worker in found[:LISTED]
    ]
    members.sort(key=lambda each: (not each.silent, each.worker.host, each.worker.pid, each.worker.pk))
    started = [each.worker.started_at for each in members if not each.silent]
    since = min(started, default=now)
    done = Chore.objects.last_done()
    return Staff(
        members=members,
        more=len(found) > LISTED,
        duties=[
            Duty(name=name, done_at=done[name], late=now - (done[name] or since) > Chore.LATE_AFTER[name])
            for name in Chore.Name
        ],
    )
