from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Account, TrafficMinute
from deliveries.services import statistics
from deliveries.services.statistics import Figures, Grouping, Period, Report
from tests import builders

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def report(account: Account, **asked: Any) -> Report:
    period = Period.until(builders.NOW, window=24 * HOUR, bucket=HOUR)
    return statistics.report(**{"account": account, "period": period, **asked})


def figures(**sums: int) -> Figures:
    return Figures({**statistics.NOTHING.sums, **sums})


def traffic(webhook: Any, at: datetime, **changes: Any) -> None:
    """Count one attempt in the minute of a moment."""
    builders.a_minute_of_traffic(webhook, minute=TrafficMinute.of(at), **changes)


class TestPeriod:
    def test_ends_with_the_bucket_its_moment_lies_in(self) -> None:
        period = Period.until(datetime(2026, 3, 15, 10, 17, 3, tzinfo=UTC), window=24 * HOUR, bucket=HOUR)

        assert period.start == datetime(2026, 3, 14, 11, tzinfo=UTC)
        assert period.end == datetime(2026, 3, 15, 11, tzinfo=UTC)
        assert period.starts[0] == period.start
        assert len(period.starts) == 24


class TestFigures:
    def test_are_null_where_nothing_happened(self) -> None:
        nothing = statistics.NOTHING

        assert (nothing.attempts, nothing.success_ratio, nothing.average_ms) == (0, None, None)
        assert (nothing.percentile_ms(0.5), nothing.percentile_ms(0.95)) == (None, None)

    def test_follow_from_the_sums(self) -> None:
        some = figures(succeeded=2, failed=1, duration_ms=300, upto_100=3)

        assert (some.attempts, some.success_ratio, some.average_ms) == (3, 0.6667, 100)

    @pytest.mark.parametrize(
        ("columns", "p50", "p95"),
        [
            ({"upto_5": 10}, 2, 5),
            ({"upto_50": 10}, 38, 49),
            ({"upto_250": 10}, 175, 242),
            ({"upto_50": 5, "upto_1000": 5}, 50, 950),
            ({"upto_50": 99, "over_30000": 1}, 38, 49),
            ({"over_30000": 2}, 75_000, 115_500),
        ],
    )
    def test_read_percentiles_off_the_histogram(self, columns: dict[str, int], p50: int, p95: int) -> None:
        some = figures(succeeded=sum(columns.values()), **columns)

        assert (some.percentile_ms(0.5), some.percentile_ms(0.95)) == (p50, p95)

    @pytest.mark.parametrize("part", [0.001, 0.5, 0.95, 1.0])
    @pytest.mark.parametrize(
        ("milliseconds", "least", "most"),
        [(0, 0, 5), (4, 0, 5), (5, 0, 5), (6, 5, 10), (25, 10, 25), (26, 25, 50), (30_000, 10_000, 30_000)],
    )
    def test_keep_percentiles_inside_of_the_column_the_attempts_are_in(
        self, milliseconds: int, least: int, most: int, part: float
    ) -> None:
        some = figures(succeeded=7, **{TrafficMinute.column(milliseconds): 7})

        assert least <= (some.percentile_ms(part) or 0) <= most


@pytest.mark.django_db
class TestReport:
    def test_adds_the_minutes_of_each_bucket(self, account: Account, now: datetime) -> None:
        webhook, other = builders.a_webhook(account), builders.a_webhook(account)
        traffic(webhook, now)
        traffic(other, now + 59 * MINUTE, succeeded=0, failed=2, given_up=1)
        traffic(webhook, now - HOUR)
        traffic(builders.a_webhook(), now)

        found = report(account)

        assert {start: each.attempts for start, each in found.buckets.items()} == {now - HOUR: 1, now: 3}
        sums = found.totals.sums
        assert (sums["succeeded"], sums["failed"], sums["given_up"]) == (2, 2, 1)
        assert (sums["duration_ms"], sums["upto_250"]) == (3 * 142, 3)

    def test_keeps_to_its_period(self, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)
        traffic(webhook, now + HOUR)
        traffic(webhook, now - 23 * HOUR - MINUTE)
        first, last = now - 23 * HOUR, now + HOUR - MINUTE
        traffic(webhook, first)
        traffic(webhook, last)

        assert list(report(account).buckets) == [first, now]

    def test_keeps_to_one_webhook_or_type(self, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)
        traffic(webhook, now)
        traffic(webhook, now, event_type="message.sent")
        traffic(builders.a_webhook(account), now, event_type="message.sent")

        assert report(account).totals.attempts == 3
        assert report(account, webhook_id=webhook.pk).totals.attempts == 2
        assert report(account, event_type="message.sent").totals.attempts == 2
        both = report(account, webhook_id=webhook.pk, event_type="message.sent")
        assert both.totals.attempts == 1
        assert report(builders.an_account(), webhook_id=webhook.pk).totals.attempts == 0

    def test_gives_the_busiest_group_first(self, account: Account, now: datetime) -> None:
        quiet, busy = builders.a_webhook(account, name="quiet"), builders.a_webhook(account, name="busy")
        traffic(quiet, now)
        traffic(busy, now, failed=5)
        traffic(busy, now - HOUR)

        found = report(account, group_by=Grouping.WEBHOOK)

        groups = found.groups or []
        assert [group.webhook and group.webhook.name for group in groups] == ["busy", "quiet"]
        assert [group.totals.attempts for group in groups] == [7, 1]
        assert {start: each.attempts for start, each in groups[0].buckets.items()} == {now - HOUR: 1, now: 6}
        assert (found.totals.attempts, found.truncated) == (8, False)

    def test_gives_a_hundred_groups_and_says_that_there_are_more(
        self, account: Account, now: datetime
    ) -> None:
        webhook = builders.a_webhook(account)
        for number in range(101):
            traffic(webhook, now, event_type=f"type.{number:03}", succeeded=1000 - number)

        found = report(account, group_by=Grouping.EVENT_TYPE)

        assert [group.event_type for group in found.groups or []] == [f"type.{n:03}" for n in range(100)]
        assert found.truncated
        assert found.totals.attempts == sum(1000 - number for number in range(101))

    @pytest.mark.parametrize("group_by", [None, *Grouping], ids=["plain", "webhook", "type"])
    def test_reads_minutes_of_traffic_and_never_attempts(
        self, account: Account, now: datetime, group_by: Grouping | None
    ) -> None:
        traffic(builders.a_webhook(account), now)
        with CaptureQueriesContext(connection) as few:
            report(account, group_by=group_by)
        for _ in range(99):
            traffic(builders.a_webhook(account), now)

        with CaptureQueriesContext(connection) as many:
            report(account, group_by=group_by)

        assert len(many) == len(few)
        tables = {query["sql"].partition(' FROM "')[2].partition('"')[0] for query in many}
        assert tables <= {"deliveries_trafficminute", "deliveries_webhook"}
