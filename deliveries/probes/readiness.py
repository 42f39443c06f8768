"""Readiness: whether this process can serve requests, and what else is worth knowing at a glance."""

from dataclasses import dataclass
from typing import Any

from django.db import Error as DatabaseError

from deliveries import clock, doorbell
from deliveries.models import Chore, Worker
from deliveries.probes.errands import Errand
from deliveries.services import schema

# How long the database is waited for, and after how long a silent broker is taken for away, in seconds.
PATIENCE = 2.0
# For how long an answer is given again, in seconds: load balancers ask often, and anybody may.
FRESH = 1.0


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What was found, check by check: `ok`, which is None where that is not known yet, and details."""

    ready: bool
    checks: dict[str, dict[str, Any]]

    def without_details(self) -> dict[str, dict[str, bool | None]]:
        """Return the checks as anybody may see them."""
        return {name: {"ok": check["ok"]} for name, check in self.checks.items()}


def look() -> Readiness:
    """Look at everything. Without database or migrations nothing can be served; the rest is only told, and
    the broker, which decides nothing, not even waited for."""
    database, missing, alive, beat = _look_at_the_database()
    checks: dict[str, dict[str, Any]] = {
        "database": {"ok": database},
        "migrations": {"ok": database and not missing, "missing": missing},
        "workers": {"ok": bool(alive), "alive": alive},
        "beat": {"ok": beat is not None and beat < Chore.MISSED_AFTER.total_seconds(), "age": beat},
        "redis": {"ok": _has_a_broker()},
    }
    return Readiness(ready=database and not missing, checks=checks)


def database_answers() -> bool:
    """Tell whether the database answers at all, however slow it is otherwise."""
    return _look_at_the_database()[0]


def _look_at_the_database() -> tuple[bool, list[str] | None, int | None, int | None]:
    """Return whether it answers, which migrations it lacks, how many workers are alive, and how many seconds
    ago beat gave a sign of life, where known."""
    try:
        missing, alive, beat = _database.answer()
    except (DatabaseError, TimeoutError):
        return False, None, None, None
    return True, missing, alive, beat


def _ask_the_database() -> tuple[list[str], int | None, int | None]:
    missing = schema.missing()
    if missing:
        # Before its table is there nobody can have written to it.
        return missing, None, None
    now = clock.now()
    beat = Chore.objects.last_done()[Chore.Name.RECOVER]
    age = max(0, int((now - beat).total_seconds())) if beat else None
    return missing, Worker.objects.alive(now).count(), age


def _has_a_broker() -> bool | None:
    """Return what was last known of the broker."""
    try:
        return _broker.latest()
    except Exception:
        # The libraries have many words for it.
        return False


_database = Errand(_ask_the_database, patience=PATIENCE, fresh=FRESH)
_broker = Errand(doorbell.broker_answers, patience=PATIENCE, fresh=FRESH)
