"""Circuits under several processes at once; threads with connections of their own stand for them."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from deliveries.models import Account, Delivery, Pause, Webhook, WebhookHealth
from deliveries.models.health import Tally
from deliveries.reasons import Reason
from deliveries.services import composing, pausing, publishing, redelivery, tending, webhooks
from deliveries.services.recording import Result
from deliveries.transport import TransportError
from tests import builders
from tests.services.fakes import a_reply, record_and_follow
from tests.somebody_else import holding
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

SECONDS = 3.0
EVERYTHING = {"record", "step", "change", "publish", "redeliver", "pause"}
PATIENCE = 60.0
# So many seconds pass for the rows in one of ours, so that leases run out while results are on their way.
PACE = 200
# The receivers are there for so many seconds of ours, and then away for as many.
SPELL = 0.3
REFUSED = TransportError(Reason.CONNECTION_REFUSED)


def wait_longer_for_locks() -> None:
    """Have this connection wait for a lock for so long that it tells, and is no failure on a busy machine."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '9s'")


def together(*acts: Callable[[], object]) -> list[object]:
    """Do all of them at the same moment, each with a connection of its own."""
    barrier = threading.Barrier(len(acts))

    def do(act: Callable[[], object]) -> object:
        try:
            wait_longer_for_locks()
            barrier.wait(20)
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(do, acts))


class TestStep:
    @pytest.mark.parametrize("turn", range(5))
    def test_of_two_processes_lets_one_probe_go(self, turn: int, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 20, status=Delivery.Status.HELD)
        WebhookHealth.objects.update(circuit="open", circuit_since=now, next_step_at=now)

        gone = together(*[lambda: tending.tend(now=now)] * 4)

        assert sorted(map(str, gone)) == ["0", "0", "0", "1"]
        assert Delivery.objects.filter(status="pending").count() == 1


class TestStepBesideARecorder:
    """Recorders hold deliveries while they wait for the health: who holds that must not wait for those."""

    @pytest.fixture(autouse=True)
    def patience(self) -> Iterator[None]:
        wait_longer_for_locks()
        yield
        connection.close()

    def test_lets_another_go_than_the_one_somebody_holds(
        self, now: datetime, within: Callable[[float], None]
    ) -> None:
        webhook = builders.a_webhook()
        oldest, next_one = (
            builders.a_delivery(webhook, status="held", due_at=now - minutes * timedelta(minutes=1))
            for minutes in (2, 1)
        )
        WebhookHealth.objects.update(circuit="open", circuit_since=now, next_step_at=now)

        with holding(oldest):
            tending.tend(now=now)

        assert Delivery.objects.get(status="pending") == next_one
        within(8)  # less than a lock is waited for

    def test_holds_all_but_what_somebody_holds(self, now: datetime, within: Callable[[float], None]) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3)
        held = builders.a_delivery(webhook)

        with holding(held):
            webhooks.disable(webhook.pk, reason="Maintenance.", by="a test", now=now)

        assert Delivery.objects.get(status="pending") == held
        within(8)  # less than a lock is waited for


class _Bustle:
    """Everybody who touches webhooks, healths and deliveries, for a few seconds."""

    def __init__(self, account: Account, hooks: list[Webhook]) -> None:
        self._account, self._hooks = account, hooks
        self._began = time.monotonic()
        self.done: list[str] = []

    def now(self) -> datetime:
        """Return the time of the rows."""
        return builders.NOW + (time.monotonic() - self._began) * PACE * timedelta(seconds=1)

    def is_up(self) -> bool:
        return (time.monotonic() - self._began) // SPELL % 2 == 0

    def goes_on(self) -> bool:
        """Tell whether it is not over yet; on a busy machine not before everything was done once."""
        seconds = time.monotonic() - self._began
        return seconds < SECONDS or (seconds < PATIENCE and not set(self.done) >= EVERYTHING)

    def record(self, seed: int) -> None:
        chance = random.Random(seed)
        while self.goes_on():
            claimed = builders.claim(self.now(), limit=20)
            time.sleep(chance.choice([0.0, 0.0, 0.0, 0.2]))
            results = [
                Result(
                    delivery=delivery,
                    request=composing.compose(delivery, at=self.now()),
                    started_at=self.now(),
                    duration=timedelta(0),
                    outcome=a_reply() if self.is_up() and chance.random() < 0.9 else REFUSED,
                )
                for delivery in claimed
            ]
            record_and_follow(results, now=self.now(), jitter=chance)
            self.done += ["record"] * bool(results)

    def tend(self) -> None:
        while self.goes_on():
            self.done += ["step"] * bool(tending.tend(now=self.now()))
            tending.sweep(now=self.now())

    def change(self) -> None:
        chance = random.Random(2)
        while self.goes_on():
            webhook = Webhook.objects.get(pk=chance.choice(self._hooks).pk)
            webhooks.toggle(webhook, by="a test", now=self.now())
            webhooks.change(webhook, by="a test", now=self.now(), enabled=True)
            webhooks.change(webhook, by="a test", now=self.now(), url=builders.URL + str(chance.random()))
            self.done.append("change")

    def publish(self) -> None:
        while self.goes_on():
            publishing.publish(account=self._account, event_type="call.ended", payload={}, now=self.now())
            self.done.append("publish")

    def redeliver(self) -> None:
        while self.goes_on():
            for delivery in Delivery.objects.filter(status="failed")[:5]:
                with suppress(redelivery.NotRedeliverable):
                    redelivery.redeliver(delivery, by="a test", now=self.now())
                    self.done.append("redeliver")

    def pause(self) -> None:
        """Half of them are ended by the clock, where somebody tends."""
        chance = random.Random(3)
        while self.goes_on():
            pause = pausing.pause(
                account=self._account,
                webhook_id=chance.choice([None, self._hooks[0].pk]),
                until=self.now() + timedelta(seconds=10),
                why="To see.",
                by="a test",
                now=self.now(),
            )
            if chance.random() < 0.5:
                with suppress(pausing.AlreadyEnded):
                    pausing.resume(pause, by="a test", now=self.now())
            wait_until(lambda pk=pause.pk: not self._is_in_force(pk), what="the end of the pause")  # type: ignore[misc]
            self.done.append("pause")

    def _is_in_force(self, pk: UUID) -> bool:
        return self.goes_on() and Pause.objects.filter(pk=pk, ended_at=None).exists()


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.rowcount > 0)


