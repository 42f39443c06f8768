"""Workers: the processes that deliver, each with a row it writes every few seconds while it lives."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models

from deliveries.identifiers import new_id


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Workers."""

    def alive(self, now: datetime) -> Self:
        """Keep those that were seen lately."""
        return self.filter(seen_at__gt=now - Worker.SILENT_AFTER)

    def silent(self, now: datetime) -> Self:
        """Keep those that were not, and did not stop in good order; of the last day."""
        return self.exclude(seen_at__gt=now - Worker.SILENT_AFTER).exclude(seen_at__lte=now - Worker.KEPT)

    def forgotten(self, now: datetime) -> Self:
        """Keep those that have been silent for so long that nobody asks for them any more."""
        return self.filter(seen_at__lte=now - Worker.KEPT)

    def beat(self, worker: "Worker") -> None:
        """Write a worker's row, whether it is there or not, in one statement."""
        self.bulk_create([worker], update_conflicts=True, unique_fields=["id"], update_fields=Worker.CHANGING)


class Worker(models.Model):
    """A process with a dispatcher: its heartbeat, and what it has counted since it started.

    The row goes when the process stops in good order; one that was killed leaves it behind, silent.
    """

    # How long after its last heartbeat a worker is taken for dead, and how often it writes one.
    SILENT_AFTER: ClassVar = timedelta(seconds=30)
    HEARTBEAT: ClassVar = timedelta(seconds=5)
    # How long the row of one that was killed is kept.
    KEPT: ClassVar = timedelta(days=1)
    # What a heartbeat writes anew.
    CHANGING: ClassVar = (
        "seen_at",
        "claimed_at",
        "recorded_at",
        "under_way",
        "unrecorded",
        "recorded",
        "fenced",
        "database_errors",
        "doorbell_errors",
        "clock_skew",
    )

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    claimed_at = models.DateTimeField(null=True, help_text="When it last asked for due deliveries.")
    recorded_at = models.DateTimeField(null=True, help_text="When it last wrote results.")
    slots = models.PositiveIntegerField(help_text="Exchanges it keeps under way at most.")
    under_way = models.PositiveIntegerField(default=0)
    unrecorded = models.PositiveIntegerField(default=0, help_text="Results not written yet.")
    recorded = models.PositiveBigIntegerField(default=0, help_text="Results written.")
    fenced = models.PositiveBigIntegerField(
        default=0, help_text="Results of old claims that changed nothing."
    )
    database_errors = models.PositiveBigIntegerField(default=0)
    doorbell_errors = models.PositiveBigIntegerField(default=0)
    clock_skew = models.DurationField(
        null=True, help_text="How far its host's clock is ahead of the database's."
    )

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
