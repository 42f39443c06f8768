"""The migration that makes indexes of the attempts that failed: of each day, and then of all of them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from deliveries.models import databases

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

BEFORE = [("deliveries", "0024_lists_of_the_console")]
NOW = [("deliveries", "0025_attempts_that_failed")]
INDEXES = ["attempts_that_failed", "attempts_by_reason"]
DAY = timedelta(days=1)


def migrate(to: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(to)


def ask(query: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


def parts() -> list[str]:
    return ask(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'deliveries_attempt'::regclass"
    )


def indexed(name: str) -> list[str]:
    """Return the parts that have a whole index, and that as a part of the table's."""
    return ask(
        "SELECT indrelid::regclass::text FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid"
        f" WHERE inhparent = to_regclass('{name}') AND indisvalid AND indpred IS NOT NULL"
    )


@pytest.fixture(autouse=True)
def _migrated_back() -> Iterator[None]:
    """Begin without the indexes and with a few days, and leave the database as everybody else wants it."""
    migrate(BEFORE)
    days_ahead(2)
    yield
    with connection.cursor() as cursor:
        for part in parts():
            if "_21" in part:
                cursor.execute(f"DROP TABLE {part}")
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def days_ahead(count: int) -> None:
    databases.make_days(now=timezone.now() + 40_000 * DAY, ahead=count)


@pytest.mark.parametrize("name", INDEXES)
def test_each_is_of_every_part_and_of_those_to_come(name: str) -> None:
    migrate(NOW)
    assert sorted(indexed(name)) == sorted(parts())

    days_ahead(4)

    assert sorted(indexed(name)) == sorted(parts())
    assert ask(f"SELECT indisvalid::text FROM pg_index WHERE indexrelid = '{name}'::regclass") == ["true"]


def test_both_go_again() -> None:
    migrate(NOW)

    migrate(BEFORE)

    assert [ask(f"SELECT to_regclass('{name}')::text") for name in INDEXES] == [[None], [None]]
    assert ask("SELECT relname FROM pg_class WHERE relname LIKE '%that_failed'") == []
