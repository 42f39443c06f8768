import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import cycle
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.identifiers import new_id_at
from deliveries.models import (
    Attempt,
    Delivery,
    Event,
    Failure,
    IdempotencyKey,
    TrafficMinute,
    Webhook,
    WebhookHealth,
    WebhookRevision,
    databases,
)
from deliveries.models.databases import locks, partitions
from deliveries.services import publishing, redelivery, retention, webhooks
from tests import builders, somebody_else

pytestmark = pytest.mark.django_db

OLD = timedelta(days=40)


@pytest.fixture
def before(now: datetime) -> datetime:
    return now - timedelta(days=30)


def an_old_failed_delivery(now: datetime) -> Delivery:
    delivery = builders.a_failed_delivery(created_at=now - OLD, finished_at=now - OLD)
    Event.objects.filter(pk=delivery.event_id).update(created_at=now - OLD)
    return delivery


def kept(delivery: Delivery) -> int:
    """Return how many attempts are said to be kept of the delivery's webhook."""
    return WebhookHealth.objects.get(pk=delivery.webhook_id).attempts_kept


def a_webhook_changed_at(made: datetime, *moments: datetime) -> Webhook:
    """Return a webhook that was turned off or on at each of the moments."""
    webhook = builders.a_webhook(now=made)
    for moment in moments:
        webhooks.toggle(webhook, by="a test", now=moment)
    return webhook


class TestPrune:
    def test_deletes_what_is_past_its_time(self, now: datetime, before: datetime) -> None:
        an_old_failed_delivery(now)
        builders.an_event(created_at=now - OLD)

        pruned = retention.prune(before=before)

        assert (pruned.attempts, pruned.deliveries, pruned.events) == (1, 1, 2)
        for model in (Attempt, Delivery, Event, Failure):
            assert not model._default_manager.exists()

    def test_counts_the_same_beforehand_and_deletes_nothing(self, now: datetime, before: datetime) -> None:
        for _ in range(3):
            delivery = an_old_failed_delivery(now)
        builders.a_minute_of_traffic(delivery.webhook, minute=TrafficMinute.of(now - OLD))
        a_webhook_changed_at(now - 2 * OLD, now - OLD)

        announced = retention.prune(before=before, dry_run=True)

        assert Attempt.objects.count() == 3
        assert (announced.attempts, announced.minutes, announced.revisions) == (3, 1, 1)
        assert retention.prune(before=before) == announced

    @pytest.mark.parametrize("status", [Delivery.Status.PENDING, Delivery.Status.HELD])
    def test_never_deletes_what_is_still_to_be_delivered(
        self, status: Delivery.Status, now: datetime, before: datetime
    ) -> None:
        event = builders.an_event(created_at=now - OLD)
        builders.a_delivery(event=event, created_at=now - OLD, status=status)
        builders.a_failed_delivery(event=event, finished_at=now - OLD)

        retention.prune(before=before)

        assert Event.objects.filter(pk=event.pk).exists()
        assert Delivery.objects.count() == 2

    def test_keeps_what_was_finished_lately(self, now: datetime, before: datetime) -> None:
        delivery = an_old_failed_delivery(now)
        Delivery.objects.filter(pk=delivery.pk).update(finished_at=now)

        pruned = retention.prune(before=before)

        assert (pruned.attempts, pruned.deliveries, pruned.events) == (1, 0, 0)
        assert Failure.objects.exists()

    def test_keeps_what_is_new(self, before: datetime) -> None:
        builders.a_failed_delivery()

        pruned = retention.prune(before=before)

        assert (pruned.attempts, pruned.deliveries, pruned.events) == (0, 0, 0)

    def test_deletes_the_minutes_of_traffic_that_were_over_by_then(self, before: datetime) -> None:
        last = TrafficMinute.of(before)
        webhook = builders.a_webhook()
        kept = builders.a_minute_of_traffic(webhook, minute=last)
        builders.a_minute_of_traffic(webhook, minute=last - 1)

        assert retention.prune(before=before).minutes == 1

        assert list(TrafficMinute.objects.all()) == [kept]

    def test_deletes_the_revisions_that_ended_before_what_is_kept(
        self, now: datetime, before: datetime
    ) -> None:
        webhook = a_webhook_changed_at(now - 3 * OLD, now - 2 * OLD, before, now)
        idle = builders.a_webhook(now=now - 3 * OLD)

        assert retention.prune(before=before).revisions == 2

        kept = webhook.revisions.order_by("valid_from").values_list("valid_from", flat=True)
        assert list(kept) == [before, now]
        assert idle.revisions.count() == 1

    def test_keeps_the_revisions_from_the_time_of_an_event_that_is_kept(
        self, now: datetime, before: datetime
    ) -> None:
        webhook = a_webhook_changed_at(now - 4 * OLD, now - 3 * OLD, now - OLD, now)
        event = builders.an_event(created_at=now - 2 * OLD)
        builders.a_delivery(event=event, created_at=now - 2 * OLD)
        builders.an_event(created_at=now - 4 * OLD)

        assert retention.prune(before=before).revisions == 1

        kept = webhook.revisions.order_by("valid_from").values_list("valid_from", flat=True)
        assert list(kept) == [now - 3 * OLD, now - OLD, now]

    def test_keeps_one_of_the_revisions_of_one_moment(self, now: datetime, before: datetime) -> None:
        webhook = a_webhook_changed_at(now - OLD, now - OLD, now - OLD)

        assert retention.prune(before=before).revisions == 2

        assert webhook.revisions.get() == WebhookRevision.objects.order_by("pk").last()

    def test_stops_when_it_is_told_to(self, now: datetime, before: datetime) -> None:
        an_old_failed_delivery(now)

        assert retention.prune(before=before, go_on=lambda: False).events == 0

    def test_goes_on_batch_by_batch(
        self, now: datetime, before: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 2)
        for _ in range(5):
            an_old_failed_delivery(now)

        assert retention.prune(before=before).events == 5

    def test_rests_after_each_batch_for_as_long_as_it_took(
        self, now: datetime, before: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 1)
        an_old_failed_delivery(now)

        assert self.rests(monkeypatch, before, batches=cycle([0.3])) == {0.3}
        an_old_failed_delivery(now)
        assert self.rests(monkeypatch, before, batches=cycle([3600.0])) == {retention.LONGEST_REST}
        an_old_failed_delivery(now)
        assert self.rests(monkeypatch, before, batches=cycle([0.3]), longest_rest=0) == {0}

    def rests(
        self,
        monkeypatch: pytest.MonkeyPatch,
        before: datetime,
        *,
        batches: Iterator[float],
        longest_rest: float = 1.0,
    ) -> set[float]:
        """Prune by a clock on which the batches take so long, and return the rests."""
        rests: list[float] = []
        now = 0.0

        def monotonic() -> float:
            """Tell the time: asked at the begin of a batch, and again at its end."""
            nonlocal now
            began, now = now, now + next(batches)
            return began

        clock = SimpleNamespace(monotonic=monotonic, sleep=rests.append)
        with monkeypatch.context() as patched:
            patched.setattr(retention, "time", clock)
            assert retention.prune(before=before, longest_rest=longest_rest).events == 1
        return {round(rest, 3) for rest in rests}


