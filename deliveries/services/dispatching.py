"""The dispatcher: claims what is due, sends it, records what came of it. One thread in each process."""

import logging
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from deliveries.identifiers import new_id
from deliveries.models import Delivery, Recovery, databases
from deliveries.reasons import Reason
from deliveries.services import (
    composing,
    egress,
    following,
    guarding,
    recording,
    recovering,
    tending,
    watchdog,
)
from deliveries.services.heartbeats import Heart
from deliveries.services.recording import Result
from deliveries.transport import Exchange, Request, Transport, TransportError

logger = logging.getLogger(__name__)

# Results are written when the oldest has waited this long, or when there are this many or a quarter of the
# slots, or when nothing else is under way. It bounds how many attempts are repeated after a crash; and until
# a result is written it keeps its webhook from sending more, whatever hangs beside it.
RECORD_AFTER = 0.1
RECORD_AT = 50
# With fewer free slots than this share, a claim waits a little: one for many costs what one for one does.
WORTHWHILE = 0.25
WORTHWHILE_AFTER = 0.1
# Of the slots of a process, what one webhook has at most: the rest is for the others, however slow it is.
SHARE = 0.25
# How often to look for circuits with a step to take, and for what a race has left behind, in seconds.
TEND_EVERY = 1.0
SWEEP_EVERY = 30.0
# How often to look whether the days ahead have their place, in seconds: days before it matters.
MAKE_DAYS_EVERY = 3600.0
# How long a sweep goes on at most, and each part of the tending, but for what it is at: claims wait then.
TENDING = 0.2
# How long to leave a database alone that has failed us, in seconds: the first time, and at most. An outage of
# an hour is a thousand failures, and no float holds 2 to that power.
DOUBLINGS = 10
BACK_OFF = (0.5, 3.0)
# The same for claims, where this machine had no socket or thread left to send what was claimed.
SHORTAGE = (1.0, 10.0)

Clock = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sent:
    delivery: Delivery
    request: Request
    started_at: datetime
    overdue_at: float
    """The moment of the monotonic clock at which not only its time but its lease is over."""


