import itertools
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection
from django.utils import timezone

from deliveries import secrets
from deliveries.models import Attempt, Delivery, Event, Failure, Recovery, Webhook, WebhookHealth, databases
from deliveries.models.delivery import DeliveryQuerySet
from deliveries.models.health import WebhookHealthQuerySet
from deliveries.reasons import Reason
from deliveries.services import (
    circuits,
    dispatching,
    egress,
    following,
    publishing,
    recording,
    recovering,
    removing,
    tending,
    watchdog,
    webhooks,
)
from deliveries.services.dispatching import Dispatcher
from deliveries.services.recording import Recorded, Result
from deliveries.transport import Exchange, Request, Timings, TransportError
from tests import builders
from tests.services.fakes import FakeTransport, Outcome, Steady, a_reply
from tests.somebody_else import holding
from tests.waiting import wait_until

SECONDS = timedelta(seconds=1)


def deliver(
    transport: FakeTransport, clock: Callable[[], datetime] = lambda: builders.NOW, *, within: float = 5
) -> bool:
    return Dispatcher(transport=transport, clock=clock).run_until_idle(budget=within * SECONDS)


@pytest.fixture
def quick_poll(settings: Any) -> None:
    """Look for work all the time, and do not wait long for what never ends."""
    settings.WEBHOOKS_POLL_INTERVAL = timedelta(seconds=0.02)
    settings.WEBHOOKS_DRAIN_TIMEOUT = timedelta(seconds=0.5)


@pytest.mark.django_db
class TestDelivering:
    def test_sends_what_was_published_and_records_it(self) -> None:
        webhook = builders.a_webhook(events=["call.ended"])
        publishing.publish(
            account=webhook.account, event_type="call.ended", payload={"a": 1}, now=builders.NOW
        )
        transport = FakeTransport()

        assert deliver(transport)

        (request,) = transport.sent
        assert (request.url, request.method, request.body) == (webhook.url, "POST", b'{"a":1}')
        assert Delivery.objects.get().status == Delivery.Status.SUCCEEDED
        assert Attempt.objects.get().succeeded

    @pytest.mark.parametrize(
        ("address", "stored"), [("203.0.113.7", "203.0.113.7"), ("fe80::1%eth0", "fe80::1"), (None, None)]
    )
    def test_records_where_to_and_where_the_time_went(self, address: str | None, stored: str | None) -> None:
        timings = Timings(dns=3 * SECONDS, connect=timedelta(microseconds=7), first_byte=timedelta(0))
        builders.a_delivery()
        transport = FakeTransport()
        transport.details = {"timings": timings, "remote_address": address}

        assert deliver(transport)

        (attempt,) = Attempt.objects.all()
        assert attempt.remote_address == stored
        spent = (attempt.dns_us, attempt.connect_us, attempt.tls_us, attempt.first_byte_us)
        assert spent == (3_000_000, 7, None, 0)

    def test_goes_past_what_the_pause_of_an_event_type_keeps_back(self, settings: Any) -> None:
        """At once: until the next look there would be time for a coffee."""
        settings.WEBHOOKS_POLL_INTERVAL = timedelta(minutes=1)
        webhook = builders.a_webhook(max_in_flight=2)
        builders.a_backlog(webhook, 5, due_at=builders.NOW - SECONDS)
        # Without the services, which hold at once what is first in the queue.
        builders.a_pause(webhook.account, event_type="call.ended")
        event = builders.an_event(webhook.account, type="call.started")
        builders.a_delivery(webhook, event=event)
        transport = FakeTransport()

        assert deliver(transport)

        assert len(transport.sent) == 1
        assert Delivery.objects.filter(status=Delivery.Status.HELD).count() == 5

    def test_sends_nothing_whose_account_was_removed_since_the_claim(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        removed, other = builders.a_delivery(), builders.a_delivery()
        claim = databases.claim_due

        def claim_and_remove(**kwargs: Any) -> Any:
            claimed = claim(**kwargs)
            removing.remove(removed.account_id)
            return claimed

        monkeypatch.setattr(databases, "claim_due", claim_and_remove)
        transport = FakeTransport()

        assert deliver(transport)

        (request,) = transport.sent
        assert request.headers["webhook-id"] == str(other.event_id)

    def test_shares_what_deliveries_have_in_common(self) -> None:
        """Of an event with a hundred receivers there is one body in memory."""
        webhooks = [builders.a_webhook(builders.an_account()) for _ in range(2)]
        event = builders.an_event(webhooks[0].account)
        for webhook in webhooks:
            builders.a_delivery(webhook, event=event)
            builders.a_delivery(webhook)

        claimed = builders.claim(builders.NOW)

        assert len({id(delivery.webhook) for delivery in claimed}) == 2
        assert len({id(delivery.event) for delivery in claimed}) == 3

    def test_goes_on_until_nothing_is_due(self) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=10), 150)
        transport = FakeTransport()

        assert deliver(transport)

        assert len(transport.sent) == 150
        assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 150

    @pytest.mark.postgresql
    def test_makes_a_place_for_the_attempts_of_the_days_to_come(self) -> None:
        days_later = builders.NOW + timedelta(days=40_000)

        deliver(FakeTransport(), lambda: days_later)

        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"deliveries_attempt_{days_later:%Y_%m_%d}"])
            assert cursor.fetchone()[0] is not None

    def test_retries_with_the_same_body_and_id(self, settings: Any) -> None:
        settings.WEBHOOKS_RETRY_DELAYS = (timedelta(seconds=1),)
        delivery = builders.a_delivery()
        transport = FakeTransport(lambda request: a_reply(500))

        for seconds in range(0, 10, 2):
            deliver(transport, lambda seconds=seconds: builders.NOW + seconds * SECONDS)  # type: ignore[misc]

        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts_made) == (Delivery.Status.FAILED, 4)
        assert [request.headers["X-Webhook-Attempt"] for request in transport.sent] == ["1", "2", "3", "4"]
        assert len({(request.body, request.headers["webhook-id"]) for request in transport.sent}) == 1
        assert len({request.headers["webhook-timestamp"] for request in transport.sent}) == 4
        assert Failure.objects.get().status == Failure.Status.INACTIVE

    def test_uses_the_webhook_as_it_is_at_the_attempt(self) -> None:
        delivery = builders.a_delivery()
        Webhook.objects.update(url="https://example.org/new", http_method="PUT")
        transport = FakeTransport()

        deliver(transport)

        assert [(request.url, request.method) for request in transport.sent] == [
            ("https://example.org/new", "PUT")
        ]
        assert Attempt.objects.get(delivery=delivery).url == "https://example.org/new"

    @pytest.mark.parametrize("act", ["disable", "delete"])
    def test_sends_nothing_to_a_webhook_that_has_gone_since_the_claim(
        self, act: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone, other = builders.a_delivery(), builders.a_delivery()
        claim = databases.claim_due

        def claim_and_act(**kwargs: Any) -> Any:
            claimed = claim(**kwargs)
            if not gone.webhook.enabled:
                return claimed
            if act == "disable":
                webhooks.change(gone.webhook, by="a test", now=builders.NOW, enabled=False)
            else:
                webhooks.delete(gone.webhook, by="a test", now=builders.NOW)
            return claimed

        monkeypatch.setattr(databases, "claim_due", claim_and_act)
        transport = FakeTransport()

        assert deliver(transport)

        (request,) = transport.sent
        assert request.headers["webhook-id"] == str(other.event_id)
        gone.refresh_from_db()
        assert (gone.status, gone.claims) == ("held" if act == "disable" else "cancelled", 0)

    def test_keeps_no_more_under_way_than_there_are_slots(self) -> None:
        for _ in range(5):
            builders.a_backlog(builders.a_webhook(max_in_flight=100), 100)
        transport = FakeTransport(lambda request: None)

        assert not deliver(transport, within=0.3)

        assert len(transport.sent) == transport.slots

    def test_gives_one_webhook_a_quarter_of_the_slots(self) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=100), 100)
        transport = FakeTransport(lambda request: None)

        assert not deliver(transport, within=0.3)

        assert len(transport.sent) == transport.slots // 4

    def test_sends_outside_of_any_transaction_of_its_own(self) -> None:
        builders.a_backlog(builders.a_webhook(), 3)
        outside = len(connection.savepoint_ids)
        depths: list[int] = []

        def answer(request: Request) -> Outcome:
            depths.append(len(connection.savepoint_ids))
            return a_reply()

        deliver(FakeTransport(answer))

        assert depths == [outside] * 3


