"""Locks between processes, and on tables that are to be changed while everybody uses them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from zlib import crc32

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections, transaction

from deliveries.models.databases.errors import is_busy

T = TypeVar("T")

# How long whoever changes tables waits for others who do, which keeps nobody from reading and writing: longer
# than the second after which PostgreSQL ends an autovacuum somebody waits for. And how long for everybody
# else, who wait behind it meanwhile: less than the second after which it looks for deadlocks.
FOR_CHANGERS, FOR_USERS = "3s", "200ms"
# How often `patiently` tries, and for how many seconds it lets everybody pass in between.
TRIES = 30
PAUSE = 1.0


@contextmanager
def exclusively(name: str) -> Iterator[bool]:
    """Hold the lock of this name for the length of the block, and tell whether it was free.

    It belongs to the connection, so it is gone as soon as its process is.
    """
    if connection.vendor != "postgresql":
        # One process works on an SQLite file, and its scheduler runs one such job at a time.
        yield True
        return
    key = crc32(name.encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        (free,) = cursor.fetchone()
    try:
        yield free
    finally:
        if free:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


@contextmanager
def unhurried(*, using: str = DEFAULT_DB_ALIAS, seconds: int | None = 600) -> Iterator[None]:
    """Let each statement of the block, which is one transaction, take so long; None: as long as it takes.

    For what must read very many rows, in the time of a worker or of a command.
    """
    database = connections[using]
    with transaction.atomic(using):
        if database.vendor != "postgresql":
            yield
            return
        with database.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{seconds or 0}s'")
        # The server is to say first that it took too long.
        with database.connection.waiting(seconds and seconds + 5):
            yield


def take(*tables: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """Lock tables of PostgreSQL against everybody, in the caller's transaction, and give up soon.

    All of them before anything is changed: who has one table while it waits for the next stands in the way of
    whoever took them in another order.

    :raises OperationalError: somebody uses one of them.
    """
    named = ", ".join(f"ONLY {table}" for table in tables)
    with connections[using].cursor() as cursor:
        for patience, mode in ((FOR_CHANGERS, "SHARE UPDATE EXCLUSIVE"), (FOR_USERS, "ACCESS EXCLUSIVE")):
            cursor.execute(f"SET LOCAL lock_timeout = '{patience}'")
            cursor.execute(f"LOCK TABLE {named} IN {mode} MODE")


def patiently(
    tables: Sequence[str],
    change: Callable[[], T],
    *,
    using: str = DEFAULT_DB_ALIAS,
    go_on: Callable[[], bool] = lambda: True,
) -> T | None:
    """Change tables of PostgreSQL in one transaction, as soon as nobody uses any of them.

    :param go_on: asked before each further try; None is returned when it says no.
    :raises OperationalError: somebody used one of them for all that time.
    """
    tries_left = TRIES
    while True:
        tries_left -= 1
        try:
            with transaction.atomic(using):
                take(*tables, using=using)
                return change()
        except OperationalError as error:
            if not (tries_left and is_busy(error)):
                raise
        if not go_on():
            return None
        time.sleep(PAUSE)
