"""Tailing: attempts as they are recorded, each once.

Nothing says in which order they were recorded: their ids are of the moment they were queued, and one that
runs into its timeout is recorded two minutes after one that began with it. So what has ended lately is looked
at again and again, and what was told before is left out.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from uuid import UUID

from deliveries.models import Attempt, Delivery, Webhook, databases
from deliveries.reasons import Reason

# What is recorded so long after its end is still told. Workers take a tenth of a second, unless the database
# keeps them waiting.
LATE = timedelta(seconds=10)
# What ended so long ago is not told any more, should nobody have looked meanwhile.
AWAY = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Told:
    """An attempt, without what was sent and what came back.

    :param reason: why it failed; None where it did not.
    :param event_type: empty, as the name of the webhook, where the rows are gone.
    """

    id: UUID
    started_at: datetime
    duration: timedelta
    number: int
    reason: Reason | None
    http_status: int | None
    delivery_id: UUID
    event_type: str
    webhook_id: UUID
    webhook_name: str


@dataclass(frozen=True, kw_only=True)
class News:
    """What was recorded since the last look.

    :param attempts: in the order they began.
    :param left_out: how many there were beside them.
    :param missing_before: what had ended before then is missing; None where nothing is.
    """

    attempts: Sequence[Told]
    left_out: int
    missing_before: datetime | None


class Tail:
    """The log of attempts from its end on.

    :param failed: only those that did.
    :param webhook: only those to this one.
    """

    def __init__(self, *, failed: bool, webhook: UUID | None, now: datetime) -> None:
        self._wanted = Attempt.objects.all()
        if failed:
            self._wanted = self._wanted.filter(succeeded=False)
        if webhook is not None:
            self._wanted = self._wanted.filter(webhook=webhook)
        # It only grows, so what is no longer among those that ended since need not be remembered.
        self._since = now - LATE
        self._told: Set[UUID] = frozenset()

    def last(self, *, most: int, since: datetime, now: datetime) -> Sequence[Told]:
        """Return the newest attempts that began since a moment; what is there by now is no news any more."""
        with databases.unhurried():
            old = self._ended()
            newest = self._newest(most, since=since, now=now)
            # What was recorded in between is in the second only.
            self._told = {*old, *newest}
            return _tell(newest)

    def news(self, *, most: int, now: datetime) -> News:
        """Return what was recorded since the last look; of more than so many, those that began last."""
        wanted_since, self._since = self._since, max(self._since, now - AWAY)
        missing_before = self._since if self._since > wanted_since else None
        ended = self._ended()
        news = {pk: began for pk, began in ended.items() if pk not in self._told}
        attempts = _tell(nlargest(most, news, key=news.__getitem__))
        self._told, self._since = ended.keys(), max(self._since, now - LATE)
        return News(attempts=attempts, left_out=len(news) - len(attempts), missing_before=missing_before)

    def _ended(self) -> Mapping[UUID, datetime]:
        """Return what ended since the last look, and a little before it, each with when it began."""
        return dict(self._wanted.ended_since(self._since).values_list("pk", "started_at"))

    def _newest(self, most: int, *, since: datetime, now: datetime) -> Sequence[UUID]:
        """Return the newest that began since a moment, which mostly are among those of the last minutes."""
        found: Sequence[UUID] = ()
        for begin in (max(since, now - AWAY), since):
            began = self._wanted.filter(started_at__gt=begin).order_by("-started_at", "-pk")
            found = list(began.values_list("pk", flat=True)[:most])
            if len(found) == most:
                break
        return found


def _tell(ids: Collection[UUID]) -> Sequence[Told]:
    """Return attempts in the order they began."""
    if not ids:
        return ()
    attempts = Attempt.objects.filter(pk__among=ids).order_by("started_at", "pk")
    rows = attempts.values_list(
        "pk",
        "started_at",
        "duration",
        "number",
        "reason_code",
        "http_status",
        "delivery",
        "webhook",
        named=True,
    )
    types = dict(
        Delivery.objects.filter(pk__among={row.delivery for row in rows}).values_list("pk", "event__type")
    )
    names = dict(Webhook.objects.filter(pk__among={row.webhook for row in rows}).values_list("pk", "name"))
    return [
        Told(
            id=row.pk,
            started_at=row.started_at,
            duration=row.duration,
            number=row.number,
            reason=Reason(row.reason_code) if row.reason_code else None,
            http_status=row.http_status,
            delivery_id=row.delivery,
            event_type=types.get(row.delivery, ""),
            webhook_id=row.webhook,
            webhook_name=names.get(row.webhook, ""),
        )
        for row in rows
    ]
