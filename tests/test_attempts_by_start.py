"""The migration that makes an index of each day of attempts, and then of all of them."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from deliveries.migrations._online import AddIndexToPartsOnline
from deliveries.models import Attempt, databases
from deliveries.models.databases import locks
from tests import builders, somebody_else
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

BEFORE = [("deliveries", "0021_attempts_by_day")]
NOW = [("deliveries", "0022_attempts_by_start")]
DAY = timedelta(days=1)


def migrate(to: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(to)


@pytest.fixture(autouse=True)
def _migrated_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without the index and with a few days, and leave the database as everybody else wants it."""
    # Later columns of webhooks are gone then, and none can be made.
    webhook = builders.a_webhook()
    migrate(BEFORE)
    days_ahead(7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders, "a_webhook", lambda: webhook)
        yield
    # Later indexes are made in the same way, and nobody meddles with those.
    monkeypatch.undo()
    with connection.cursor() as cursor:
        for part in parts():
            if re.search(r"_2[1-9]\d\d_", part):
                cursor.execute(f"DROP TABLE {part}")
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def days_ahead(count: int) -> None:
    """Make days that begin after all those the migration before has put into one part."""
    databases.make_days(now=timezone.now() + 40_000 * DAY, ahead=count)


def ask(query: str) -> list[Any]:
    """Return the first column of what a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


def parts() -> list[str]:
    return ask(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'deliveries_attempt'::regclass"
    )


def indexed() -> list[str]:
    """Return the parts that have a whole index, and that as a part of the table's."""
    return ask(
        "SELECT indrelid::regclass::text FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid"
        " WHERE inhparent = to_regclass('attempts_by_start') AND indisvalid"
    )


def is_whole() -> bool:
    return ask("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('attempts_by_start')") == [
        True
    ]


def made() -> dict[str, int]:
    """Return what was made of it for parts so far, with its files."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relfilenode FROM pg_class JOIN pg_am ON pg_am.oid = relam AND amname = 'brin'"
            " WHERE relkind = 'i'"
        )
        return dict(cursor.fetchall())


class TestForwards:
    def test_makes_it_of_every_part(self) -> None:
        migrate(NOW)

        assert len(parts()) == 10
        assert sorted(indexed()) == sorted(parts())
        assert is_whole()

    def test_leaves_days_to_come_an_index_of_their_own(self) -> None:
        migrate(NOW)

        days_ahead(9)

        assert len(parts()) == 12
        assert sorted(indexed()) == sorted(parts())
        assert is_whole()

    def test_may_be_interrupted_between_parts_and_run_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make = AddIndexToPartsOnline._make

        def interrupted(self: Any, editor: Any, part: str) -> None:
            if len(made()) == 4:
                raise KeyboardInterrupt
            make(self, editor, part)

        with monkeypatch.context() as patch:
            patch.setattr(AddIndexToPartsOnline, "_make", interrupted)
            with pytest.raises(KeyboardInterrupt):
                migrate(NOW)
        there = made()
        assert len(there) == 4

        migrate(NOW)

        assert is_whole()
        assert sorted(indexed()) == sorted(parts())
        # What was there has not been made anew.
        assert there.items() <= made().items()

    def test_takes_the_place_of_one_that_was_left_half_made(self) -> None:
        """As `CREATE INDEX CONCURRENTLY` leaves one that is interrupted."""
        half = f"{parts()[0]}_attempts_by_start"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE INDEX {half} ON {parts()[0]} USING brin (started_at)")
            cursor.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{half}'::regclass")
        there = made()

        migrate(NOW)

        assert is_whole()
        assert made()[half] != there[half]

    def test_may_be_interrupted_at_the_end_and_run_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By somebody who reads the attempts for long."""
        monkeypatch.setattr(locks, "TRIES", 1)
        attempt = builders.an_attempt(builders.a_delivery())
        make = AddIndexToPartsOnline._make
        with somebody_else.session() as other:

            def meet_a_dump(self: Any, editor: Any, part: str) -> None:
                make(self, editor, part)
                if len(made()) == len(parts()):
                    other.execute("SELECT count(*) FROM deliveries_attempt")

            monkeypatch.setattr(AddIndexToPartsOnline, "_make", meet_a_dump)
            with pytest.raises(OperationalError, match="lock timeout"):
                migrate(NOW)
        assert not is_whole()
        assert Attempt.objects.get() == attempt

        migrate(NOW)

        assert is_whole()

    def test_knows_when_it_was_done_and_nobody_wrote_that_down(self) -> None:
        migrate(NOW)
        there = made()
        MigrationRecorder(connection).record_unapplied(*NOW[0])

        migrate(NOW)

        assert is_whole()
        assert made() == there

    def test_finds_the_days_that_are_made_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a worker, before the first part has its index, while one is made, and after the last."""
        make = AddIndexToPartsOnline._make
        ahead = iter(range(8, 99))

        def meanwhile(self: Any, editor: Any, part: str) -> None:
            days_ahead(next(ahead))
            make(self, editor, part)
            days_ahead(next(ahead))

        monkeypatch.setattr(AddIndexToPartsOnline, "_make", meanwhile)

        migrate(NOW)

        assert len(parts()) > 12
        assert sorted(indexed()) == sorted(parts())
        assert is_whole()

    def test_keeps_nobody_from_writing_while_it_waits(self) -> None:
        """For a transaction that began before it, as a worker's that hangs."""
        began, done = threading.Event(), threading.Event()
        delivery = builders.a_delivery()

        def hang() -> None:
            with somebody_else.session() as other:
                other.execute("LOCK TABLE deliveries_attempt_other IN ROW EXCLUSIVE MODE")
                began.set()
                done.wait(20)

        def work() -> None:
            try:
                migrate(NOW)
            finally:
                connection.close()

        with ThreadPoolExecutor() as pool:
            hanging = pool.submit(hang)
            assert began.wait(10)
            migrating = pool.submit(work)
            waiting = (
                "SELECT pid FROM pg_stat_activity"
                " WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
            )
            wait_until(lambda: ask(waiting), what="a migration that waits")
            builders.an_attempt(delivery, created_at=timezone.now() + 365_000 * DAY)
            done.set()
            hanging.result()
            migrating.result()

        assert is_whole()


class TestBack:
    def test_leaves_nothing_of_it(self) -> None:
        migrate(NOW)

        migrate(BEFORE)

        assert made() == {}
