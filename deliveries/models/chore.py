"""Chores: the housekeeping that beat starts, and when each was last done."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from django.db import models


class ChoreQuerySet(models.QuerySet["Chore"]):
    """Chores."""

    def note(self, name: "Chore.Name", *, now: datetime) -> None:
        """Note that a chore was done, unless that was noted lately: mostly this is one look at one row."""
        lately = self.filter(pk=name, done_at__gt=now - Chore.NOTED_EVERY, done_at__lte=now)
        if not lately.exists():
            self.bulk_create(
                [Chore(name=name, done_at=now)],
                update_conflicts=True,
                unique_fields=["name"],
                update_fields=["done_at"],
            )

    def last_done(self) -> "dict[str, datetime | None]":
        """Return when each was last done, to `NOTED_EVERY`; None where it never was."""
        never: dict[str, datetime | None] = dict.fromkeys(map(str, Chore.Name))
        return never | dict(self.filter(pk__in=list(never)).values_list("name", "done_at"))


class Chore(models.Model):
    """Something beat has done from time to time: it tells a dead beat from one with nothing to say."""

    class Name(StrEnum):
        """What is done: every second, every ten minutes, every hour, every night."""

        RECOVER = "recover"
        EXPIRE_IDEMPOTENCY_KEYS = "expire_idempotency_keys"
        PRUNE_LOGS = "prune_logs"
        RECOUNT_LOGS = "recount_logs"

    # How often it is written that one was done that is done all the time.
    NOTED_EVERY: ClassVar = timedelta(seconds=30)
    # Without the chore of every second for so long, beat is taken for dead: workers may be busy for a while.
    MISSED_AFTER: ClassVar = timedelta(minutes=5)
    # What has not been done for so long is late. Pruning, and counting at night, may not get ready in one go.
    LATE_AFTER: ClassVar = {
        Name.RECOVER: MISSED_AFTER,
        Name.EXPIRE_IDEMPOTENCY_KEYS: timedelta(hours=1),
        Name.PRUNE_LOGS: timedelta(hours=4),
        Name.RECOUNT_LOGS: timedelta(days=2),
    }

    name = models.CharField(primary_key=True, max_length=32, editable=False)
    done_at = models.DateTimeField()

    objects = ChoreQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