class Dispatcher:
    """Delivers what is due, with as many exchanges under way as its transport has slots.

    All but `catch_up` and `stop` belong to the one thread that runs it.
    """

    def __init__(self, *, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._heart = Heart(slots=transport.slots)
        self._jitter = random.Random()  # noqa: S311 - spreads load, keeps no secret
        self._under_way: dict[UUID, _Sent] = {}
        self._results: list[Result] = []
        # How many of them each webhook has that others keep from being written.
        self._left: Counter[UUID] = Counter()
        self._news = following.Inbox()
        self._turns = 0
        self._after = UUID(int=0)
        # The token of a claim of which nothing has been sent yet.
        self._token: UUID | None = None
        # Leases of what could not be sent, for want of resources, and is to be given back.
        self._unsent: dict[UUID, UUID | None] = {}
        self._failures_in_a_row = self._shortages_in_a_row = 0
        # Moments of the monotonic clock: when to claim and to record next, when a claim was last made, and
        # until when the database is left alone.
        self._claim_at = self._claimed_at = self._record_at = self._resume_at = 0.0
        self._tend_at = 0.0
        # The recoveries this process keeps going, the one whose turn is next first, and when that is.
        self._recoveries: deque[Recovery] = deque()
        self._recover_at = 0.0
        self._sweep_at = time.monotonic() + SWEEP_EVERY * self._jitter.uniform(0.0, 1.0)
        self._make_days_at = 0.0
        # Until when results are left alone whose rows somebody else holds.
        self._resume_recording_at = 0.0
        # Until when nothing is claimed, because this machine could not send it.
        self._resume_claiming_at = 0.0
        # Claims are numbered. Everything due when claim number `_caught_up_with` began has been claimed.
        self._claims_begun = self._caught_up_with = 0
        self._caught_up = threading.Condition()
        # Whether the last claim found nothing, with nothing under way that kept a webhook from having more.
        self._idle = False
        self._stopping = threading.Event()
        self._stopped_at = 0.0
        self._rung = threading.Event()

    def run(self) -> None:
        """Deliver until `stop` is called, then finish what is under way and record it."""
        with self._watched():
            while not self._stopping.is_set():
                self._turn()
            self._drain()
            self._heart.stop()
        self._transport.close()
        connection.close()

    def run_until_idle(self, *, budget: timedelta) -> bool:
        """Deliver until nothing is due, under way or unrecorded.

        False when the budget ran out before, or `stop` was called; `stop` and `run` then finish what is under
        way.
        """
        deadline = time.monotonic() + budget.total_seconds()
        self._idle = False
        self._claim_at = 0.0
        with self._watched():
            while time.monotonic() < deadline and not self._stopping.is_set():
                self._turn()
                if self._idle:
                    return True
        return False

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is under way is done, or its time to drain is over.

        Safe from any thread, and from a signal handler. Called again, it changes nothing.
        """
        if self._stopping.is_set():
            return
        self._stopped_at = time.monotonic()
        self._stopping.set()
        with self._caught_up:
            self._caught_up.notify_all()
        self._transport.wake()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def catch_up(self, *, timeout: timedelta) -> bool:
        """Look for due deliveries now instead of at the next poll, and wait until all that is due at this
        moment has been claimed, or will not be: `stop` was called. Safe from any thread.

        False after the timeout.
        """
        with self._caught_up:
            # Before anybody is woken: the claim that follows may be over by the time this thread goes on.
            begun = self._claims_begun
        self._rung.set()
        self._transport.wake()
        with self._caught_up:
            return self._caught_up.wait_for(
                lambda: self._caught_up_with > begun or self._stopping.is_set(),
                timeout=timeout.total_seconds(),
            )

    def _watched(self) -> AbstractContextManager[None]:
        """Have the process end when this thread turns no more, or to no end.

        A ring it hears would not make it turn.
        """
        return watchdog.watching(lambda: self._turns, patience=settings.WEBHOOKS_WATCHDOG)

    def _turn(self) -> None:
        """Do what is to be done now, and wait for something to happen."""
        if not self._has_lost_all():
            self._turns += 1
        with self._going_on():
            if self._rung.is_set():
                self._rung.clear()
                self._claim_at = 0.0
            if self._may_tend() and time.monotonic() >= max(self._tend_at, self._resume_at):
                self._tend()
            if self._may_recover() and time.monotonic() >= max(self._recover_at, self._resume_at):
                self._recover()
            if self._free() and time.monotonic() >= self._may_claim_at():
                self._claim()
            self._collect(self._patience())
            self._give_back()
            self._record_if_due()
            self._follow_up()
            self._beat()

    def _drain(self) -> None:
        deadline = self._stopped_at + settings.WEBHOOKS_DRAIN_TIMEOUT.total_seconds()
        while self._has_something_left() and time.monotonic() < deadline:
            self._turns += 1
            with self._going_on():
                self._collect(RECORD_AFTER)
                self._give_back()
                self._record_if_due()
                self._follow_up()
                self._beat()
        if self._under_way:
            # Their connections end with this process, so whoever comes next need not wait for the leases.
            leases = {sent.delivery.pk: sent.delivery.lease_token for sent in self._under_way.values()}
            with self._going_on():
                Delivery.objects.abandon(leases, now=self._clock())
        if self._under_way or self._results or self._news:
            logger.warning(
                "Stopped before everything was done",
                extra={
                    "event": "dispatcher.stopped",
                    "under_way": len(self._under_way),
                    "unrecorded": len(self._results),
                    "unfollowed": len(self._news),
                },
            )

    def _has_lost_all(self) -> bool:
        """Whether no slot will ever be free again: the engine owes every exchange for longer than it may."""
        under_way, now = self._under_way.values(), time.monotonic()
        return len(under_way) >= self._transport.slots and all(now >= sent.overdue_at for sent in under_way)

    def _has_something_left(self) -> bool:
        return bool(self._under_way or self._unsent or self._results or self._news or self._token)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Survive whatever goes wrong in the block: the other deliveries must go on."""
        try:
            yield
        except DatabaseError as error:
            self._heart.worker.database_errors += 1
            passes = databases.is_away(error) or databases.is_busy(error)
            logger.log(
                logging.WARNING if passes else logging.ERROR,
                "The database failed us",
                extra={"event": "database.failed", "error": type(error).__name__},
                exc_info=not passes or logger.isEnabledFor(logging.DEBUG),
            )
            self._back_off()
        except Exception:
            logger.exception("The dispatcher goes on", extra={"event": "dispatcher.failed"})
            self._back_off()

    def _free(self) -> int:
        """Return how many more requests may be made; none while results pile up that cannot be written."""
        if self._failures_in_a_row and self._results:
            # Their leases may be over by now: claimed again before they are written, they are sent twice.
            return 0
        slots = self._transport.slots
        return slots - len(self._under_way) if len(self._results) < 2 * slots else 0

    def _may_tend(self) -> bool:
        """Whether to look after the rest: after trouble, which may be of that, not before the queue moves."""
        return not self._failures_in_a_row

    def _may_recover(self) -> bool:
        return bool(self._recoveries) and self._may_tend()

    def _may_claim_at(self) -> float:
        """Return the moment of the next claim; there must be a free slot by then."""
        moment = max(self._claim_at, self._resume_at, self._resume_claiming_at)
        if self._free() < self._transport.slots * WORTHWHILE:
            moment = max(moment, self._claimed_at + WORTHWHILE_AFTER)
        return moment

    def _may_record_at(self) -> float:
        """Return the moment of the next record; there must be a result by then."""
        enough = min(RECORD_AT, self._transport.slots * WORTHWHILE)
        at_once = len(self._results) >= enough or not self._under_way
        return max(0.0 if at_once else self._record_at, self._resume_recording_at, self._resume_at)

    def _patience(self) -> float:
        """Return for how long nothing needs doing unless something finishes, in seconds."""
        poll_at = time.monotonic() + settings.WEBHOOKS_POLL_INTERVAL.total_seconds()
        moments = [poll_at]
        if self._may_tend():
            moments.append(max(self._tend_at, self._resume_at))
        if self._may_recover():
            moments.append(max(self._recover_at, self._resume_at))
        if self._free():
            moments.append(self._may_claim_at())
        if self._results:
            moments.append(self._may_record_at())
        if self._news:
            moments.append(max(self._news.ready_at, self._resume_at))
        return max(0.0, min(moments) - time.monotonic())

    def _claim(self) -> None:
        with self._caught_up:
            self._claims_begun += 1
            number = self._claims_begun
        free = self._free()
        self._give_back()
        began = self._claimed_at = time.monotonic()
        now = self._heart.worker.claimed_at = self._clock()
        self._token = new_id()
        claimed = Delivery.objects.claim_due(
            now=now,
            limit=free,
            grace=settings.WEBHOOKS_LEASE_GRACE,
            after=self._after,
            share=share(self._transport.slots),
            taken=self._left + Counter(sent.delivery.webhook_id for sent in self._under_way.values()),
            token=self._token,
        )
        self._failures_in_a_row = 0
        self._after = claimed.last
        self._idle = False
        deliveries = self._with_one_last_chance(claimed.deliveries)
        if time.monotonic() - began > settings.WEBHOOKS_LEASE_GRACE.total_seconds() / 2:
            # The database was so slow that the leases may end before the results are written.
            self._give_back()
            return
        self._token = None
        self._idle = not (claimed.deliveries or claimed.again or self._has_something_left())
        for delivery in deliveries:
            self._send(delivery)
        if claimed.again or len(deliveries) == free:
            self._claim_at = 0.0
            return
        interval = settings.WEBHOOKS_POLL_INTERVAL.total_seconds()
        self._claim_at = time.monotonic() + interval * self._jitter.uniform(0.8, 1.2)
        with self._caught_up:
            self._caught_up_with = number
            self._caught_up.notify_all()

    def _give_back(self) -> None:
        """Give back what was claimed and never sent: the claim ended in an error, or resources were short."""
        if time.monotonic() < self._resume_at:
            return
        if self._unsent:
            Delivery.objects.abandon(self._unsent, now=self._clock())
            self._unsent = {}
        if self._token is not None:
            Delivery.objects.hand_back(token=self._token, now=self._clock())
            self._token = None

    def _tend(self) -> None:
        """Look after what is held and what is to be recorded, and claim at once what was let go."""
        now, moment = self._clock(), time.monotonic()
        self._tend_at = moment + TEND_EVERY * self._jitter.uniform(0.8, 1.2)
        if tending.tend(now=now, budget=partial(_for, TENDING)):
            self._claim_at = 0.0
        if moment >= self._sweep_at:
            self._sweep_at = moment + SWEEP_EVERY * self._jitter.uniform(0.8, 1.2)
            if tending.sweep(now=now, go_on=_for(TENDING)):
                self._sweep_at = 0.0
        kept = [recovery.pk for recovery in self._recoveries]
        self._recoveries += recovering.take_up(but_for=kept, now=now)
        if moment >= self._make_days_at:
            self._make_days_at = moment + MAKE_DAYS_EVERY * self._jitter.uniform(0.8, 1.2)
            with guarding.going_on("make_days"):
                databases.make_days(now=now)

    def _recover(self) -> None:
        """Do a slice of one of the recoveries, and have what it queues claimed each in its moment.

        One a turn, so that claims do not wait behind many; each has its turn once in a slice's time.
        """
        slice_takes = recovering.SLICE.total_seconds()
        self._recover_at = time.monotonic() + slice_takes / len(self._recoveries)
        recovery = self._recoveries.popleft()
        if recovering.advance(recovery, now=self._clock()):
            self._recoveries.append(recovery)
        self._claim_at = min(self._claim_at, self._claimed_at + slice_takes)

    def _with_one_last_chance(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Return what to send now of what was claimed, and hand back the rest.

        One that kills its workers takes along all that is under way beside it. Those come back together and
        would be set aside together: so of those on their last try only one is under way, among all others.
        """
        last_chances = [delivery for delivery in deliveries if delivery.claims == Delivery.MAX_CLAIMS]
        if not last_chances:
            return deliveries
        held = [sent.delivery for sent in self._under_way.values()]
        held += [result.delivery for result in self._results]
        taken = any(delivery.claims == Delivery.MAX_CLAIMS for delivery in held)
        later = {delivery.pk for delivery in last_chances[0 if taken else 1 :]}
        if later:
            Delivery.objects.filter(pk__in=later).hand_back(token=self._token, now=self._clock())
        return [delivery for delivery in deliveries if delivery.pk not in later]

    def _send(self, delivery: Delivery) -> None:
        now = self._clock()
        if delivery.claims > Delivery.MAX_CLAIMS:
            self._give_up(delivery, Reason.WORKER_KILLED, now=now)
            return
        try:
            request = composing.compose(delivery, at=now)
        except Exception:
            logger.exception(
                "No request could be made",
                extra={"event": "delivery.uncomposable", "delivery_id": delivery.pk},
            )
            self._give_up(delivery, Reason.INVALID_REQUEST, now=now)
            return
        key = new_id()
        lasts = request.timeout + settings.WEBHOOKS_LEASE_GRACE
        self._under_way[key] = _Sent(
            delivery=delivery,
            request=request,
            started_at=now,
            overdue_at=time.monotonic() + lasts.total_seconds(),
        )
        self._transport.submit(key, request)

    def _give_up(self, delivery: Delivery, reason: Reason, *, now: datetime) -> None:
        """Note an attempt that was not made."""
        self._keep(
            Result(
                delivery=delivery,
                request=None,
                started_at=now,
                duration=timedelta(0),
                outcome=TransportError(reason),
            )
        )

    def _collect(self, patience: float) -> None:
        exchanges = self._transport.collect(timedelta(seconds=patience))
        unsent = 0
        for exchange in exchanges:
            sent = self._under_way.pop(exchange.key)
            if _was_short(exchange):
                self._unsent[sent.delivery.pk] = sent.delivery.lease_token
                unsent += 1
                continue
            self._keep(
                Result(
                    delivery=sent.delivery,
                    request=sent.request,
                    started_at=sent.started_at,
                    duration=exchange.duration,
                    outcome=exchange.outcome,
                    timings=exchange.timings,
                    remote_address=exchange.remote_address,
                )
            )

        if unsent:
            self._run_short(unsent)
        elif exchanges and time.monotonic() >= self._resume_claiming_at:
            self._shortages_in_a_row = 0

    def _run_short(self, unsent: int) -> None:
        """Claim nothing for a while, longer each time, unless that is so already."""
        if time.monotonic() < self._resume_claiming_at:
            return
        wait = self._wait_after(self._shortages_in_a_row, SHORTAGE)
        self._shortages_in_a_row += 1
        self._resume_claiming_at = time.monotonic() + wait
        self._claim_at = 0.0
        logger.warning(
            "This machine is out of resources",
            extra={"event": "dispatcher.out_of_resources", "unsent": unsent, "for_seconds": round(wait, 3)},
        )

    def _keep(self, result: Result) -> None:
        if not self._results:
            self._record_at = time.monotonic() + RECORD_AFTER
        self._results.append(result)

    def _record_if_due(self) -> None:
        if not self._results or time.monotonic() < self._may_record_at():
            return
        now = self._clock()
        recorded = recording.record(self._results, now=now, jitter=self._jitter)
        written = len(self._results) - len(recorded.left) - recorded.fenced
        if written:
            self._heart.worker.recorded_at = now
        self._heart.worker.recorded += written
        self._heart.worker.fenced += recorded.fenced
        if recorded.fenced:
            logger.warning(
                "Results of old claims dropped",
                extra={"event": "result.fenced", "count": recorded.fenced},
            )
        self._results = recorded.left
        self._left = Counter(result.delivery.webhook_id for result in recorded.left)
        self._news.add(recorded.news)
        if recorded.trouble is not None:
            raise recorded.trouble
        self._failures_in_a_row = 0
        self._record_at = time.monotonic() + RECORD_AFTER
        if recorded.left:
            # Somebody holds their rows; asking all the time would not make that shorter.
            self._resume_recording_at = self._record_at
        # What has been written no longer counts as under way for its webhook, which may have more waiting.
        self._claim_at = 0.0

    def _follow_up(self) -> None:
        if self._news and time.monotonic() >= self._resume_at:
            self._news.follow(now=self._clock(), jitter=self._jitter)

    def _beat(self) -> None:
        if time.monotonic() >= self._resume_at:
            self._heart.beat(now=self._clock(), under_way=len(self._under_way), unrecorded=len(self._results))

    def _back_off(self) -> None:
        """Leave the database alone for a while, longer each time, and start again on a fresh connection."""
        wait = self._wait_after(self._failures_in_a_row, BACK_OFF)
        self._failures_in_a_row += 1
        connection.close()
        self._resume_at = time.monotonic() + wait

    def _wait_after(self, in_a_row: int, bounds: tuple[float, float]) -> float:
        """Return for how long to leave alone what has failed so often in a row before, in seconds."""
        first, most = bounds
        return min(first * 2.0 ** min(in_a_row, DOUBLINGS), most) * self._jitter.uniform(0.8, 1.2)


def _for(seconds: float) -> Callable[[], bool]:
    """Return what says yes for so long from now on."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until


def _was_short(exchange: Exchange) -> bool:
    """Tell whether this machine could not send it, and so made no attempt."""
    outcome = exchange.outcome
    return isinstance(outcome, TransportError) and outcome.reason is Reason.NO_RESOURCES


def share(slots: int) -> int:
    """Return how many of a process's slots one webhook has at most."""
    return max(1, int(slots * SHARE))


def build(*, clock: Clock) -> Dispatcher:
    """Return a dispatcher as the settings want it, for the caller's thread to run."""
    egress.allow_many_files()
    return Dispatcher(transport=egress.transport(slots=settings.WEBHOOKS_SLOTS), clock=clock)


class _Running:
    """A dispatcher with the thread that runs it."""

    def __init__(self, clock: Clock) -> None:
        self.dispatcher = build(clock=clock)
        self.thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.dispatcher.run()
        except BaseException as error:
            # The rest of the process would look alive and deliver nothing.
            watchdog.end(partial(_say_it_died, error))


def _say_it_died(error: BaseException) -> None:
    extra = {"event": "dispatcher.died"}
    logger.critical("The dispatcher died; this process ends", extra=extra, exc_info=error)


# By process, because no thread survives a fork.
_running: dict[int, _Running] = {}


def start(*, clock: Clock) -> Dispatcher:
    """Return this process's dispatcher, started in a thread of its own when it was not running yet."""
    pid = os.getpid()
    if pid not in _running:
        _running[pid] = _Running(clock)
    return _running[pid].dispatcher


def begin_stop() -> None:
    """Have this process's dispatcher, if there is one, claim nothing more, and do not wait for it."""
    running = _running.get(os.getpid())
    if running is not None:
        running.dispatcher.stop()


def stopping() -> bool:
    """Tell whether this process's dispatcher has been told to stop."""
    running = _running.get(os.getpid())
    return running is not None and running.dispatcher.stopping


def stop() -> None:
    """Stop this process's dispatcher, if there is one, and wait until what it had under way is recorded."""
    begin_stop()
    running = _running.pop(os.getpid(), None)
    if running is not None:
        running.thread.join()
