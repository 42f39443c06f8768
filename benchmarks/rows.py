"""Rows by the million: copies of rows that the service itself has made, with other ids and moments.

Whatever columns a table has, its copies have them too, so this holds while the tables change.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

# Where rows to copy are kept, in every database, beside the places of the webhooks that were copied.
PREPARE = """
CREATE SCHEMA bench;
CREATE TABLE bench.webhooks (kind text, place bigint, id uuid, PRIMARY KEY (kind, place));
CREATE FUNCTION bench.id(moment timestamptz, kind integer, number bigint) RETURNS uuid
  IMMUTABLE LANGUAGE sql AS $$
    -- In the order of the numbers, as version 7 has it: milliseconds, 12 bits that count, and the rest.
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint + number / 4096), 12, '0')
            || '7' || lpad(to_hex(number % 4096), 3, '0')
            || '8' || lpad(to_hex(kind), 3, '0') || lpad(to_hex(number), 12, '0'))::uuid
$$;
CREATE FUNCTION bench.first_id(moment timestamptz) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
"""


def keep(database: psycopg.Connection, name: str, table: str, condition: str) -> None:
    """Keep rows as they are now under a name, to copy them later."""
    _execute(database, f"CREATE TABLE bench.{name} AS SELECT * FROM {table} WHERE {condition}")


def copy(database: psycopg.Connection, name: str, table: str, source: str, **changes: str) -> None:
    """Copy a kept row into its table, once for each row of a source.

    :param source: what follows FROM, beside `template`, the kept row; `generate_series(1, 10) AS n`.
    :param changes: the columns that differ, as SQL.
    """
    rows = database.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = %s"
        " AND is_identity = 'NO' AND is_generated = 'NEVER'",
        [table],
    )
    columns = [column for (column,) in rows]
    values = ", ".join(changes.get(column, f'template."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    with _without_looking_up(database):
        _execute(
            database, f"INSERT INTO {table} ({names}) SELECT {values} FROM bench.{name} AS template, {source}"
        )


@contextmanager
def _without_looking_up(database: psycopg.Connection) -> Iterator[None]:
    """Have the database not look up each row that others refer to: we know that they are there."""
    database.execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        database.execute("RESET session_replication_role")


def _execute(database: psycopg.Connection, statement: str) -> None:
    database.execute(statement.encode())
