"""A trial: events are published at a steady pace and followed to where they arrive."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, connection

from deliveries import clock
from deliveries.management import arguments
from deliveries.management.verifying.outcome import Outcome, count
from deliveries.management.verifying.receiving import Arrival, Receiver
from deliveries.models import Account, Delivery, Failure, Webhook
from deliveries.services import publishing, removing, webhooks

BY = "manage.py verify"
EVENT_TYPE = "webhooks.verify"
# Seconds a receiver of ours gets, which answers at once; the lease of a worker that is killed lasts longer by
# the grace.
TIMEOUT = 5
# Beside the lease: what is due again is claimed, waits its turn, and is sent.
_MARGIN = timedelta(seconds=15)
# The leases of a worker that is killed take no room from the others.
_MAX_IN_FLIGHT = 200
_LOOK = 0.1
_TRIES = 20
# A run publishes at least one event a second, and then waits for as long as somebody says: one that has
# published none for longer than anybody can say is over.
_OVER_AFTER = timedelta(seconds=arguments.MOST) + timedelta(hours=1)


@dataclass(kw_only=True)
class Trial:
    """Events published to one account, and what has become of them so far.

    :param stop: once set, nothing more is published or waited for.
    :param tell: called now and then with how many have arrived.
    """

    account: Account
    receiver: Receiver
    stop: threading.Event
    tell: Callable[[int], None]
    published: dict[str, datetime] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def publish(self, events: int, *, rate: int, halfway: Callable[[], None]) -> None:
        """Publish so many events, `rate` a second, however long each takes to arrive.

        :param halfway: called when half of them are published.
        """
        begun = time.monotonic()
        for number in range(events):
            if self.stop.wait(max(0.0, begun + number / rate - time.monotonic())):
                return
            if number == events // 2:
                halfway()
            now = clock.now()
            publication = publishing.publish(
                account=self.account, event_type=EVENT_TYPE, payload={"number": number + 1}, now=now
            )
            event_id = str(publication.event.pk)
            self.published[event_id] = now
            self.missing.add(event_id)
            if number % rate == 0:
                self._look()

    def follow(self, *, patience: timedelta) -> None:
        """Wait until everything has arrived and was written down, but no longer than our patience lasts."""
        deadline = time.monotonic() + patience.total_seconds()
        # A worker that was killed leaves deliveries that have arrived, and will once more.
        unfinished = Delivery.objects.unfinished().filter(account=self.account)
        self._look()
        while (self.missing or unfinished.exists()) and time.monotonic() < deadline:
            if self.stop.wait(_LOOK):
                break
            self._look()
        self._look()

    def outcome(self, *, wanted: int, killed: int | None) -> Outcome:
        """Return the figures of what has happened so far."""
        reasons = Counter(Failure.objects.filter(account=self.account).values_list("reason", flat=True))
        told = [f"{times} x {reason}" for reason, times in reasons.most_common() if reason]
        return count(self.published, self.arrivals, wanted=wanted, killed=killed, reasons=told)

    def _look(self) -> None:
        news = self.receiver.news()
        self.arrivals += news
        self.missing -= {arrival.event_id for arrival in news}
        self.tell(len(self.published) - len(self.missing))


def usual_patience() -> timedelta:
    """Return how long to wait for stragglers: those of a dead worker come when its leases have run out."""
    poll: timedelta = settings.WEBHOOKS_POLL_INTERVAL
    grace: timedelta = settings.WEBHOOKS_LEASE_GRACE
    return timedelta(seconds=TIMEOUT) + grace + poll + _MARGIN


def remove_left_behind() -> int:
    """Remove the accounts of runs that were killed before they could do it, and return how many."""
    quiet_since = clock.now() - _OVER_AFTER
    ours = Account.objects.filter(name=BY, created_at__lt=quiet_since)
    left_behind = list(ours.exclude(events__created_at__gte=quiet_since))
    for account in left_behind:
        _clear(account)
    return len(left_behind)


@contextmanager
def throw_away_account(*, url: str, secret: str) -> Iterator[Account]:
    """Give an account with a webhook that points there, and remove it with all that has become of it.

    Where the database ends the trial and is still away, the account stays behind, and a later run removes it.

    :raises deliveries.services.webhooks.InvalidWebhook: the address policy does not let us send there.
    """
    now = clock.now()
    account = Account.objects.create(name=BY, open_event_types=True, created_at=now)
    try:
        webhooks.create(
            account=account, by=BY, now=now, name=BY, url=url, secret=secret, events=["*"],
            timeout=TIMEOUT, max_in_flight=_MAX_IN_FLIGHT,
        )  # fmt: skip
        yield account
    except DatabaseError:
        # Perhaps it was only the connection.
        connection.close_if_unusable_or_obsolete()
        with suppress(DatabaseError):
            _clear(account)
        raise
    except BaseException:
        _clear(account)
        raise
    else:
        _clear(account)


def _clear(account: Account) -> None:
    """Let nothing more be sent, and remove the account."""
    for webhook in Webhook.objects.existing().filter(account=account):
        webhooks.delete(webhook, by=BY, now=clock.now())
    _remove(account)


def _remove(account: Account) -> None:
    """Remove the account. A worker that writes down a result at that moment is waited for.

    :raises django.db.IntegrityError: one did so every time.
    """
    for _ in range(_TRIES - 1):
        try:
            removing.remove(account.pk)
            return
        except IntegrityError:
            time.sleep(_LOOK)
    removing.remove(account.pk)
