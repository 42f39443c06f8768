"""The table of the attempts becomes one of days, and one table again. On PostgreSQL; SQLite has one table."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, transaction

from deliveries.identifiers import first_id_at
from deliveries.models.databases.locks import patiently, unhurried
from deliveries.models.databases.partitions import midnight

TABLE, OTHER = "deliveries_attempt", "deliveries_attempt_other"

# The old table goes on taking what is queued for so long; by then workers have made the days that follow.
KEPT_WHOLE = timedelta(days=7)
# The indexes of all parts, and their columns.
SHARED = {"attempts_of_webhook": "webhook_id, created_at, id", "attempts_by_age": "created_at"}
_EXPECT_NOTHING = f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS attempts_until_then"


def divide(apps: Any, schema_editor: Any) -> None:
    """Make the table a part of a new one: the part for every id up to a few days from now.

    Its rows and indexes stay where they are. What takes time, to see that all ids are such, keeps nobody from
    writing; all the rest is names. It may be interrupted, and then run again.

    :raises CommandError: it failed, and left a rule behind that must not stay.
    """
    connection = schema_editor.connection
    if connection.vendor != "postgresql" or _is_divided(connection):
        return
    end = _midnight_after(KEPT_WHOLE, connection)
    change = partial(patiently, [TABLE], using=connection.alias)
    change(partial(_expect_until, end, schema_editor))
    try:
        _see_that_it_is_so(end, schema_editor)
        change(partial(_add_parts, end, schema_editor))
    except BaseException as error:
        # Should the next try never come, nobody could write any more once that day has come.
        try:
            change(partial(schema_editor.execute, _EXPECT_NOTHING))
        except DatabaseError:
            raise CommandError(
                f"The attempts are not kept by days yet ({error}). Run this again before {end:%Y-%m-%d},"
                f" or let go of them: {_EXPECT_NOTHING}"
            ) from error
        raise


def _is_divided(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'deliveries_attempt'::regclass")
        return bool(cursor.fetchone()[0])


def _midnight_after(span: timedelta, connection: Any) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return midnight(cursor.fetchone()[0] + span)


def _expect_until(end: datetime, schema_editor: Any) -> None:
    """Let in only ids from before that day, and make what belongs to no day, which each day is made like."""
    schema_editor.execute(_EXPECT_NOTHING)
    schema_editor.execute(f"CREATE TABLE IF NOT EXISTS {OTHER} (LIKE {TABLE} INCLUDING ALL)")
    schema_editor.execute(
        f"ALTER TABLE {TABLE} ADD CONSTRAINT attempts_until_then CHECK (id < %s) NOT VALID",
        [first_id_at(end)],
    )


def _see_that_it_is_so(end: datetime, schema_editor: Any) -> None:
    """Put every id on its side, and have the database see that it is. It reads all rows, and nobody waits."""
    # Ids of a host whose clock was days ahead, if there are any: nobody sees them until the end. And those
    # that were put there by a try on another day.
    for source, target, which in ((TABLE, OTHER, "id >= %s"), (OTHER, TABLE, "id < %s")):
        schema_editor.execute(
            f"WITH moved AS (DELETE FROM {source} WHERE {which} RETURNING *)"  # noqa: S608 - names of ours
            f" INSERT INTO {target} SELECT * FROM moved",
            [first_id_at(end)],
        )
    with unhurried(using=schema_editor.connection.alias, seconds=None):
        schema_editor.execute(f"ALTER TABLE {TABLE} VALIDATE CONSTRAINT attempts_until_then")


def _add_parts(end: datetime, schema_editor: Any) -> None:
    """Give the table another name, and make it a part of one that has its name."""
    execute, old = schema_editor.execute, f"{TABLE}_before_{end:%Y_%m_%d}"
    execute(f"ALTER TABLE {TABLE} RENAME TO {old}")
    execute(f"ALTER INDEX {TABLE}_pkey RENAME TO {old}_pkey")
    for name in SHARED:
        execute(f"ALTER INDEX {name} RENAME TO {old}_{name}")
    execute(f"CREATE TABLE {TABLE} (LIKE {OTHER} INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (id)")
    _add_indexes(schema_editor)
    execute(
        f"ALTER TABLE {TABLE} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO (%s)", [first_id_at(end)]
    )
    execute(f"ALTER TABLE {TABLE} ATTACH PARTITION {OTHER} DEFAULT")
    execute(f"ALTER TABLE {old} DROP CONSTRAINT attempts_until_then")


def unite(apps: Any, schema_editor: Any) -> None:
    """Copy all the days into one table. It takes its time, and nobody can write meanwhile."""
    if schema_editor.connection.vendor != "postgresql":
        return
    execute = schema_editor.execute
    with transaction.atomic(schema_editor.connection.alias):
        execute("LOCK TABLE deliveries_attempt IN ACCESS EXCLUSIVE MODE")
        execute("CREATE TABLE united (LIKE deliveries_attempt INCLUDING ALL EXCLUDING INDEXES)")
        execute("INSERT INTO united SELECT * FROM deliveries_attempt")
        execute("DROP TABLE deliveries_attempt")
        execute("ALTER TABLE united RENAME TO deliveries_attempt")
        _add_indexes(schema_editor)
        execute(
            "ALTER TABLE deliveries_attempt ADD CONSTRAINT attempts_are_numbered UNIQUE (delivery_id, number)"
        )


def _add_indexes(schema_editor: Any) -> None:
    """Give the table what Django knows of its indexes."""
    schema_editor.execute("ALTER TABLE deliveries_attempt ADD PRIMARY KEY (id)")
    for name, columns in SHARED.items():
        schema_editor.execute(f"CREATE INDEX {name} ON deliveries_attempt ({columns})")
