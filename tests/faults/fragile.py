"""The service's Celery application, for workers that die of a delivery whose body says so.

Started with `-A tests.faults.fragile`. The process ends as it does when the kernel kills it for its memory:
at once, in the middle of making the request.
"""

import os
import signal
from datetime import datetime
from typing import Any

from celery.signals import worker_process_init

from webhooks_project.celery import app

__all__ = ["app"]

POISON = "take this and die"


@worker_process_init.connect
def become_fragile(**kwargs: Any) -> None:
    """Have this process die of poison. Django is not set up before."""
    from deliveries.models import Delivery
    from deliveries.services import composing
    from deliveries.transport import Request

    compose = composing.compose

    def compose_or_die(delivery: Delivery, *, at: datetime) -> Request:
        if POISON.encode() in bytes(delivery.event.body):
            os.kill(os.getpid(), signal.SIGKILL)
        return compose(delivery, at=at)

    composing.compose = compose_or_die
