"""What recording adds to the minutes of traffic."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Account, Attempt, Delivery, TrafficMinute, Webhook, databases
from deliveries.models.traffic import Traffic, TrafficQuerySet
from deliveries.reasons import Reason
from deliveries.services import composing, redelivery, statistics
from deliveries.services.recording import Result
from deliveries.services.statistics import Period
from deliveries.transport import Reply, TransportError
from tests import builders
from tests.services.fakes import a_reply, record_and_follow

TIMEOUT = TransportError(Reason.CONNECTION_TIMEOUT)


def a_result(
    delivery: Delivery, outcome: Reply | TransportError, *, ended: datetime = builders.NOW, took: int = 142
) -> Result:
    """Return the result of an attempt that took so many milliseconds."""
    duration = timedelta(milliseconds=took)
    return Result(
        delivery=delivery,
        request=composing.compose(delivery, at=ended - duration),
        started_at=ended - duration,
        duration=duration,
        outcome=outcome,
    )


def record(*results: Result, now: datetime = builders.NOW) -> None:
    recorded = record_and_follow(results, now=now, jitter=random.Random(1))
    assert recorded.left == []


def claimed(webhook: Webhook, count: int) -> list[Delivery]:
    """Return so many deliveries a worker has just claimed."""
    builders.a_backlog(webhook, count)
    return builders.claim(builders.NOW)


def totals() -> dict[str, int]:
    """Return the sums of all columns that count, over all rows, without those that are 0."""
    rows = TrafficMinute.objects.values(*TrafficMinute.counts())
    sums = {name: sum(row[name] for row in rows) for name in TrafficMinute.counts()}
    return {name: value for name, value in sums.items() if value}


@pytest.mark.django_db
class TestRecord:
    def test_counts_an_attempt_in_the_minute_it_ended_in(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        record(a_result(delivery, a_reply(), ended=now, took=142))

        row = TrafficMinute.objects.get()
        assert (row.account, row.webhook) == (delivery.account, delivery.webhook)
        assert (row.event_type, row.minute) == ("call.ended", int(now.timestamp()) // 60)
        assert totals() == {"succeeded": 1, "duration_ms": 142, "upto_250": 1}

    def test_adds_what_belongs_to_one_minute(self, now: datetime) -> None:
        webhook = builders.a_webhook(max_in_flight=100)
        one, two, three, next_minute = claimed(webhook, 4)

        record(a_result(one, a_reply(), took=50), a_result(two, a_reply(500), took=51))
        record(a_result(three, a_reply(), took=30_001))
        record(a_result(next_minute, a_reply(), ended=now + timedelta(minutes=1), took=0))

        first, second = TrafficMinute.objects.order_by("minute")
        assert (first.succeeded, first.failed, first.duration_ms) == (2, 1, 50 + 51 + 30_001)
        assert (first.upto_50, first.upto_100, first.over_30000) == (1, 1, 1)
        assert (second.minute - first.minute, second.succeeded, second.upto_5) == (1, 1, 1)

    def test_counts_fast_receivers_finely_enough_for_their_percentiles(self, account: Account) -> None:
        webhook = builders.a_webhook(account, max_in_flight=100)
        period = Period.until(builders.NOW, window=timedelta(hours=1), bucket=timedelta(hours=1))

        record(*(a_result(delivery, a_reply(), took=4) for delivery in claimed(webhook, 10)))

        found = statistics.report(account=account, period=period).totals
        assert found.average_ms == 4
        assert 0 < (found.percentile_ms(0.5) or 0) <= 5
        assert 0 < (found.percentile_ms(0.95) or 0) <= 5

    def test_keeps_webhooks_and_event_types_apart(self) -> None:
        webhook = builders.a_webhook()
        message = builders.an_event(webhook.account, type="message.sent")
        deliveries = [
            builders.a_delivery(webhook),
            builders.a_delivery(webhook, event=message),
            builders.a_delivery(),
        ]

        record(*(a_result(delivery, a_reply()) for delivery in builders.claim(builders.NOW)))

        assert set(TrafficMinute.objects.values_list("account", "webhook", "event_type")) == {
            (delivery.account_id, delivery.webhook_id, delivery.event.type) for delivery in deliveries
        }

    def test_counts_as_given_up_what_has_no_retry_left(self, now: datetime) -> None:
        record(
            a_result(builders.a_claimed_delivery(builders.a_webhook(max_retries=0)), TIMEOUT),
            a_result(builders.a_claimed_delivery(builders.a_webhook(max_retries=1)), TIMEOUT),
        )

        assert totals() == {
            "failed": 2,
            "given_up": 1,
            "unavailable": 2,
            "duration_ms": 284,
            "upto_250": 2,
        }

    def test_counts_a_redelivery_that_failed_again(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()
        redelivery.redeliver(delivery, by="a test", now=now)

        record(*(a_result(claimed, a_reply(500)) for claimed in builders.claim(now)))

        assert totals() == {
            "failed": 1,
            "given_up": 1,
            "unavailable": 1,
            "duration_ms": 142,
            "upto_250": 1,
        }

    def test_counts_once_what_is_recorded_twice(self) -> None:
        result = a_result(builders.a_claimed_delivery(), a_reply())

        record(result, result)
        record(result)

        assert totals()["succeeded"] == 1

    def test_counts_nothing_of_an_old_claim(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        builders.claim(now + timedelta(minutes=2))

        record(a_result(delivery, a_reply(500)))

        assert not TrafficMinute.objects.exists()

    def test_counts_right_when_a_row_was_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        deliveries = claimed(builders.a_webhook(max_in_flight=100), 20)
        results = [a_result(delivery, a_reply()) for delivery in deliveries]
        poison = Reply(http_status=200, headers={"x-poison": "yes"}, body=b"")
        results[7] = a_result(deliveries[7], poison)
        write = databases.write

        def refuse(model: Any, columns: Any, rows: Any) -> None:
            if any({"x-poison": "yes"} in row for row in rows):
                raise DataError
            write(model, columns, rows)

        monkeypatch.setattr(databases, "write", refuse)

        record(*results)

        assert totals() == {"succeeded": 20, "duration_ms": 20 * 142, "upto_250": 20}

    def test_writes_one_statement_however_many_results(self) -> None:
        deliveries = [builders.a_claimed_delivery() for _ in range(20)]

        with CaptureQueriesContext(connection) as queries:
            record(*(a_result(delivery, a_reply()) for delivery in deliveries))

        statements = [query["sql"] for query in queries if "deliveries_trafficminute" in query["sql"]]
        assert len(statements) == 1
        assert TrafficMinute.objects.count() == 20


def in_threads(works: Sequence[Callable[[], None]]) -> None:
    """Do all this at once, each part on a connection of its own; an error in any of them is raised here."""
    together = threading.Barrier(len(works))

    def work(each: Callable[[], None]) -> None:
        together.wait(10)
        try:
            each()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work, each) for each in works]:
            done.result()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestTogether:
    def test_nobody_waits_for_somebody_who_waits_for_him(self) -> None:
        webhook = builders.a_webhook()

        def add(step: int) -> Callable[[], None]:
            def run() -> None:
                for _ in range(10):
                    traffic = [
                        Traffic(webhook.account_id, webhook.pk, "e", minute) for minute in range(200)[::step]
                    ]
                    for each in traffic:
                        each.count(failed=True, given_up=False, unavailable=False, milliseconds=1)
                    TrafficMinute.objects.add(traffic)

            return run

        in_threads([add(1), add(-1)])

        assert set(TrafficMinute.objects.values_list("failed", flat=True)) == {20}

    def test_no_attempt_is_counted_twice_or_lost(self) -> None:
        webhooks = [builders.a_webhook(max_in_flight=1000) for _ in range(3)]
        for webhook in webhooks:
            builders.a_backlog(webhook, 120, retries_left=0)
        results = [
            a_result(delivery, a_reply(200 if number % 3 else 500), took=number)
            for number, delivery in enumerate(builders.claim(builders.NOW))
        ]
        assert len(results) == 360

        def record_all(mine: Sequence[Result]) -> Callable[[], None]:
            def run() -> None:
                left = list(mine)
                while left:
                    recorded = record_and_follow(left[:20], now=builders.NOW, jitter=random.Random(1))
                    left = recorded.left + left[20:]

            return run

        # Every result reaches two of four workers.
        parts = [results[start::2] for start in (0, 1, 1, 0)]
        in_threads([record_all(part) for part in parts])

        sums = totals()
        assert (sums["succeeded"], sums["failed"], sums["given_up"]) == (240, 120, 120)
        assert sums["duration_ms"] == sum(range(360))
        assert sum(sums[name] for name in TrafficMinute.histogram() if name in sums) == 360
        assert Attempt.objects.count() == 360


class TestAdd:
    def test_leaves_no_column_out(self) -> None:
        """A column that is forgotten would keep its first value for ever."""
        named = {"succeeded", "failed", "given_up", "unavailable", "duration_ms"}
        assert set(TrafficMinute.counts()) == named | set(TrafficMinute.histogram())
        assert isinstance(TrafficMinute.objects.all(), TrafficQuerySet)
