"""Celery's worker and its clock as threads of this process, for `manage.py up`."""

import threading

from celery.beat import Scheduler, Service
from celery.concurrency import get_implementation

from webhooks_project.celery import app

# One thread for rings and one for the housekeeping; deliveries have the dispatcher's own.
THREADS = 2


class WorkerAndBeat:
    """A worker and the clock of the housekeeping. Neither touches the process's signals or its logging."""

    def __init__(self) -> None:
        self._worker = app.WorkController(
            # The class and not its name, as the command line does it: handlers of `worker_init` look at it.
            pool=get_implementation("threads"),
            concurrency=THREADS,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        # This scheduler keeps in memory what the usual one writes to a file.
        self._beat = Service(app, scheduler_cls=Scheduler)

    def start(self) -> None:
        """Begin to work."""
        for name, run in (("worker", self._worker.start), ("beat", self._beat.start)):
            threading.Thread(target=run, name=name, daemon=True).start()

    def stop(self, *, within: float) -> None:
        """Take on nothing more, finish and record what is under way; give up after `within` seconds."""
        self._beat.stop()
        stopping = threading.Thread(target=self._worker.stop, name="worker-stop", daemon=True)
        stopping.start()
        stopping.join(within)
