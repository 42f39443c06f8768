"""Forecasting: when the next day goes, the pace, what attempts will take; and when that cannot be told."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import databases
from deliveries.models.databases import Day, TableSize
from deliveries.services import forecasting, retention, sizing
from deliveries.services.forecasting import Forecast, Pace
from deliveries.services.sizing import Sizes
from tests import builders

pytestmark = pytest.mark.django_db

TODAY = datetime(2100, 3, 15, 10, 0, tzinfo=UTC)
MIDNIGHT = TODAY.replace(hour=0)
DAY = timedelta(days=1)
KEEPS = 30 * DAY


def some_sizes(*, rows: int | None = 1000, total: int | None = 500_000, days: Sequence[Day] = ()) -> Sizes:
    attempts = TableSize(
        name="deliveries_attempt", rows=rows, data=total, indexes=0 if total is not None else None
    )
    return Sizes(database=1_000_000, tables=[attempts], days=days)


def a_day(ago: int, size: int = 0) -> Day:
    return Day(first=MIDNIGHT - ago * DAY, end=MIDNIGHT - (ago - 1) * DAY, size=size)


def attempts_at(*moments: datetime) -> None:
    webhook = builders.a_webhook()
    for moment in moments:
        builders.an_attempt(builders.a_delivery(webhook, created_at=moment), created_at=moment)


def look_ahead(sizes: Sizes) -> Forecast:
    return forecasting.forecast(sizes=sizes, keeps=KEEPS, now=TODAY)


class TestNothing:
    def test_is_foretold_of_no_attempts(self) -> None:
        ahead = look_ahead(some_sizes(rows=0))

        assert (ahead.oldest_at, ahead.goes_at, ahead.pace, ahead.full) == (None, None, None, None)

    def test_is_foretold_of_less_than_a_day(self) -> None:
        attempts_at(TODAY - DAY + timedelta(seconds=1))

        ahead = look_ahead(some_sizes())

        assert (ahead.pace, ahead.full) == (None, None)
        assert ahead.oldest_at == TODAY - DAY + timedelta(seconds=1)


class TestNextDay:
    def test_goes_when_retention_lets_it(self) -> None:
        attempts_at(TODAY - 9 * DAY, TODAY)

        goes_at = look_ahead(some_sizes(days=[a_day(ago) for ago in range(9, -8, -1)])).goes_at

        assert goes_at == MIDNIGHT - 8 * DAY + KEEPS
        end = MIDNIGHT - 8 * DAY
        assert retention.past(KEEPS, now=goes_at) == end
        assert retention.past(KEEPS, now=goes_at - timedelta(seconds=1)) < end

    def test_frees_what_its_part_takes(self) -> None:
        attempts_at(TODAY - 9 * DAY, TODAY)

        assert look_ahead(some_sizes(days=[a_day(9, 4321), a_day(8, 1)])).frees == 4321

    def test_may_be_all_that_was_there_before_days(self) -> None:
        attempts_at(TODAY - 9 * DAY, TODAY)
        before = Day(first=None, end=MIDNIGHT - 2 * DAY, size=99)

        ahead = look_ahead(some_sizes(days=[before, a_day(2)]))

        assert (ahead.goes_at, ahead.frees) == (MIDNIGHT - 2 * DAY + KEEPS, 99)

    def test_frees_its_share_where_there_are_no_parts(self) -> None:
        attempts_at(TODAY - 9 * DAY, TODAY - 9 * DAY + timedelta(hours=1), TODAY)

        ahead = look_ahead(some_sizes(rows=3, total=3000))

        assert ahead.goes_at == MIDNIGHT - 8 * DAY + KEEPS
        # PostgreSQL has such an attempt among those of no day, of which nobody knows the sizes by day.
        assert ahead.frees == (None if connection.vendor == "postgresql" else 2000)


class TestPace:
    def test_is_that_of_all_there_is_in_the_first_week(self) -> None:
        attempts_at(TODAY - 4 * DAY)

        ahead = look_ahead(some_sizes(rows=1000, total=400_000))

        assert ahead.pace == Pace(over=4 * DAY, attempts=250, size=100_000)
        assert ahead.full == 31 * 100_000

    def test_is_that_of_the_whole_days_of_the_last_week(self) -> None:
        attempts_at(TODAY - 20 * DAY)
        days = [a_day(ago, 7_000 if ago == 8 else 100_000 + ago) for ago in range(8, 0, -1)]

        ahead = look_ahead(some_sizes(days=[*days, a_day(0, 9_999), a_day(-1)]))

        assert ahead.pace == Pace(over=7 * DAY, attempts=200, size=100_004)
        assert ahead.full == 31 * 100_004

    def test_is_not_known_while_all_is_from_before_there_were_days(self) -> None:
        attempts_at(TODAY - 20 * DAY)

        ahead = look_ahead(some_sizes(days=[Day(first=None, end=MIDNIGHT + 6 * DAY, size=99)]))

        assert (ahead.pace, ahead.full) == (None, None)

    @pytest.mark.sqlite
    def test_is_told_by_the_numbers_of_rows_where_there_are_no_days(self) -> None:
        attempts_at(TODAY - 20 * DAY, *(TODAY - ago * DAY / 2 for ago in range(13, -1, -1)))

        ahead = look_ahead(some_sizes(rows=15, total=15_000))

        assert ahead.pace == Pace(over=7 * DAY, attempts=2, size=2000)

    def test_is_without_bytes_where_nobody_knows_them(self) -> None:
        attempts_at(TODAY - 4 * DAY)

        ahead = look_ahead(some_sizes(rows=1000, total=None))

        assert ahead.pace == Pace(over=4 * DAY, attempts=250, size=None)
        assert ahead.full is None

    def test_is_without_attempts_before_the_table_is_analysed(self) -> None:
        attempts_at(TODAY - 4 * DAY)

        assert look_ahead(some_sizes(rows=None)).pace == Pace(over=4 * DAY, attempts=None, size=125_000)


class TestOfTheDatabase:
    def test_costs_a_bounded_number_of_queries(self) -> None:
        databases.make_days(now=TODAY)
        attempts_at(*(TODAY - ago * DAY for ago in range(20)))

        with CaptureQueriesContext(connection) as queries:
            ahead = look_ahead(sizing.sizes())

        assert ahead.oldest_at == TODAY - 19 * DAY
        assert len(queries) <= 9
        assert not any("count(" in query["sql"].lower() for query in queries)