class TestLockOrder:
    def test_of_healths_is_that_of_their_ids(self, now: datetime) -> None:
        results = [
            Result(
                delivery=builders.a_claimed_delivery(),
                request=None,
                started_at=now,
                duration=timedelta(0),
                outcome=REFUSED,
            )
            for _ in range(4)
        ]
        first, *_ = WebhookHealth.objects.order_by("pk")
        others = WebhookHealth.objects.exclude(pk=first.pk)

        def record() -> None:
            record_and_follow(results, now=now, jitter=random.Random(1))
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            with holding(first):
                recorded = pool.submit(record)
                wait_until(somebody_waits, what="the recorder")
                with transaction.atomic():
                    free = len(others.select_for_update(skip_locked=True))
            recorded.result()

        # Who waits for the first of them has none of the rest yet.
        assert free == 3

    def test_of_healths_is_kept_at_the_end_of_a_pause(self, now: datetime) -> None:
        account = builders.an_account()
        first, _ = sorted((builders.a_webhook(account) for _ in range(2)), key=lambda webhook: webhook.pk)
        builders.a_delivery(first, status=Delivery.Status.HELD)
        failing = WebhookHealth.objects.exclude(webhook=first)
        failing.update(failing_since=now - timedelta(days=1))
        made = builders.a_pause(account)

        def resume() -> None:
            wait_longer_for_locks()
            pausing.resume(made, by="a test", now=now)
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            with holding(first.health):
                resumed = pool.submit(resume)
                wait_until(somebody_waits, what="whoever ends the pause")
                with transaction.atomic():
                    free = len(failing.select_for_update(skip_locked=True))
            resumed.result()

        assert free == 1
        assert failing.get().failing_since == now

    def test_of_healths_is_kept_by_everybody(self, now: datetime) -> None:
        ids = [builders.a_webhook().pk for _ in range(40)]
        before = deadlocks()

        def note(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(10):
                some = chance.sample(ids, 30)
                with transaction.atomic():
                    WebhookHealth.objects.note({pk: Tally(failed=1, unavailable=1) for pk in some}, at=now)

        together(*[partial(note, seed) for seed in range(4)])

        assert deadlocks() == before
        noted = WebhookHealth.objects.aggregate(total=Sum("consecutive_failures"))["total"]
        assert noted == 4 * 10 * 30

    def test_never_has_two_wait_for_each_other(self, settings: Any) -> None:
        settings.WEBHOOKS_CIRCUIT_DELAYS = (timedelta(seconds=5),)
        account = builders.an_account(open_event_types=True)
        hooks = [builders.a_webhook(account, max_retries=0, max_in_flight=20, timeout=1) for _ in range(4)]
        for webhook in hooks:
            builders.a_backlog(webhook, 100, retries_left=0)
        bustle = _Bustle(account, hooks)
        before = deadlocks()

        together(
            partial(bustle.record, 1),
            partial(bustle.record, 3),
            bustle.tend,
            bustle.tend,
            bustle.change,
            bustle.publish,
            bustle.redeliver,
            bustle.pause,
        )

        assert deadlocks() == before
        assert set(bustle.done) >= EVERYTHING
