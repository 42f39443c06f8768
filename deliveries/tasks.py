"""Celery's doors: the task a ring starts, the housekeeping, and the life of each worker's dispatcher."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_process_init, worker_process_shutdown, worker_shutdown
from django.conf import settings
from django.utils import timezone

from deliveries import doorbell
from deliveries.services import dispatching, retention, webhooks

# How long a ring occupies its worker before it rings for the next.
BUDGET = timedelta(seconds=20)


@shared_task(name=doorbell.TASK, ignore_result=True)
def deliver_due() -> None:
    """Wake this process's dispatcher, and return when it has caught up with what was due."""
    doorbell.heard()
    dispatcher = dispatching.start(clock=timezone.now)
    dispatcher.wake()
    if not dispatcher.wait_until_caught_up(timeout=BUDGET):
        doorbell.ring()


@shared_task(name="deliveries.tidy", ignore_result=True)
def tidy() -> None:
    """Do what has to be done now and then."""
    now = timezone.now()
    webhooks.settle(now=now)
    retention.expire_idempotency_keys(now=now)


@shared_task(name="deliveries.prune_logs", ignore_result=True, soft_time_limit=3300, time_limit=3600)
def prune_logs() -> None:
    """Delete what is past its retention, unless another process is at it."""
    try:
        retention.prune(before=timezone.now() - settings.WEBHOOKS_RETENTION)
    except retention.AlreadyPruning:
        return


def start_dispatcher(**kwargs: Any) -> None:
    """Start the dispatcher, whose thread looks for due deliveries also when no ring is ever heard."""
    dispatching.start(clock=timezone.now)


def stop_dispatcher(**kwargs: Any) -> None:
    """Finish and record what is under way."""
    dispatching.stop()


@worker_init.connect
def follow_the_pool(sender: Any, **kwargs: Any) -> None:
    """Tie the dispatcher to the processes that run tasks: the pool's children, or this one."""
    if "prefork" in sender.pool_cls.__module__:
        worker_process_init.connect(start_dispatcher)
        worker_process_shutdown.connect(stop_dispatcher)
    else:
        start_dispatcher()
        worker_shutdown.connect(stop_dispatcher)
