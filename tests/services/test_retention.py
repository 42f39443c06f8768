from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zlib import crc32

import psycopg
import pytest
from django.db import connection

from deliveries.models import (
    Attempt,
    Delivery,
    Event,
    Failure,
    IdempotencyKey,
    TrafficMinute,
    Webhook,
    WebhookRevision,
)
from deliveries.services import publishing, redelivery, retention, webhooks
from tests import builders

pytestmark = pytest.mark.django_db

OLD = timedelta(days=40)


@pytest.fixture
def before(now: datetime) -> datetime:
    return now - timedelta(days=30)


def an_old_failed_delivery(now: datetime) -> Delivery:
    delivery = builders.a_failed_delivery(created_at=now - OLD, finished_at=now - OLD)
    Event.objects.filter(pk=delivery.event_id).update(created_at=now - OLD)
    Attempt.objects.filter(delivery=delivery).update(created_at=now - OLD)
    return delivery


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


@pytest.fixture
def other_connection(db: None) -> Iterator[Callable[[str], None]]:
    """Run statements on a connection of somebody else's to the same database."""
    parameters = {name: connection.settings_dict[name.upper()] for name in ("host", "port", "user")}
    with psycopg.connect(**parameters, dbname=connection.settings_dict["NAME"]) as other:
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

        def recheck_after_a_redelivery(batch: Sequence[object], before: datetime) -> list[object]:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(redeliver).result()
            return recheck(batch, before)

        monkeypatch.setattr(retention, "_still_finished", recheck_after_a_redelivery)

        assert retention.prune(before=before).events == 0
        delivery.refresh_from_db()
        assert delivery.status == Delivery.Status.PENDING


@pytest.mark.postgresql
class TestPruneByTwo:
    def test_is_refused_to_the_second(
        self, before: datetime, other_connection: Callable[[str], None]
    ) -> None:
        other_connection(f"SELECT pg_advisory_lock({crc32(b'deliveries.prune')})")

        with pytest.raises(retention.AlreadyPruning):
            retention.prune(before=before)


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
