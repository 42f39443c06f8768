"""Heartbeats: a row that says that a process delivers, and what it has counted."""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Delivery, Worker
from deliveries.services import heartbeats
from deliveries.services.dispatching import Dispatcher
from deliveries.services.heartbeats import Heart
from deliveries.transport import Exchange, Request
from tests import builders
from tests.services.fakes import FakeTransport, Outcome, a_reply
from tests.waiting import wait_until

SECONDS = timedelta(seconds=1)
HEARTBEAT = Worker.HEARTBEAT.total_seconds()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds go by for whoever looks at the monotonic clock to see whether it is time."""
    passed = [0.0]
    steady = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(heartbeats, "time", steady)

    def go_on(seconds: float) -> None:
        passed[0] += seconds

    return go_on


def beat(heart: Heart, now: datetime = builders.NOW, *, under_way: int = 0, unrecorded: int = 0) -> None:
    heart.beat(now=now, under_way=under_way, unrecorded=unrecorded)


@pytest.mark.django_db
class TestBeat:
    def test_writes_who_this_is(self) -> None:
        beat(Heart(slots=32), under_way=3, unrecorded=2)

        worker = Worker.objects.get()
        assert (worker.host, worker.pid) == (socket.gethostname(), os.getpid())
        assert (worker.slots, worker.under_way, worker.unrecorded) == (32, 3, 2)
        assert worker.started_at == worker.seen_at == builders.NOW
        assert worker.clock_skew is not None
        assert Worker.objects.alive(builders.NOW + 29 * SECONDS).exists()
        assert not Worker.objects.alive(builders.NOW + 30 * SECONDS).exists()

    def test_writes_all_that_was_counted(self, clock: Callable[[float], None]) -> None:
        heart = Heart(slots=32)
        beat(heart)
        counts = {"recorded": 5, "fenced": 1, "database_errors": 2, "claimed_at": builders.NOW}
        for name, value in counts.items():
            setattr(heart.worker, name, value)
        clock(HEARTBEAT)

        beat(heart, builders.NOW + 5 * SECONDS)

        worker = Worker.objects.get()
        assert {name: getattr(worker, name) for name in counts} == counts
        assert (worker.started_at, worker.seen_at) == (builders.NOW, builders.NOW + 5 * SECONDS)

    def test_takes_one_statement_in_five_seconds(self, clock: Callable[[float], None]) -> None:
        heart = Heart(slots=32)
        beat(heart)

        with CaptureQueriesContext(connection) as queries:
            for _ in range(40):
                beat(heart)
                clock(HEARTBEAT / 20)

        # The first of them comes when the five seconds are over.
        writes = [query["sql"] for query in queries if "deliveries_worker" in query["sql"]]
        assert [sql.split()[0] for sql in writes] == ["INSERT"]
        assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 1

    def test_makes_the_row_again_that_somebody_deleted(self, clock: Callable[[float], None]) -> None:
        heart = Heart(slots=32)
        beat(heart)
        Worker.objects.all().delete()
        clock(HEARTBEAT)

        beat(heart, builders.NOW + 5 * SECONDS)

        assert Worker.objects.get().started_at == builders.NOW

    def test_forgets_at_first_who_has_been_silent_for_a_day(self) -> None:
        forgotten = builders.a_worker(seen_at=builders.NOW - timedelta(days=1))
        silent = builders.a_worker(seen_at=builders.NOW - timedelta(hours=23))

        beat(Heart(slots=32))

        assert not Worker.objects.filter(pk=forgotten.pk).exists()
        assert Worker.objects.filter(pk=silent.pk).exists()

    @pytest.mark.django_db(transaction=True)
    def test_leaves_alone_a_database_that_fails(
        self, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> None:
            raise DatabaseError("gone")

        heart = Heart(slots=32)
        with connection.execute_wrapper(fail):
            for _ in range(10):
                beat(heart)

        assert [record.__dict__["event"] for record in caplog.records] == ["heartbeat.failed"]
        clock(HEARTBEAT)
        beat(heart)
        assert Worker.objects.get().database_errors == 1

    def test_stops_with_the_process(self) -> None:
        heart = Heart(slots=32)
        beat(heart)
        other = builders.a_worker()

        heart.stop()

        assert Worker.objects.get() == other


@pytest.mark.django_db
class TestDispatcher:
    def test_counts_what_it_recorded(self) -> None:
        builders.a_backlog(builders.a_webhook(), 12)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)

        dispatcher.run_until_idle(budget=5 * SECONDS)

        worker = dispatcher._heart.worker
        assert (worker.recorded, worker.fenced, worker.database_errors) == (12, 0, 0)
        assert worker.claimed_at == worker.recorded_at == builders.NOW

    def test_counts_what_was_fenced(self) -> None:
        def answer(request: Request) -> Outcome:
            # Somebody else has claimed it meanwhile.
            Delivery.objects.update(lease_token=uuid4())
            return a_reply(500)

        builders.a_delivery()
        dispatcher = Dispatcher(transport=FakeTransport(answer), clock=lambda: builders.NOW)

        dispatcher.run_until_idle(budget=5 * SECONDS)

        assert (dispatcher._heart.worker.recorded, dispatcher._heart.worker.fenced) == (0, 1)

    @pytest.mark.django_db(transaction=True)
    def test_goes_on_where_no_heartbeat_can_be_written(self) -> None:
        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if "deliveries_worker" in sql:
                raise DatabaseError("no such table")
            return execute(sql, params, many, context)

        builders.a_backlog(builders.a_webhook(), 12)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)

        with connection.execute_wrapper(fail):
            dispatcher.run_until_idle(budget=5 * SECONDS)

        assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 12
        assert dispatcher._heart.worker.database_errors == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestLife:
    def test_is_seen_while_it_runs_and_gone_after_it(self, settings: Any) -> None:
        settings.WEBHOOKS_POLL_INTERVAL = timedelta(seconds=0.02)
        builders.a_backlog(builders.a_webhook(), 3)
        dispatcher = Dispatcher(transport=FakeTransport(), clock=lambda: builders.NOW)
        thread = threading.Thread(target=dispatcher.run, daemon=True)

        thread.start()
        wait_until(lambda: Worker.objects.exists(), timeout=5, what="a heartbeat")
        dispatcher.stop()
        thread.join(5)

        assert not Worker.objects.exists()

    def test_beats_while_what_is_under_way_is_waited_for(
        self, settings: Any, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOKS_POLL_INTERVAL = timedelta(seconds=0.02)
        settings.WEBHOOKS_DRAIN_TIMEOUT = timedelta(seconds=60)
        builders.a_backlog(builders.a_webhook(), 2)
        transport, keys = FakeTransport(), []
        monkeypatch.setattr(transport, "submit", lambda key, request: keys.append(key))
        dispatcher = Dispatcher(transport=transport, clock=lambda: builders.NOW)
        thread = threading.Thread(target=dispatcher.run, daemon=True)
        thread.start()
        wait_until(lambda: Worker.objects.exists(), timeout=5, what="a heartbeat")

        dispatcher.stop()
        # By now it drains, and turns no more.
        time.sleep(0.2)
        Worker.objects.update(under_way=0)
        clock(HEARTBEAT)

        wait_until(lambda: Worker.objects.filter(under_way=2).exists(), timeout=5, what="another")
        answered = [Exchange(key=key, outcome=a_reply(), duration=SECONDS) for key in keys]
        monkeypatch.setattr(transport, "collect", lambda timeout: answered)
        thread.join(20)
        assert not thread.is_alive()
