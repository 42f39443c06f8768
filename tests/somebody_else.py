"""Somebody else who works on the database at the same time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Model


def session() -> psycopg.Connection:
    """Return a connection of somebody else's to the same database of PostgreSQL; it opens a transaction."""
    parameters = connection.get_connection_params()
    return psycopg.connect(**{name: parameters[name] for name in ("dbname", "user", "host", "port")})


@contextmanager
def holding(row: Model) -> Iterator[None]:
    """Have another connection hold the row for the length of the block."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            type(row)._default_manager.select_for_update().get(pk=row.pk)
            locked.set()
            done.wait(10)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert locked.wait(10)
        yield
        done.set()
        held.result()


@contextmanager
def waits() -> Iterator[list[int]]:
    """Count the statements that wait for a lock in vain."""
    waited = [0]

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        try:
            return execute(sql, params, many, context)
        except OperationalError:
            waited[0] += 1
            raise

    with connection.execute_wrapper(count):
        yield waited


@contextmanager
def locking(table: str) -> Iterator[None]:
    """Have somebody else hold a table."""
    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table}")
        yield
    finally:
        other.rollback()
        other.close()