def a_recovery(webhook: Webhook, *, count: int, rate: int) -> Recovery:
    """Return one of so many new failures."""
    for _ in range(count):
        builders.a_failed_delivery(webhook)
    return recovering.create(
        account=webhook.account,
        selection=recovering.Selection(webhook_id=webhook.pk),
        by="a test",
        rate=rate,
        now=timezone.now(),
    )


@pytest.mark.django_db(transaction=True)
class TestRecoveries:
    """No beat, no broker: the dispatcher alone."""

    def test_are_worked_off_at_their_pace(self, running: Callable[[FakeTransport], Dispatcher]) -> None:
        recovery = a_recovery(builders.a_webhook(), count=30, rate=20)
        transport = WaitingTransport()
        began = time.monotonic()

        running(transport)

        wait_until(lambda: len(transport.sent) == 30, what="the last")
        assert time.monotonic() - began >= 29 / 20
        wait_until(lambda: Recovery.objects.filter(status="completed").exists(), what="the end")
        recovery.refresh_from_db()
        assert (recovery.queued, recovery.skipped) == (30, 0)

    def test_have_one_turn_each_however_many_there_are(
        self, running: Callable[[FakeTransport], Dispatcher]
    ) -> None:
        for _ in range(5):
            a_recovery(builders.a_webhook(), count=4, rate=10)

        running(WaitingTransport())

        wait_until(lambda: Recovery.objects.filter(status="completed").count() == 5, what="the end of all")
        assert set(Recovery.objects.values_list("queued", flat=True)) == {4}


