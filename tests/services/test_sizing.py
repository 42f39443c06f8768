"""Sizing: what the catalogue says of the database, its tables and the days of attempts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Attempt, Delivery, databases
from deliveries.models.databases import sizes as asking
from deliveries.services import sizing
from deliveries.services.sizing import Sizes
from tests import builders

pytestmark = pytest.mark.django_db

TODAY = datetime(2100, 3, 15, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def some_attempts(number: int, *, at: datetime, apart: timedelta = timedelta(0)) -> None:
    """Make attempts, the first of them at a moment."""
    webhook = builders.a_webhook()
    for place in range(number):
        delivery = builders.a_delivery(webhook, created_at=at)
        builders.an_attempt(delivery, created_at=at + place * apart)


@pytest.fixture
def never_analysed() -> None:
    """Days as after the migration. What other tests took back still takes pages, and was analysed."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        # The server itself may be analysing one of them.
        cursor.execute("SET LOCAL lock_timeout = '60s'")
        cursor.execute("TRUNCATE deliveries_attempt")
        cursor.execute(
            "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relname ~ '^deliveries_attempt'"
        )


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE deliveries_attempt")


class TestDatabase:
    def test_has_a_size_and_a_name(self) -> None:
        assert sizing.sizes().database > 100_000
        name, version = databases.server().split()
        assert name == ("PostgreSQL" if connection.vendor == "postgresql" else "SQLite")
        assert version[0].isdigit()


class TestTables:
    def test_are_all_there_the_largest_first_and_with_indexes(self) -> None:
        found = sizing.sizes()

        names = [table.name for table in found.tables]
        assert set(connection.introspection.table_names()) - {"sqlite_sequence"} >= set(names)
        assert {model._meta.db_table for model in (Attempt, Delivery)} < set(names)
        totals = [table.total or 0 for table in found.tables]
        assert totals == sorted(totals, reverse=True)
        assert found.known
        assert all(table.total for table in found.largest)
        assert len(found.largest) == sizing.LISTED

    @pytest.mark.usefixtures("never_analysed")
    def test_of_attempts_is_the_sum_of_its_days(self) -> None:
        databases.make_days(now=TODAY)
        some_attempts(40, at=TODAY, apart=timedelta(hours=2))
        if connection.vendor == "postgresql":
            analyse()

        found = sizing.sizes()

        assert found.attempts.rows == 40
        assert found.attempts.total is not None
        assert found.attempts.total > sum(day.size for day in found.days)
        assert not any(table.name.startswith("deliveries_attempt_") for table in found.tables)

    def test_may_lie_where_nobody_looks(self) -> None:
        nowhere = Sizes(database=1, tables=[], days=[])

        assert (nowhere.known, nowhere.attempts.rows) == (False, None)

    def test_count_no_rows(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            sizing.sizes()

        assert len(queries) <= 6
        assert not any("count(" in query["sql"].lower() for query in queries)

    @pytest.mark.postgresql
    @pytest.mark.usefixtures("never_analysed")
    def test_have_no_known_rows_before_they_are_analysed(self) -> None:
        some_attempts(3, at=TODAY)

        assert sizing.sizes().attempts.rows is None

    @pytest.mark.postgresql
    @pytest.mark.usefixtures("never_analysed")
    def test_that_were_analysed_in_part_are_taken_to_be_alike(self) -> None:
        databases.make_days(now=TODAY)
        some_attempts(100, at=TODAY)
        analyse()
        databases.make_days(now=TODAY + 8 * DAY)
        some_attempts(100, at=TODAY + 9 * DAY)

        assert 100 < (sizing.sizes().attempts.rows or 0) < 240


@pytest.mark.postgresql
class TestDays:
    def test_reach_ahead_as_far_as_they_are_made(self) -> None:
        before = sizing.sizes()
        databases.make_days(now=TODAY)

        found = sizing.sizes()

        assert found.day_count == before.day_count + 8
        assert found.made_until == TODAY.replace(hour=0) + 8 * DAY
        assert found.days[0].first is None
        last = found.days[-1]
        assert last.first == last.end - DAY
        assert last.size > 0


@pytest.mark.sqlite
class TestSQLite:
    def test_knows_no_days(self) -> None:
        found = sizing.sizes()

        assert (found.days, found.day_count, found.made_until) == ([], 0, None)

    def test_is_not_looked_through_when_it_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asking, "LARGEST_FILE", 0)
        some_attempts(3, at=TODAY)

        found = sizing.sizes()

        assert (found.known, found.attempts.rows, found.attempts.total) == (False, 3, None)

    @pytest.fixture
    def without_dbstat(self) -> Iterator[None]:
        """As SQLite is built by many."""

        def refuse(execute: Any, sql: str, *args: Any) -> Any:
            if "dbstat" in sql:
                raise DatabaseError("no such table: dbstat")
            return execute(sql, *args)

        with connection.execute_wrapper(refuse):
            yield

    @pytest.mark.usefixtures("without_dbstat")
    def test_may_not_know_what_a_table_takes(self) -> None:
        assert not sizing.sizes().known

    def test_estimates_rows_by_their_numbers(self) -> None:
        some_attempts(5, at=TODAY, apart=DAY)

        assert databases.attempts_since(TODAY - DAY) == 5
        assert databases.attempts_since(TODAY + 3 * DAY) == 2
        assert databases.attempts_since(TODAY + 9 * DAY) == 0

    def test_reads_no_table_for_that(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            sizing.sizes()
            databases.attempts_since(TODAY)
        asked = [query["sql"] for query in queries if "max(rowid)" in query["sql"]]

        with connection.cursor() as cursor:
            for sql in asked:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                steps = [step for *_, step in cursor.fetchall()]
                assert any(step.startswith("SEARCH deliveries_attempt") for step in steps)
                assert not any(step.startswith("SCAN deliveries") for step in steps)
        assert len(asked) == 2
