"""Schema: whether the database has the tables this code works with."""

from functools import cache

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


def missing() -> list[str]:
    """Return the migrations of this code that the database lacks, as `app.name`.

    :raises django.db.Error: it is away.
    """
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in _migrations() - applied.keys())


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations this code comes with."""
    return frozenset(MigrationLoader(None).disk_migrations or ())
