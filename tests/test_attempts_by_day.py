"""The migration that keeps attempts by days, forwards and back, over rows that are there."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import IntegrityError, OperationalError, connection
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from deliveries.identifiers import new_id_at
from deliveries.migrations import _days
from deliveries.models import Attempt
from deliveries.models.databases import locks
from tests import builders, somebody_else
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.postgresql

BEFORE = [("deliveries", "0020_attempts_counted")]
NOW = [("deliveries", "0021_attempts_by_day")]
DAY = timedelta(days=1)


def migrate(to: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(to)


@pytest.fixture(autouse=True)
def migrated_back() -> Iterator[None]:
    """Begin with one table, and leave the database as everybody else wants it.

    All is of one webhook that was there: later columns of webhooks are gone then, and none can be made.
    """
    webhook = builders.a_webhook()
    migrate(BEFORE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders, "a_webhook", lambda: webhook)
        yield
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def ask(query: str) -> list[Any]:
    """Return the first column of what a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


def fail(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def parts() -> list[str]:
    return ask(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'deliveries_attempt'::regclass ORDER BY 1"
    )


def files(table: str) -> set[int]:
    """Return what the files of a table and its indexes are called: others when they are written anew."""
    return set(
        ask(
            f"SELECT pg_relation_filenode('{table}') UNION"  # noqa: S608
            f" SELECT pg_relation_filenode(indexrelid) FROM pg_index WHERE indrelid = '{table}'::regclass"
        )
    )


def an_attempt(at: datetime, **changes: Any) -> Attempt:
    return builders.an_attempt(builders.a_delivery(), created_at=at, **changes)


class TestForwards:
    def test_keeps_what_is_there_and_takes_more(self, now: datetime) -> None:
        kept = an_attempt(now)

        migrate(NOW)

        more = an_attempt(timezone.now())
        assert set(Attempt.objects.all()) == {kept, more}

    @postgresql
    def test_writes_nothing_anew(self, now: datetime) -> None:
        an_attempt(now)
        there = files("deliveries_attempt")

        migrate(NOW)

        before, other = parts()
        assert before.startswith("deliveries_attempt_before_")
        assert other == "deliveries_attempt_other"
        assert files(before) == there

    @postgresql
    def test_gives_the_table_the_indexes_the_model_names(self) -> None:
        migrate(NOW)

        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, "deliveries_attempt")
        # Others come with later migrations.
        later = {"attempts_by_start", "attempts_that_failed", "attempts_by_reason"}
        named = {each.name: each.fields for each in Attempt._meta.indexes if each.name not in later}
        assert {name: [f.removesuffix("_id") for f in found[name]["columns"]] for name in named} == named
        assert found["deliveries_attempt_pkey"]["columns"] == ["id"]
        assert "attempts_failed_have_a_reason" in found
        assert not [name for name, each in found.items() if each["foreign_key"]]

    @postgresql
    def test_takes_ids_from_the_future(self) -> None:
        """A host's clock was wrong once."""
        odd = an_attempt(timezone.now(), id=new_id_at(timezone.now() + 400 * DAY))

        migrate(NOW)

        assert Attempt.objects.get() == odd
        assert ask("SELECT tableoid::regclass::text FROM deliveries_attempt") == ["deliveries_attempt_other"]

    @postgresql
    def test_is_in_no_deadlock_with_a_worker(self) -> None:
        """It has a delivery while it writes the attempt."""
        began = threading.Event()

        def record() -> None:
            with somebody_else.session() as other:
                other.execute("LOCK TABLE deliveries_delivery IN ROW EXCLUSIVE MODE")
                began.set()
                waiting = (
                    "SELECT FROM pg_locks JOIN pg_database AS here ON here.oid = database"
                    " WHERE NOT granted AND datname = current_database()"
                )
                wait_until(lambda: other.execute(waiting).rowcount, what="a migration that waits")
                other.execute("LOCK TABLE deliveries_attempt IN ROW EXCLUSIVE MODE")

        with ThreadPoolExecutor() as pool:
            recording = pool.submit(record)
            assert began.wait(10)
            migrate(NOW)
            recording.result()

        assert len(parts()) == 2

    @postgresql
    def test_may_be_interrupted_and_run_again(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "TRIES", 2)
        kept = an_attempt(now)
        with somebody_else.session() as other:
            other.execute("SELECT count(*) FROM deliveries_attempt")
            with pytest.raises(OperationalError, match="lock timeout"):
                migrate(NOW)

        more = an_attempt(timezone.now())
        assert set(Attempt.objects.all()) == {kept, more}
        migrate(NOW)

        assert Attempt.objects.count() == 2
        assert len(parts()) == 2

    @postgresql
    def test_changes_nothing_when_it_fails_half_way(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = an_attempt(now)
        with monkeypatch.context() as patch:
            patch.setattr(_days, "_add_indexes", fail)
            with pytest.raises(KeyboardInterrupt):
                migrate(NOW)

        more, coming = an_attempt(timezone.now()), an_attempt(timezone.now() + 8 * DAY)
        assert set(Attempt.objects.all()) == {kept, more, coming}
        migrate(NOW)

        assert Attempt.objects.count() == 3

    @postgresql
    def test_says_what_it_leaves_behind_where_it_cannot_take_it_along(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with somebody_else.session() as other:

            def meet_a_dump(*_: object) -> None:
                monkeypatch.setattr(locks, "TRIES", 1)
                other.execute("SELECT count(*) FROM deliveries_attempt")

            monkeypatch.setattr(_days, "_see_that_it_is_so", meet_a_dump)
            with pytest.raises(CommandError, match=r"Run this again before 2.*DROP CONSTRAINT IF EXISTS"):
                migrate(NOW)

        with pytest.raises(IntegrityError):
            an_attempt(timezone.now() + 8 * DAY)
        monkeypatch.undo()
        migrate(NOW)

        an_attempt(timezone.now() + 8 * DAY)

    @postgresql
    def test_puts_back_what_a_try_of_another_day_has_taken_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        odd = an_attempt(timezone.now() + 3 * DAY)
        with monkeypatch.context() as patch:
            patch.setattr(_days, "KEPT_WHOLE", DAY)
            patch.setattr(_days, "_add_parts", fail)
            with pytest.raises(KeyboardInterrupt):
                migrate(NOW)
        assert not Attempt.objects.exists()

        migrate(NOW)

        assert Attempt.objects.get() == odd
        assert not ask("SELECT id FROM deliveries_attempt_other")

    @postgresql
    def test_knows_when_it_was_done_and_nobody_wrote_that_down(self) -> None:
        migrate(NOW)
        MigrationRecorder(connection).record_unapplied(*NOW[0])

        migrate(NOW)

        assert len(parts()) == 2

    @postgresql
    def test_waits_for_somebody_who_keeps_nobody_from_writing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Autovacuum, which PostgreSQL ends only when it has been waited for for a second."""
        monkeypatch.setattr(locks, "TRIES", 1)
        began = threading.Event()

        def vacuum() -> None:
            with somebody_else.session() as other:
                other.execute("LOCK TABLE deliveries_attempt IN SHARE UPDATE EXCLUSIVE MODE")
                began.set()
                time.sleep(1)

        with ThreadPoolExecutor() as pool:
            vacuuming = pool.submit(vacuum)
            assert began.wait(10)
            migrate(NOW)
            vacuuming.result()

        assert len(parts()) == 2


class TestOnSQLite:
    @pytest.mark.sqlite
    def test_leaves_no_half_a_copy_where_it_is_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = an_attempt(timezone.now())
        rename = DatabaseSchemaEditor.alter_db_table
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseSchemaEditor, "alter_db_table", fail)
            with pytest.raises(KeyboardInterrupt):
                migrate(NOW)
        assert DatabaseSchemaEditor.alter_db_table is rename

        assert Attempt.objects.get() == kept
        migrate(NOW)

        assert Attempt.objects.get() == kept


class TestBack:
    def test_keeps_what_is_there(self, now: datetime) -> None:
        kept = an_attempt(now)
        migrate(NOW)
        more = {an_attempt(now), an_attempt(timezone.now() + 30 * DAY)}

        migrate(BEFORE)

        assert set(Attempt.objects.all()) == {kept} | more

    @postgresql
    def test_leaves_one_table_as_it_was(self) -> None:
        migrate(NOW)

        migrate(BEFORE)

        described = "\n".join(describe())
        assert all(each in described for each in AS_IT_WAS), described
        assert described.count("FOREIGN KEY") == 2
        assert described.count("CHECK") == 4
        assert not ask(
            "SELECT relname FROM pg_class WHERE relname LIKE 'deliveries_attempt_%' AND relkind = 'r'"
        )


AS_IT_WAS = (
    "CREATE INDEX attempts_by_age ON public.deliveries_attempt USING btree (created_at)",
    "CREATE INDEX attempts_of_webhook ON public.deliveries_attempt USING btree (webhook_id, created_at, id)",
    "attempts_are_numbered UNIQUE (delivery_id, number)",
    "deliveries_attempt_pkey PRIMARY KEY (id)",
    "attempts_failed_have_a_reason CHECK",
    "an r",
)


def describe() -> list[str]:
    """Return what the table is, and its indexes and constraints, in PostgreSQL's words."""
    return ask(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'deliveries_attempt'::regclass"
        " UNION SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint"
        "  WHERE conrelid = 'deliveries_attempt'::regclass"
        " UNION SELECT 'an ' || relkind::text FROM pg_class WHERE oid = 'deliveries_attempt'::regclass"
        " ORDER BY 1"
    )
