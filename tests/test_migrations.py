"""Migrations that may run while the version before them works."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelOptions,
    CreateModel,
    Migration,
    RemoveConstraint,
    RemoveIndex,
    RunPython,
    SeparateDatabaseAndState,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from deliveries.migrations._online import (
    AddIndexOnline,
    AlterFieldOnline,
    RemoveIndexOnline,
    RunOnPostgreSQL,
)
from deliveries.models import Webhook
from deliveries.services import webhooks
from tests import builders, somebody_else

# Everything until then was laid before anybody ran it.
FIRST = "0003_audit_recoveries_traffic"
# So large or so busy that nobody can wait until all of it has been read.
BIG = {"attempt", "delivery", "event", "failure", "idempotencykey", "trafficminute"}
# What the version before does not notice, where it is done to a table that is not big.
HARMLESS = (AddConstraint, RemoveConstraint, AddIndex, RemoveIndex)
# Looked at by somebody: they touch no table that is big or busy, or only the words Django knows of a column,
# or how PostgreSQL keeps a table, which keeps nobody waiting; or a row at a time; or the names of tables, as
# `locks.patiently` does it.
LOOKED_AT = {
    ("0006_groups", RunPython),
    ("0008_encryption_rotated", AlterField),
    ("0009_acts_of_pausing", AlterField),
    ("0010_chores", RunPython),
    ("0012_acts_by_hand", AlterField),
    ("0013_reason_no_resources", AlterField),
    ("0018_tables_that_change_all_the_time", RunOnPostgreSQL),
    ("0020_attempts_counted", RunPython),
    ("0021_attempts_by_day", SeparateDatabaseAndState),
    ("0021_attempts_by_day", AlterFieldOnline),
    ("0021_attempts_by_day", RunPython),
    # The groups of people, and a new action of the audit, which is a word Django knows.
    ("0023_failure_groups", RunPython),
    ("0023_failure_groups", AlterField),
    # Of failures it only reads, and holds no lock.
    ("0027_failures_in_groups", RunPython),
    ("0028_tests_are_audited", AlterField),
    # The few webhooks that disabled themselves, which nobody writes to.
    ("0030_disabled_themselves", RunPython),
}


def later_migrations() -> list[Migration]:
    """Return the migrations that meet an installation with traffic."""
    loader = MigrationLoader(None)
    ours = [migration for (app, _), migration in loader.disk_migrations.items() if app == "deliveries"]
    return sorted(
        (migration for migration in ours if migration.name > FIRST), key=lambda migration: migration.name
    )


def why_not(migration: Migration, operation: Operation, made_here: set[str]) -> str:
    """Return what is wrong with an operation that meets traffic; nothing where it may."""
    if isinstance(operation, CreateModel | AlterModelOptions | AddIndexOnline | RemoveIndexOnline):
        return ""
    if (migration.name, type(operation)) in LOOKED_AT:
        return ""
    table = getattr(operation, "model_name", "")
    if table in made_here:
        return ""
    if isinstance(operation, AddField):
        # The version before does not know the column, and writes rows.
        field = operation.field
        fills_itself = field.null or field.db_default is not models.NOT_PROVIDED
        return "" if fills_itself else "the version before cannot write the table any more: give a db_default"
    if isinstance(operation, HARMLESS):
        return "nobody can write the table meanwhile" if table in BIG else ""
    return "the version before may still need what it changes; or look at it, and say so in LOOKED_AT"


class TestLaterMigrations:
    @pytest.mark.parametrize("migration", later_migrations(), ids=lambda migration: migration.name)
    def test_leave_the_version_before_at_work(self, migration: Migration) -> None:
        made_here = {each.name.lower() for each in migration.operations if isinstance(each, CreateModel)}

        wrong = [
            f"{operation.describe()}: {why}"
            for operation in migration.operations
            if (why := why_not(migration, operation, made_here))
        ]

        assert wrong == []


@contextmanager
def long_transaction(*, seconds: float) -> Iterator[None]:
    """Somebody else's, a dump for example, that began before and ends so much later."""
    began = threading.Event()

    def hold() -> None:
        with somebody_else.session() as other:
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT count(*) FROM deliveries_agent")
            began.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    assert began.wait(10)
    yield
    thread.join()


def make_index() -> None:
    """Make an index online."""
    operation = AddIndexOnline("agent", models.Index(fields=["name"], name="agents_of_a_test"))
    before = MigrationLoader(connection).project_state()
    after = before.clone()
    operation.state_forwards("deliveries", after)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("deliveries", editor, before, after)


def ask(query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows


VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'agents_of_a_test'::regclass"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestIndexMadeOnline:
    @pytest.fixture(autouse=True)
    def no_index_left(self) -> Iterator[None]:
        yield
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX IF EXISTS agents_of_a_test")

    def test_waits_longer_for_a_dump_than_anybody_waits_for_a_lock(self) -> None:
        with long_transaction(seconds=2.5):
            make_index()

        assert ask(VALID) == [(True,)]
        assert ask("SHOW lock_timeout") == [("2s",)]

    def test_takes_the_place_of_one_that_was_left_half_made(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE INDEX agents_of_a_test ON deliveries_agent (id)")
            cursor.execute(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agents_of_a_test'::regclass"
            )

        make_index()

        assert ask(VALID) == [(True,)]


@pytest.mark.django_db
def test_webhooks_that_disabled_themselves_before_it_are_found(now: datetime) -> None:
    gone, dead, switched_off = (builders.a_webhook(name=name) for name in ("gone", "dead", "switched off"))
    for webhook, reason in (
        (gone, "The receiver answered 410 Gone."),
        (dead, "No success for 5 days of trying: the last 40 attempts failed."),
        (switched_off, "Moved."),
    ):
        webhooks.disable(webhook.pk, reason=reason, by="somebody", now=now)

    import_module("deliveries.migrations.0030_disabled_themselves").find(apps, None)

    found = Webhook.objects.exclude(disabled_itself_at=None).order_by("pk")
    assert list(found.values_list("name", "disabled_itself_at")) == [("gone", now), ("dead", now)]