@pytest.mark.django_db
class TestHangingReceiver:
    def test_does_not_keep_the_results_of_others_from_being_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "RECORD_AFTER", 60.0)
        builders.a_delivery(builders.a_webhook(url="https://hanging.example.com/"))
        builders.a_backlog(builders.a_webhook(max_in_flight=10), 40)
        transport = FakeTransport(lambda request: None if "hanging" in request.url else a_reply())
        dispatcher = Dispatcher(transport=transport, clock=lambda: builders.NOW)

        def all_others() -> bool:
            dispatcher.run_until_idle(budget=0.1 * SECONDS)
            return Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 40

        wait_until(all_others, what="the results of all others")

    def test_leaves_no_slot_to_claim_for_while_results_pile_up(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=1000), 300)
        failing_first(monkeypatch, recording, "record", times=1000)
        transport = FakeTransport()

        deliver(transport, within=0.5)

        assert len(transport.sent) <= 3 * transport.slots


def short_of_resources(times: int) -> Callable[[Request], Outcome]:
    """Answer as a machine that so many times has no socket left."""
    short = iter([TransportError(Reason.NO_RESOURCES)] * times)
    return lambda request: next(short, a_reply())


@pytest.mark.django_db
class TestAMachineWithoutResources:
    @pytest.fixture(autouse=True)
    def short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dispatching, "SHORTAGE", (0.01, 0.04))

    def test_blames_no_delivery_and_no_webhook(self, caplog: pytest.LogCaptureFixture) -> None:
        webhook = builders.a_webhook(max_retries=0)
        builders.a_backlog(webhook, 3)
        dispatcher = Dispatcher(transport=FakeTransport(short_of_resources(30)), clock=lambda: builders.NOW)

        assert dispatcher.run_until_idle(budget=10 * SECONDS)

        assert set(Delivery.objects.values_list("status", "attempts_made")) == {("succeeded", 1)}
        assert Attempt.objects.filter(succeeded=True).count() == 3
        assert not Failure.objects.exists()
        assert WebhookHealth.objects.get().last_failure_at is None
        assert dispatcher._heart.worker.database_errors == 0
        said = [(record.levelname, record.event) for record in caplog.records]  # type: ignore[attr-defined]
        assert said == [("WARNING", "dispatcher.out_of_resources")] * 10

    def test_leaves_its_deliveries_to_others_and_takes_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dispatching, "SHORTAGE", (60.0, 60.0))
        builders.a_backlog(builders.a_webhook(max_in_flight=2), 5, claims=1)
        transport = FakeTransport(short_of_resources(1000))

        assert not deliver(transport, within=0.5)

        assert len(transport.sent) == 2
        assert set(Delivery.objects.values_list("status", "lease_token", "claims")) == {("pending", None, 1)}

    def test_waits_longer_each_time_until_it_can_send(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        builders.a_delivery()
        short, answer = TransportError(Reason.NO_RESOURCES), a_reply(500)
        outcomes: Iterator[Outcome] = iter([short, short, short, short, answer, short, short, a_reply()])
        moments = (builders.NOW + number * timedelta(hours=1) for number in itertools.count())
        dispatcher = Dispatcher(
            transport=FakeTransport(lambda request: next(outcomes)), clock=lambda: next(moments)
        )
        dispatcher._jitter = Steady()

        def turn() -> bool:
            dispatcher._turn()
            return Delivery.objects.get().status == Delivery.Status.SUCCEEDED

        wait_until(turn, what="the delivery")

        waits = [record.__dict__.get("for_seconds") for record in caplog.records]
        assert [wait for wait in waits if wait] == [0.01, 0.02, 0.04, 0.04, 0.01, 0.02]

    def test_gives_them_back_when_the_database_is_there_again(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_delivery()
        failing_first(monkeypatch, DeliveryQuerySet, "abandon", times=3)
        transport = FakeTransport(short_of_resources(1))

        assert deliver(transport)

        assert (len(transport.sent), Attempt.objects.count()) == (2, 1)

    def test_gives_them_back_before_it_stops(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_delivery()
        failing_first(monkeypatch, DeliveryQuerySet, "abandon", times=2)
        dispatcher = Dispatcher(transport=FakeTransport(short_of_resources(1)), clock=lambda: builders.NOW)
        dispatcher._turn()

        dispatcher.stop()
        dispatcher.run()

        delivery = Delivery.objects.get()
        assert (delivery.lease_token, delivery.claims, delivery.attempts_made) == (None, 0, 0)

    def test_may_open_as_many_files_as_it_is_let(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            dispatcher = dispatching.build(clock=lambda: builders.NOW)
            allowed, unchanged = resource.getrlimit(resource.RLIMIT_NOFILE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        dispatcher._transport.close()
        assert (allowed, unchanged) == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536), hard)


@pytest.mark.django_db
class TestHeldResults:
    def test_count_as_under_way_for_their_webhook(
        self, monkeypatch: pytest.MonkeyPatch, quick_poll: None
    ) -> None:
        """Somebody holds its health. Claimed on and on, its results would stop the process for everybody."""
        busy, other = (builders.a_webhook(max_in_flight=1000) for _ in range(2))
        builders.a_backlog(busy, 200)
        builders.a_backlog(other, 20)
        record = recording.record

        def record_others(results: Sequence[Result], **kwargs: Any) -> Recorded:
            recorded = record(
                [result for result in results if result.delivery.webhook_id != busy.pk], **kwargs
            )
            recorded.left += [result for result in results if result.delivery.webhook_id == busy.pk]
            return recorded

        monkeypatch.setattr(recording, "record", record_others)
        transport = FakeTransport()

        assert not deliver(transport, within=1)

        assert other.deliveries.filter(status=Delivery.Status.SUCCEEDED).count() == 20
        assert len(transport.sent) == 20 + dispatching.share(transport.slots)


@pytest.mark.django_db
class TestSignOfLife:
    """What the watchdog counts."""

    def test_is_none_while_every_slot_is_lost(self, settings: Any) -> None:
        for _ in range(2):
            builders.a_delivery(builders.a_webhook(timeout=120))
        transport = FakeTransport(lambda request: None)
        transport.slots = 2
        dispatcher = Dispatcher(transport=transport, clock=lambda: builders.NOW)
        sent_at = time.monotonic()
        dispatcher._turn()

        first, last = dispatcher._under_way
        for key, sent in dispatcher._under_way.items():
            assert turns(dispatcher)
            # Its receiver may take its time.
            assert sent.overdue_at - sent_at >= 120 + settings.WEBHOOKS_LEASE_GRACE.total_seconds()
            dispatcher._under_way[key] = replace(sent, overdue_at=time.monotonic())
        assert not turns(dispatcher)

        transport._finished.append(Exchange(key=last, outcome=a_reply(), duration=SECONDS))
        dispatcher._turn()
        assert turns(dispatcher)
        assert first in dispatcher._under_way

    def test_is_given_while_the_database_is_away(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_delivery()
        failing_first(monkeypatch, recording, "record", times=1000)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)

        assert [turns(dispatcher) for _ in range(5)] == [True] * 5


def turns(dispatcher: Dispatcher) -> bool:
    """Have it turn, and tell whether that counts."""
    before = dispatcher._turns
    dispatcher._turn()
    return dispatcher._turns > before


@pytest.mark.django_db
class TestPoisonDelivery:
    def test_that_kills_its_workers_is_set_aside_after_three_claims(self) -> None:
        delivery = builders.a_delivery(claims=3)
        healthy = builders.a_delivery()
        transport = FakeTransport()

        deliver(transport)

        delivery.refresh_from_db()
        healthy.refresh_from_db()
        assert delivery.status == Delivery.Status.FAILED
        assert Failure.objects.get().reason_code == Reason.WORKER_KILLED
        assert healthy.status == Delivery.Status.SUCCEEDED
        assert len(transport.sent) == 1

    def test_gets_its_third_try(self) -> None:
        builders.a_delivery(claims=2)
        transport = FakeTransport()

        deliver(transport)

        assert len(transport.sent) == 1

    def test_has_no_other_on_its_third_try_beside_it(self) -> None:
        """Claimed together each time, those beside the one that kills would be set aside with it."""
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 5)
        Delivery.objects.update(claims=2)
        healthy = builders.a_delivery(webhook)
        transport = FakeTransport(lambda request: None)

        deliver(transport, within=0.2)

        assert len(transport.sent) == 2
        leased = Delivery.objects.exclude(lease_token=None)
        assert sorted(leased.values_list("claims", flat=True)) == [1, 3]
        assert set(Delivery.objects.filter(lease_token=None).values_list("claims", flat=True)) == {2}
        assert leased.filter(pk=healthy.pk).exists()

    def test_leaves_their_third_try_to_all(self) -> None:
        builders.a_backlog(builders.a_webhook(), 5)
        Delivery.objects.update(claims=2)
        transport = FakeTransport()

        assert deliver(transport)

        assert len(transport.sent) == 5
        assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 5

    def test_whose_secret_cannot_be_read_fails_alone(self, settings: Any) -> None:
        unreadable = builders.a_delivery(builders.a_webhook(secret="canary"))
        settings.ENCRYPTION_KEYS = [secrets.new_key()]
        healthy = builders.a_delivery()

        deliver(FakeTransport())

        unreadable.refresh_from_db()
        healthy.refresh_from_db()
        assert unreadable.status == Delivery.Status.PENDING
        assert Failure.objects.get().reason == "Request could not be built"
        assert healthy.status == Delivery.Status.SUCCEEDED


@pytest.mark.django_db
class TestDatabaseTrouble:
    def test_keeps_results_until_they_are_written(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_delivery()
        failing_first(monkeypatch, recording, "record", times=2)
        transport = FakeTransport()

        assert deliver(transport)

        assert len(transport.sent) == 1
        assert Delivery.objects.get().status == Delivery.Status.SUCCEEDED

    def test_keeps_them_also_where_nothing_can_be_written_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A column is missing, say: no result of any delivery can be written until somebody mends that."""
        builders.a_backlog(builders.a_webhook(), 3)
        failing_first(monkeypatch, recording, "_record", times=5, error=ProgrammingError)
        transport = FakeTransport()

        assert deliver(transport)

        assert len(transport.sent) == 3
        assert Attempt.objects.filter(succeeded=True).count() == 3
        said = [(record.levelname, record.event) for record in caplog.records]  # type: ignore[attr-defined]
        assert said == [("ERROR", "database.failed")] * 5

    def test_knows_what_was_written_before_it_was_away(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        """Half a batch: what follows from it follows, and is not taken for results of old claims."""
        for _ in range(2):
            builders.a_delivery()
        failing_first(monkeypatch, WebhookHealthQuerySet, "note", times=1, error=DataError)
        failing_first(monkeypatch, WebhookHealthQuerySet, "note", times=1, after=2)
        dispatcher = Dispatcher(
            transport=FakeTransport(lambda request: a_reply(410)), clock=lambda: builders.NOW
        )

        assert dispatcher.run_until_idle(budget=10 * SECONDS)

        assert not Webhook.objects.filter(enabled=True).exists()
        assert (dispatcher._heart.worker.recorded, dispatcher._heart.worker.fenced) == (2, 0)

    @pytest.mark.parametrize("where", ["before anything", "in the middle"])
    def test_says_that_results_were_written_when_they_were(
        self, where: str, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_delivery()
        if where == "before anything":
            failing_first(monkeypatch, recording, "record", times=1_000)
        else:
            failing_first(monkeypatch, recording, "_record", times=1_000)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)

        dispatcher.run_until_idle(budget=0.1 * SECONDS)
        assert (dispatcher._heart.worker.recorded_at, dispatcher._heart.worker.recorded) == (None, 0)

        monkeypatch.undo()
        assert dispatcher.run_until_idle(budget=10 * SECONDS)
        assert (dispatcher._heart.worker.recorded_at, dispatcher._heart.worker.recorded) == (builders.NOW, 1)

    def test_writes_what_it_has_before_it_takes_more(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None, quick_poll: None
    ) -> None:
        """The database was away for so long that the lease is over, and the delivery due again."""
        builders.a_delivery()
        failing_first(monkeypatch, recording, "record", times=5)
        transport = FakeTransport()
        moments = iter([builders.NOW, builders.NOW])

        assert deliver(transport, lambda: next(moments, builders.NOW + timedelta(hours=1)))

        assert len(transport.sent) == 1
        assert Delivery.objects.get().status == Delivery.Status.SUCCEEDED

    def test_claims_again_when_the_database_is_back(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        builders.a_delivery()
        failing_first(monkeypatch, DeliveryQuerySet, "claim_due", times=2)

        assert deliver(FakeTransport())

    @pytest.mark.parametrize("fails", ["reading what was claimed", "handing back"])
    def test_holds_nothing_against_what_a_failed_claim_took(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None, fails: str
    ) -> None:
        """Not one request has gone out, however often it happens."""
        webhook = builders.a_webhook(max_in_flight=2)
        builders.a_backlog(webhook, 2, claims=Delivery.MAX_CLAIMS - 1)
        if fails == "handing back":
            failing_first(monkeypatch, DeliveryQuerySet, "hand_back", times=5)
        else:
            failing_first(monkeypatch, Delivery, "lasts", times=5)
        transport = FakeTransport()

        assert deliver(transport, within=20)

        assert len(transport.sent) == 2
        assert set(Delivery.objects.values_list("status", flat=True)) == {Delivery.Status.SUCCEEDED}

    def test_does_later_what_follows_for_a_webhook(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        """The result is written, and is not to be taken for one of an old claim."""
        monkeypatch.setattr(following, "AGAIN_AFTER", 0.05)
        delivery = builders.a_delivery()
        failing_first(monkeypatch, webhooks, "disable", times=2)
        dispatcher = Dispatcher(
            transport=FakeTransport(lambda request: a_reply(410)), clock=lambda: builders.NOW
        )

        assert dispatcher.run_until_idle(budget=5 * SECONDS)

        assert not Webhook.objects.get().enabled
        assert Attempt.objects.get().delivery == delivery
        assert (dispatcher._heart.worker.recorded, dispatcher._heart.worker.fenced) == (1, 0)

    def test_waits_with_what_follows_until_nobody_holds_its_rows(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "AGAIN_AFTER", 0.05)
        builders.a_delivery()
        asked, disable = [0], webhooks.disable

        def held_first(*args: Any, **kwargs: Any) -> bool:
            asked[0] += 1
            if asked[0] <= 2:
                raise OperationalError from psycopg.errors.LockNotAvailable()
            return disable(*args, **kwargs)

        monkeypatch.setattr(webhooks, "disable", held_first)
        dispatcher = Dispatcher(
            transport=FakeTransport(lambda request: a_reply(410)), clock=lambda: builders.NOW
        )

        assert dispatcher.run_until_idle(budget=10 * SECONDS)

        assert not Webhook.objects.get().enabled
        # Nobody was kept waiting: neither did it back off, nor ask all the time.
        assert (asked, dispatcher._heart.worker.database_errors) == ([3], 0)

    def test_stops_in_time_also_when_somebody_holds_all_its_rows(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None, settings: Any
    ) -> None:
        settings.WEBHOOKS_DRAIN_TIMEOUT = timedelta(seconds=0.5)
        for _ in range(20):
            builders.a_delivery()
        turns: list[int] = []

        def wait_in_vain(*args: Any, **kwargs: Any) -> bool:
            turns.append(dispatcher._turns)
            time.sleep(0.2)
            raise OperationalError from psycopg.errors.LockNotAvailable()

        monkeypatch.setattr(webhooks, "disable", wait_in_vain)
        dispatcher = Dispatcher(
            transport=FakeTransport(lambda request: a_reply(410)), clock=lambda: builders.NOW
        )
        dispatcher._turn()

        dispatcher.stop()
        dispatcher.run()

        # Once a turn, and no turn more than there was time for.
        assert len(set(turns)) == len(turns) <= 5
        assert Attempt.objects.count() == 20

    def test_goes_on_after_an_outage_of_any_length(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None
    ) -> None:
        """Of an hour, say: the wait doubles with each failure, and no float holds 2 to the power of 1,100."""
        builders.a_delivery()
        failing_first(monkeypatch, DeliveryQuerySet, "claim_due", times=1)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)
        dispatcher._failures_in_a_row = 1100

        assert dispatcher.run_until_idle(budget=5 * SECONDS)

    def test_hands_back_what_a_slow_database_gave_too_late(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOKS_LEASE_GRACE = timedelta(seconds=0.1)
        builders.a_delivery()
        claim = DeliveryQuerySet.claim_due

        def slow_claim(*args: Any, **kwargs: Any) -> Any:
            claimed = claim(*args, **kwargs)
            time.sleep(0.06)
            return claimed

        monkeypatch.setattr(DeliveryQuerySet, "claim_due", slow_claim)
        transport = FakeTransport()

        deliver(transport, within=0.05)

        assert transport.sent == []
        delivery = Delivery.objects.get()
        assert (delivery.lease_token, delivery.claims) == (None, 0)

    def test_hands_back_what_it_was_too_slow_to_sort(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of two on their last try one is handed back at once, and that took as long as the leases last."""
        settings.WEBHOOKS_LEASE_GRACE = timedelta(seconds=1)
        builders.a_backlog(builders.a_webhook(), 2, claims=Delivery.MAX_CLAIMS - 1)
        hand_back = DeliveryQuerySet.hand_back

        def slow_hand_back(*args: Any, **kwargs: Any) -> int:
            time.sleep(0.6)
            return hand_back(*args, **kwargs)

        monkeypatch.setattr(DeliveryQuerySet, "hand_back", slow_hand_back)
        transport = FakeTransport()

        deliver(transport, within=0.1)

        assert transport.sent == []
        assert set(Delivery.objects.values_list("lease_token", "claims")) == {(None, Delivery.MAX_CLAIMS - 1)}

    @pytest.mark.parametrize("also_fails", [0, 3])
    def test_holds_nothing_against_what_its_last_claim_took(
        self, monkeypatch: pytest.MonkeyPatch, quick_back_off: None, also_fails: int
    ) -> None:
        """It went wrong, and the worker is stopped before it has given back what that took."""
        builders.a_delivery()
        failing_first(monkeypatch, Delivery, "lasts", times=1)
        failing_first(monkeypatch, DeliveryQuerySet, "hand_back", times=also_fails)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)
        dispatcher._turn()

        dispatcher.stop()
        dispatcher.run()

        delivery = Delivery.objects.get()
        assert (delivery.lease_token, delivery.claims) == (None, 0)


@pytest.mark.django_db(transaction=True)
class TestTroubleOfTheTending:
    """What it looks after now and then must not cost what it is there for."""

    @pytest.fixture
    def dispatcher(self, quick_poll: None, monkeypatch: pytest.MonkeyPatch) -> Dispatcher:
        """One that looks again soon, and whose time for that is up when it has waited for a lock."""
        monkeypatch.setattr(dispatching, "TEND_EVERY", 0.05)
        monkeypatch.setattr(dispatching, "TENDING", 0.1)
        return Dispatcher(transport=FakeTransport(), clock=timezone.now)

    @staticmethod
    def goes_on(dispatcher: Dispatcher, until: Callable[[], object], *, what: str) -> None:
        wait_until(lambda: dispatcher.run_until_idle(budget=SECONDS) and until(), what=what)

    @pytest.mark.postgresql
    def test_with_a_row_a_recovery_meets_keeps_nothing_else_back(
        self, dispatcher: Dispatcher, impatient: None
    ) -> None:
        stuck, other = (a_recovery(builders.a_webhook(), count=2, rate=100) for _ in range(2))
        locked = Delivery.objects.filter(webhook=stuck.webhook_id).earliest("pk")
        delivery = builders.a_delivery()

        with holding(locked):
            self.goes_on(dispatcher, lambda: has_ended(other), what="the other recovery")

            assert dispatcher._heart.worker.database_errors == 0
            assert Attempt.objects.get(delivery=delivery).succeeded
            assert not has_ended(stuck)
        self.goes_on(dispatcher, lambda: has_ended(stuck), what="the recovery")

    @pytest.mark.postgresql
    def test_with_a_row_a_circuit_meets_keeps_nothing_else_back(
        self, dispatcher: Dispatcher, impatient: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = timezone.now()
        stuck, other = (builders.a_delivery(status=Delivery.Status.HELD) for _ in range(2))
        for seconds, held in enumerate([other, stuck]):
            WebhookHealth.objects.filter(webhook=held.webhook).update(
                circuit="recovering", circuit_since=now, next_step_at=now - seconds * SECONDS
            )
        delivery, locked = builders.a_delivery(), builders.an_event()
        take_step = circuits._take_step

        def meet_a_row(health: WebhookHealth, *, now: datetime) -> int:
            if health.pk == stuck.webhook_id:
                Event.objects.select_for_update().get(pk=locked.pk)
            return take_step(health, now=now)

        monkeypatch.setattr(circuits, "_take_step", meet_a_row)
        with holding(locked):
            self.goes_on(dispatcher, lambda: Attempt.objects.count() == 2, what="the others")

            assert dispatcher._heart.worker.database_errors == 0
            arrived = set(Attempt.objects.values_list("delivery", flat=True))
            assert arrived == {delivery.pk, other.pk}
        self.goes_on(dispatcher, lambda: Attempt.objects.count() == 3, what="the circuit")

    @pytest.mark.postgresql
    def test_with_a_row_the_end_of_a_pause_meets_keeps_nothing_else_back(
        self, dispatcher: Dispatcher, impatient: None
    ) -> None:
        now = timezone.now()
        stuck, other = (builders.a_delivery(status=Delivery.Status.HELD) for _ in range(2))
        builders.a_pause(stuck.account, created_at=now - SECONDS, until=now)
        WebhookHealth.objects.filter(webhook=other.webhook).update(
            circuit="recovering", circuit_since=now, next_step_at=now
        )

        with holding(stuck.webhook.health):
            self.goes_on(dispatcher, Attempt.objects.exists, what="the other")

            assert Attempt.objects.get().delivery == other
        self.goes_on(dispatcher, lambda: Attempt.objects.count() == 2, what="the end of the pause")

    @pytest.mark.parametrize("act", [(tending, "tend"), (recovering, "take_up"), (recovering, "advance")])
    @pytest.mark.parametrize("error", [OperationalError, ProgrammingError, RuntimeError])
    def test_of_any_kind_leaves_turns_for_claims(
        self,
        act: tuple[Any, str],
        error: type[Exception],
        running: Callable[[FakeTransport], Dispatcher],
        quick_poll: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Also where the wait after it is longer than until the next time it is due."""
        failed = [0]

        def fail(*args: Any, **kwargs: Any) -> Any:
            failed[0] += 1
            raise error("as it always does")

        monkeypatch.setattr(*act, fail)
        monkeypatch.setattr(dispatching, "TEND_EVERY", 0.01)
        monkeypatch.setattr(dispatching, "BACK_OFF", (0.1, 0.1))
        a_recovery(builders.a_webhook(), count=1, rate=100)
        running(WaitingTransport())
        wait_until(lambda: failed[0], what="the trouble")

        delivery = builders.a_delivery()

        wait_until(lambda: Attempt.objects.filter(delivery=delivery).exists(), what="the attempt")
        before = failed[0]
        wait_until(lambda: failed[0] > before, what="the next try")


def has_ended(recovery: Recovery) -> bool:
    recovery.refresh_from_db()
    return recovery.status == Recovery.Status.COMPLETED


@pytest.fixture
def quick_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short wait after trouble, and no closing of the connection the test's transaction lives on."""
    monkeypatch.setattr(dispatching, "BACK_OFF", (0.01, 0.02))
    monkeypatch.setattr(connection, "close", lambda: None)


def failing_first(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    *,
    times: int,
    after: int = 0,
    error: type[Exception] = OperationalError,
) -> None:
    """Make a function fail so often before it works, or after it has been called so often."""
    works, calls = getattr(owner, name), iter([False] * after + [True] * times)

    def fail_first(*args: Any, **kwargs: Any) -> Any:
        if next(calls, False):
            raise error("the database is away")
        return works(*args, **kwargs)

    monkeypatch.setattr(owner, name, fail_first)


@pytest.fixture
def running() -> Iterator[Callable[[FakeTransport], Dispatcher]]:
    """Run dispatchers in threads of their own, as processes do, and stop them in the end."""
    started: list[tuple[Dispatcher, threading.Thread]] = []

    def run(transport: FakeTransport) -> Dispatcher:
        dispatcher = Dispatcher(transport=transport, clock=timezone.now)
        thread = threading.Thread(target=dispatcher.run)
        thread.start()
        started.append((dispatcher, thread))
        return dispatcher

    yield run
    for dispatcher, thread in started:
        dispatcher.stop()
        thread.join()


class WaitingTransport(FakeTransport):
    """One that waits in `collect` as long as it may, and can be woken."""

    def __init__(self, answer: Callable[[Request], Outcome | None] = lambda request: a_reply()) -> None:
        super().__init__(answer)
        self._woken = threading.Event()

    def submit(self, key: Any, request: Request) -> None:
        super().submit(key, request)
        self._woken.set()

    def collect(self, timeout: timedelta) -> Any:
        self._woken.wait(timeout.total_seconds())
        self._woken.clear()
        return super().collect(timeout)

    def wake(self) -> None:
        self._woken.set()


@pytest.mark.django_db(transaction=True)
class TestRunning:
    def test_finds_work_without_any_ring(
        self, running: Callable[[FakeTransport], Dispatcher], quick_poll: None
    ) -> None:
        transport = WaitingTransport()
        running(transport)

        builders.a_delivery()

        wait_until(lambda: Delivery.objects.get().status == Delivery.Status.SUCCEEDED, what="the delivery")

    def test_is_quick_when_it_is_woken(
        self, running: Callable[[FakeTransport], Dispatcher], settings: Any
    ) -> None:
        settings.WEBHOOKS_POLL_INTERVAL = timedelta(seconds=60)
        transport = WaitingTransport()
        dispatcher = running(transport)
        assert dispatcher.catch_up(timeout=5 * SECONDS)
        builders.a_delivery()

        assert dispatcher.catch_up(timeout=2 * SECONDS)
        wait_until(
            lambda: Delivery.objects.get().status == Delivery.Status.SUCCEEDED, what="the delivery", timeout=2
        )

    def test_has_caught_up_with_the_claim_it_was_woken_for(
        self,
        running: Callable[[FakeTransport], Dispatcher],
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """However quick that is: the next one would be a poll away."""
        settings.WEBHOOKS_POLL_INTERVAL = timedelta(seconds=60)
        transport = WaitingTransport()
        dispatcher = running(transport)
        assert dispatcher.catch_up(timeout=5 * SECONDS)
        wake = transport.wake

        def wake_and_look_away() -> None:
            before = dispatcher._claims_begun
            wake()
            wait_until(lambda: dispatcher._claims_begun > before, what="the claim")

        with monkeypatch.context() as patch:
            patch.setattr(transport, "wake", wake_and_look_away)

            assert dispatcher.catch_up(timeout=2 * SECONDS)

    def test_says_when_it_could_not_catch_up(
        self, running: Callable[[FakeTransport], Dispatcher], quick_poll: None
    ) -> None:
        for _ in range(5):
            builders.a_backlog(builders.a_webhook(max_in_flight=100), 20)
        dispatcher = running(WaitingTransport(lambda request: None))
        wait_until(lambda: Delivery.objects.exclude(lease_token=None).count() == 32, what="the claims")

        assert not dispatcher.catch_up(timeout=0.2 * SECONDS)

    def test_finishes_what_is_under_way_before_it_stops(
        self, running: Callable[[FakeTransport], Dispatcher], quick_poll: None
    ) -> None:
        transport = SlowTransport()
        dispatcher = running(transport)
        builders.a_delivery()
        wait_until(lambda: transport.sent, what="the request")

        dispatcher.stop()

        builders.a_delivery()
        wait_until(lambda: transport.closed, what="the stop")
        assert [d.status for d in Delivery.objects.order_by("created_at", "pk")] == ["succeeded", "pending"]

    def test_stops_in_time_also_when_a_receiver_never_answers(
        self, running: Callable[[FakeTransport], Dispatcher], quick_poll: None, settings: Any
    ) -> None:
        settings.WEBHOOKS_DRAIN_TIMEOUT = timedelta(seconds=0.2)
        transport = WaitingTransport(lambda request: None)
        dispatcher = running(transport)
        builders.a_delivery()
        wait_until(lambda: transport.sent, what="the request")

        dispatcher.stop()

        wait_until(lambda: transport.closed, what="the stop", timeout=2)
        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.lease_token) == (Delivery.Status.PENDING, None)

    def test_ends_the_process_that_it_dies_in(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended: list[int] = []
        monkeypatch.setattr(os, "_exit", ended.append)
        monkeypatch.setattr(Dispatcher, "run", lambda self: self.no_such_thing())
        monkeypatch.setattr(egress, "transport", lambda slots: FakeTransport())

        dispatching.start(clock=lambda: builders.NOW)
        dispatching.stop()

        assert ended == [1]
        assert [record.event for record in caplog.records] == ["dispatcher.died"]  # type: ignore[attr-defined]

    def test_ends_that_process_also_while_nobody_reads_its_log(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read, ended = threading.Event(), threading.Event()
        monkeypatch.setattr(watchdog, "_LAST_WORDS", 0.05)
        monkeypatch.setattr(dispatching.logger, "critical", lambda *args, **kwargs: read.wait(60))
        monkeypatch.setattr(os, "_exit", lambda code: ended.set())
        monkeypatch.setattr(Dispatcher, "run", lambda self: self.no_such_thing())
        monkeypatch.setattr(egress, "transport", lambda slots: FakeTransport())

        dispatching.start(clock=lambda: builders.NOW)

        assert ended.wait(10)
        read.set()
        dispatching.stop()

    def test_holds_no_deploy_against_a_delivery_that_outlives_it(
        self, running: Callable[[FakeTransport], Dispatcher], quick_poll: None, settings: Any
    ) -> None:
        """Its receiver takes longer than a worker may drain, and one worker after the other is replaced."""
        settings.WEBHOOKS_DRAIN_TIMEOUT = timedelta(seconds=0.1)
        builders.a_delivery()
        for _ in range(Delivery.MAX_CLAIMS + 1):
            transport = WaitingTransport(lambda request: None)
            dispatcher = running(transport)
            wait_until(lambda transport=transport: transport.sent, what="the request")  # type: ignore[misc]
            dispatcher.stop()
            wait_until(lambda transport=transport: transport.closed, what="the stop")  # type: ignore[misc]

        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.claims) == (Delivery.Status.PENDING, 0)
        assert delivery.attempts_made == 0


class SlowTransport(WaitingTransport):
    """One whose exchanges take 0.3 s."""

    def submit(self, key: Any, request: Request) -> None:
        self.sent.append(request)
        threading.Timer(0.3, lambda: self._finish(key)).start()

    def _finish(self, key: Any) -> None:
        self._finished.append(Exchange(key=key, outcome=a_reply(), duration=0.3 * SECONDS))
        self.wake()


def test_a_transport_error_says_it_in_words() -> None:
    assert str(TransportError(Reason.DNS_FAILED)) == "DNS lookup failed"
