"""Readiness: whether this process can serve requests, and what else is worth knowing at a glance."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from deliveries import clock, doorbell
from deliveries.models import Worker
from deliveries.probes.errands import Errand

# How long the database and the broker are waited for, in seconds.
PATIENCE = 2.0


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What was found, check by check."""

    ready: bool
    checks: dict[str, dict[str, Any]]


def look() -> Readiness:
    """Look at everything. Without database or migrations nothing can be served; the rest is only told."""
    database, missing, alive = _look_at_the_database()
    checks: dict[str, dict[str, Any]] = {
        "database": {"ok": database},
        "migrations": {"ok": database and not missing, "missing": missing},
        "workers": {"ok": bool(alive), "alive": alive},
        "redis": {"ok": _has_a_broker()},
    }
    return Readiness(ready=database and not missing, checks=checks)


def _look_at_the_database() -> tuple[bool, list[str] | None, int | None]:
    """Return whether it answers, which migrations it lacks, and how many workers are alive, where known."""
    try:
        missing, alive = _database.answer()
    except (DatabaseError, TimeoutError):
        return False, None, None
    return True, missing, alive


def _ask_the_database() -> tuple[list[str], int | None]:
    applied = MigrationRecorder(connection).applied_migrations()
    missing = sorted(f"{app}.{name}" for app, name in _migrations() - applied.keys())
    # Before its table is there nobody can have written to it.
    return missing, None if missing else Worker.objects.alive(clock.now()).count()


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations this code comes with."""
    return frozenset(MigrationLoader(None).disk_migrations or ())


def _has_a_broker() -> bool:
    try:
        return _broker.answer()
    except Exception:
        # The libraries have many words for it.
        return False


_database = Errand(_ask_the_database, patience=PATIENCE)
_broker = Errand(doorbell.broker_answers, patience=PATIENCE)
