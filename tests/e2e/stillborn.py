"""The service's Celery application, for children of a worker that come to nothing.

Started with `-A tests.e2e.stillborn`. The file CAUSE says what happens to those that start while it is there:
`killed`, as the kernel does it, or `failed`, once, by an exception where the dispatcher starts. Their parent
looks for them less often before it gives up.
"""

import os
import signal
from pathlib import Path
from typing import Any

from celery.signals import worker_init, worker_process_init

from webhooks_project.celery import app

__all__ = ["app"]

CAUSE = "TESTS_STILLBORN_CAUSE"
LOOKS = 8


@worker_init.connect
def become_impatient(**kwargs: Any) -> None:
    """Have the parent give up soon."""
    from deliveries import tasks

    tasks.LOOKS = LOOKS


@worker_process_init.connect
def come_to_nothing(**kwargs: Any) -> None:
    """Die, or have this process's dispatcher fail. Django is not set up before."""
    from deliveries.services import dispatching

    cause = Path(os.environ[CAUSE])
    if not cause.exists():
        return
    if cause.read_text() == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    cause.unlink()

    def fail(**kwargs: Any) -> None:
        raise RuntimeError("can't start new thread")

    dispatching.start = fail  # type: ignore[assignment]