class TestTotals:
    def test_count_what_is_kept(self, now: datetime, before: datetime) -> None:
        delivery = builders.a_failed_delivery()
        for number, age in ((2, OLD), (3, OLD), (4, timedelta())):
            builders.an_attempt(delivery, number=number, created_at=now - age)
        elsewhere = an_old_failed_delivery(now)
        assert kept(delivery) == 4

        retention.prune(before=before)

        assert kept(delivery) == delivery.attempts.count() == 2
        assert kept(elsewhere) == elsewhere.attempts.count()

    def test_are_never_less_than_none(self, now: datetime, before: datetime) -> None:
        """A version before them has recorded and not counted."""
        delivery = an_old_failed_delivery(now)
        builders.an_attempt(delivery, number=2, created_at=now - OLD)
        WebhookHealth.objects.update(attempts_kept=0)

        assert retention.prune(before=before).attempts

        assert kept(delivery) == 0


@pytest.fixture
def other_connection(db: None) -> Iterator[Callable[[str], None]]:
    """Run statements on a connection of somebody else's to the same database."""
    with somebody_else.session() as other:
        yield lambda statement: (other.execute(statement.encode()), None)[1]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestPruneBesideARedelivery:
    def test_leaves_what_a_person_has_just_sent_again(
        self, now: datetime, before: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delivery = an_old_failed_delivery(now)
        recheck = retention._still_finished

        def redeliver() -> None:
            redelivery.redeliver(delivery, by="a test", now=now)
            connection.close()

        def recheck_after_a_redelivery(batch: Sequence[object], *, before: datetime) -> list[object]:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(redeliver).result()
            return recheck(batch, before=before)

        monkeypatch.setattr(retention, "_still_finished", recheck_after_a_redelivery)

        assert retention.prune(before=before).events == 0
        delivery.refresh_from_db()
        assert delivery.status == Delivery.Status.PENDING


@pytest.mark.postgresql
class TestPruneByTwo:
    def test_is_refused_to_the_second(
        self, before: datetime, other_connection: Callable[[str], None]
    ) -> None:
        other_connection(f"SELECT pg_advisory_xact_lock({crc32(b'deliveries.prune')})")

        with pytest.raises(retention.AlreadyPruning):
            retention.prune(before=before)


# Long after everything the migration's own part of the table holds; and days of whose attempts some go.
LATE = datetime(2100, 4, 15, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def attempts_at(*moments: datetime) -> list[Attempt]:
    """Return an attempt of each of these moments, made in time."""
    return [builders.an_attempt(builders.a_delivery(), created_at=moment) for moment in moments]


def parts() -> set[str]:
    """Return what the table of the attempts consists of."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'deliveries_attempt'::regclass"
        )
        return {name for (name,) in cursor.fetchall()}


class TestPast:
    def test_is_the_midnight_before(self, now: datetime) -> None:
        assert retention.past(30 * DAY, now=now) == datetime(2026, 2, 13, tzinfo=UTC)

    def test_is_that_of_utc(self) -> None:
        evening = datetime(2026, 3, 14, 22, 0, tzinfo=timezone(-5 * HOUR))

        assert retention.past(DAY, now=evening) == datetime(2026, 3, 14, tzinfo=UTC)


@pytest.mark.postgresql
class TestPruneOfDays:
    @pytest.fixture(autouse=True)
    def made(self, db: None) -> None:
        databases.make_days(now=LATE - 3 * DAY)

    def test_drops_those_that_are_over(self) -> None:
        over, of_today = parts(), attempts_at(LATE, LATE + HOUR)
        attempts_at(LATE - DAY, LATE - HOUR, LATE - 3 * DAY)

        with CaptureQueriesContext(connection) as queries:
            assert retention.prune(before=LATE).attempts == 3

        gone = {f"deliveries_attempt_2100_04_{day}" for day in (12, 13, 14)}
        assert gone < over - parts()
        assert set(Attempt.objects.all()) == set(of_today)
        assert not [each for each in queries if each["sql"].startswith('DELETE FROM "deliveries_attempt"')]

    def test_counts_every_row_of_them(self) -> None:
        few = attempts_at(*(LATE - DAY + number * 17 * timedelta(minutes=1) for number in range(70)))
        for number in range(2, 12):
            builders.an_attempt(few[0].delivery, number=number, created_at=LATE - HOUR)
        announced = retention.prune(before=LATE, dry_run=True)

        pruned = retention.prune(before=LATE)

        assert pruned.attempts == announced.attempts == 80
        assert {health.attempts_kept for health in WebhookHealth.objects.all()} == {0}

    def test_counts_nothing_of_a_day_that_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody has added an attempt of today to it while its lock was waited for."""
        (attempt,) = attempts_at(LATE - HOUR)
        over = {"deliveries_attempt_2100_04_14": iter([True, False])}
        monkeypatch.setattr(
            partitions,
            "_is_over",
            lambda cursor, partition, before: next(over.get(partition.name, iter([False]))),
        )

        dropped = databases.drop_days(before=LATE, go_on=lambda: True, forget=WebhookHealth.objects.forget)

        assert dropped == 0
        assert kept(attempt.delivery) == 1

    def test_deletes_the_beginning_of_a_day(self) -> None:
        attempts_at(LATE + HOUR, LATE + 2 * HOUR)
        (kept,) = attempts_at(LATE + 3 * HOUR)

        assert retention.prune(before=LATE + 3 * HOUR).attempts == 2

        assert Attempt.objects.get() == kept
        assert "deliveries_attempt_2100_04_15" in parts()

    def test_keeps_a_day_with_one_that_was_queued_later(self) -> None:
        """Its id was made by a clock that was slow."""
        attempts_at(LATE - 2 * HOUR)
        (kept,) = attempts_at(LATE + HOUR)
        Attempt.objects.filter(pk=kept.pk).update(id=new_id_at(LATE - HOUR))

        assert retention.prune(before=LATE).attempts == 1

        assert Attempt.objects.get().created_at == LATE + HOUR
        assert "deliveries_attempt_2100_04_14" in parts()

    def test_deletes_what_was_queued_long_before_it_was_made(self) -> None:
        """Its day, if it ever had one, is gone."""
        (attempt,) = attempts_at(LATE - 40 * DAY)

        assert retention.prune(before=LATE).attempts == 1

        assert not Attempt.objects.filter(pk=attempt.pk).exists()

    def test_keeps_the_days_ahead_and_what_belongs_to_none(self) -> None:
        retention.prune(before=LATE)

        ahead = {f"deliveries_attempt_2100_04_{day}" for day in range(15, 20)}
        assert parts() == ahead | {"deliveries_attempt_other"}

    def test_stops_between_days_when_it_is_told_to(self) -> None:
        there = len(parts())
        answers = iter([True, True, False, False])

        retention.prune(before=LATE, go_on=lambda: next(answers, False))

        assert len(parts()) == there - 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestPruneBesideAReader:
    """Somebody whose transaction has read the attempts: a dump, a report."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(locks, "PAUSE", 0.05)
        databases.make_days(now=LATE - 3 * DAY)
        yield
        with connection.cursor() as cursor:
            for name in parts():
                if "_2100_" in name:
                    cursor.execute(f"DROP TABLE {name}")

    @pytest.fixture
    def beside(self, other_connection: Callable[[str], None]) -> Callable[[str], None]:
        # The part of before the migration has to last for other tests.
        (kept,) = attempts_at(datetime(2026, 3, 15, tzinfo=UTC))
        Attempt.objects.filter(pk=kept.pk).update(created_at=LATE)
        other_connection("SELECT count(*) FROM deliveries_attempt")
        return other_connection

    def test_waits_for_the_end_of_it(self, beside: Callable[[str], None]) -> None:
        attempts_at(LATE - HOUR)
        end = threading.Timer(1, beside, args=["COMMIT"])
        end.start()

        assert retention.prune(before=LATE).attempts == 1

        end.join()
        assert "deliveries_attempt_2100_04_14" not in parts()

    def test_keeps_nobody_waiting_behind_it(self, beside: Callable[[str], None]) -> None:
        waits: list[float] = []
        over = threading.Event()

        def record() -> None:
            while not over.is_set():
                began = time.monotonic()
                Attempt.objects.exists()
                waits.append(time.monotonic() - began)
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            recording = pool.submit(record)
            end = threading.Timer(2, beside, args=["COMMIT"])
            end.start()
            retention.prune(before=LATE)
            over.set()
            recording.result()

        assert len(waits) > 20
        assert max(waits) < 1

    def test_leaves_everything_when_it_takes_too_long(
        self, beside: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "TRIES", 2)
        (attempt,) = attempts_at(LATE - HOUR)
        event = builders.an_event(created_at=LATE - DAY)

        with pytest.raises(databases.InUse, match="pg_stat_activity"):
            retention.prune(before=LATE)

        assert Attempt.objects.filter(pk=attempt.pk).exists()
        assert Event.objects.filter(pk=event.pk).exists()


class TestExpireIdempotencyKeys:
    def test_forgets_them_after_72_hours(self, now: datetime) -> None:
        for key, age in [("new", 71), ("old", 72)]:
            publishing.publish(
                account=builders.an_account(),
                event_type="call.ended",
                payload={},
                idempotency_key=key,
                now=now - timedelta(hours=age),
            )

        assert retention.expire_idempotency_keys(now=now) == 1

        assert IdempotencyKey.objects.get().key == "new"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestManyThatAreKept:
    def test_are_read_once_however_many_batches_there_are(
        self, now: datetime, before: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 100)
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3000)
        events = list(Event.objects.order_by("pk"))
        for number, event in enumerate(events):
            event.created_at = now - OLD + timedelta(seconds=number)
        Event.objects.bulk_update(events, ["created_at"], batch_size=1000)
        # The oldest 2,000 still wait; the rest is to go.
        gone = Delivery.objects.filter(event__in=[event.pk for event in events[2000:]])
        gone.finish(Delivery.Status.SUCCEEDED, now=now - OLD)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE deliveries_event, deliveries_delivery")
        read: list[int] = []

        with connection.execute_wrapper(partial(count_events_read, read)):
            assert retention.prune(before=before).events == 1000

        assert len(read) >= 10
        # Reading the kept ones for each batch would be 20,000 and more.
        assert sum(read) <= 8000, read


def count_events_read(
    read: list[int], execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
) -> Any:
    """Add how many rows of its first table a look for a batch of events reads."""
    if sql.startswith("SELECT") and 'FROM "deliveries_event"' in sql and f"LIMIT {retention.BATCH}" in sql:
        with connection.connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params)
            read.append(rows_read(cursor.fetchone()[0][0]["Plan"]))
    return execute(sql, params, many, context)


def rows_read(plan: dict[str, Any]) -> int:
    """Return how many events a plan reads."""
    own = 0
    if plan.get("Relation Name") == "deliveries_event":
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(rows_read(child) for child in plan.get("Plans", []))
