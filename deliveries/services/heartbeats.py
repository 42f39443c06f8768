"""Heartbeats: each process that delivers says every few seconds, in a row of its own, that it does."""

import logging
import os
import socket
import time
from datetime import datetime, timedelta

from django.db import Error as DatabaseError

from deliveries import doorbell
from deliveries.models import Worker
from deliveries.models.databases import keep_time

logger = logging.getLogger(__name__)

# How old the database's answer to what time it is may become.
_TIME_KEPT_FOR = timedelta(seconds=10)


class Heart:
    """The row of this process. It belongs to the dispatcher's thread, so that a beat proves that this lives.

    `worker` is that row: who counts something counts it there, and the next beat writes it.
    """

    def __init__(self, *, slots: int) -> None:
        self.worker = Worker(host=socket.gethostname()[:255], pid=os.getpid(), slots=slots)
        self._beat_at = 0.0

    def beat(self, *, now: datetime, under_way: int, unrecorded: int) -> None:
        """Write the row, unless that was done lately.

        A database that cannot take it is no reason to stop delivering, and is left alone until the next beat.
        """
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + Worker.HEARTBEAT.total_seconds()
        worker = self.worker
        worker.seen_at, worker.under_way, worker.unrecorded = now, under_way, unrecorded
        worker.doorbell_errors = doorbell.errors()
        try:
            worker.clock_skew = keep_time(within=_TIME_KEPT_FOR)
            if worker.started_at is None:
                worker.started_at = now
                Worker.objects.forgotten(now).delete()
            Worker.objects.beat(worker)
        except DatabaseError as error:
            worker.database_errors += 1
            logger.warning(
                "A heartbeat could not be written",
                extra={"event": "heartbeat.failed", "error": type(error).__name__},
            )

    def stop(self) -> None:
        """Take the row away: this process ends in good order."""
        try:
            Worker.objects.filter(pk=self.worker.pk).delete()
        except DatabaseError:
            logger.debug("The row of this worker stays behind", exc_info=True)
