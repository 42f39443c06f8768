"""Celery's doors: the task a ring starts, the housekeeping, and the life of each worker's dispatcher.

A worker's children are not told of SIGTERM until their task ends, and then have little time left. So each
holds the end of a pipe whose other end its parent closes at once: that is how a stop reaches them, and the
death of the parent as well. The other way round the parent looks for signs of life of its children: Celery
replaces those that die, but not while it waits for its broker.
"""

import logging
import mmap
import os
import select
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.concurrency.prefork import TaskPool
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)
from django.conf import settings

from deliveries import clock, doorbell, garbage
from deliveries.models import Chore
from deliveries.models.databases import InUse
from deliveries.services import dispatching, measuring, recounting, retention, watchdog

logger = logging.getLogger(__name__)

# How long a ring occupies its worker before it rings for the next.
BUDGET = timedelta(seconds=20)
# How long pruning goes on at a time, which is every hour, and recounting; the rest waits for the next.
PRUNING = timedelta(minutes=20)
RECOUNTING = timedelta(minutes=10)
# What a worker takes to end beside its drain; then it ends whatever its broker does.
CLOSING = timedelta(seconds=3)
# How often a child gives a sign of life, in seconds; and how often in a row its parent looks in vain for one
# of any child before it ends. It counts looks, so that a pause of the machine is none.
SIGN_EVERY = 1.0
LOOKS = 30


@shared_task(name=doorbell.TASK, ignore_result=True)
def deliver_due() -> None:
    """Wake this process's dispatcher, and return when it has caught up with what was due."""
    doorbell.heard()
    if not dispatching.start(clock=clock.now).catch_up(timeout=BUDGET):
        doorbell.ring()


@shared_task(name="deliveries.recover", ignore_result=True)
def recover() -> None:
    """Show that beat is alive and workers take tasks, every second.

    It does no recovery: the dispatchers do. The name stays for whoever watches the age of this chore, and for
    a beat of the version before.
    """
    Chore.objects.note(Chore.Name.RECOVER, now=clock.now())


@shared_task(name="deliveries.note_queue", ignore_result=True)
def note_queue() -> None:
    """Write down how the queue is, every minute, for the charts of the console."""
    measuring.note_minute(now=clock.now())


@shared_task(name="deliveries.expire_idempotency_keys", ignore_result=True)
def expire_idempotency_keys() -> None:
    """Forget the idempotency keys that have had their time."""
    retention.expire_idempotency_keys(now=clock.now())
    Chore.objects.note(Chore.Name.EXPIRE_IDEMPOTENCY_KEYS, now=clock.now())


@shared_task(name="deliveries.prune_logs", ignore_result=True, soft_time_limit=1800, time_limit=2100)
def prune_logs() -> None:
    """Delete what is past its retention, unless another process is at it.

    It is noted as done only when nothing is left: where it never comes so far, its age says so.
    """
    deadline = time.monotonic() + PRUNING.total_seconds()

    def go_on() -> bool:
        return time.monotonic() < deadline and not dispatching.stopping()

    try:
        retention.prune(before=retention.past(settings.WEBHOOKS_RETENTION, now=clock.now()), go_on=go_on)
    except retention.AlreadyPruning:
        return
    except InUse:
        logger.warning("Attempts are in use and could not be dropped", extra={"event": "retention.postponed"})
        return
    if go_on():
        Chore.objects.note(Chore.Name.PRUNE_LOGS, now=clock.now())
    else:
        logger.warning("There is more to prune than there was time", extra={"event": "retention.unfinished"})


@shared_task(name="deliveries.recount_logs", ignore_result=True, soft_time_limit=1200, time_limit=1500)
def recount_logs() -> None:
    """See whether the totals of logs are what there is, unless another process is at it."""
    deadline = time.monotonic() + RECOUNTING.total_seconds()
    try:
        recounting.recount(go_on=lambda: time.monotonic() < deadline and not dispatching.stopping())
    except recounting.AlreadyRecounting:
        return
    Chore.objects.note(Chore.Name.RECOUNT_LOGS, now=clock.now())


def start_dispatcher(**kwargs: Any) -> None:
    """Start the dispatcher, whose thread looks for due deliveries also when no ring is ever heard."""
    garbage.spare_what_stays()
    dispatching.start(clock=clock.now)


def stop_dispatcher(**kwargs: Any) -> None:
    """Finish and record what is under way."""
    dispatching.stop()


@worker_init.connect
def follow_the_pool(sender: Any, **kwargs: Any) -> None:
    """Tie the dispatcher to the processes that run tasks: the pool's children, or this one."""
    if "prefork" in sender.pool_cls.__module__:
        sender.pool_cls = _Pool
        _Parent().follow()
    else:
        doorbell.answer_here()
        start_dispatcher()
        worker_shutting_down.connect(_begin_stop)
        worker_shutdown.connect(stop_dispatcher)


def _begin_stop(**kwargs: Any) -> None:
    dispatching.begin_stop()


def _say_childless() -> None:
    logger.critical("No child is alive; this process ends", extra={"event": "worker.childless"})


class _Pool(TaskPool):
    """Celery's pool, which goes on when a child dies before the worker is ready."""

    def did_start_ok(self) -> bool:
        """Say yes: a child that died is replaced, like every other. At a no the worker would end."""
        return True


class _Parent:
    """The process whose children deliver."""

    def __init__(self) -> None:
        self._for_children, self._ours = os.pipe()
        # One byte, shared with the children: 1 says that one of them has been seen alive since the last look.
        self._alive = mmap.mmap(-1, 1)
        self._ending = threading.Event()

    def follow(self) -> None:
        """Do what is to be done when a child starts, when one ends, and when all are to end.

        The process ends with exit code 1 when no child has given a sign of life for a while: Celery makes no
        new ones while its broker is away, and makes ever more where each dies at its start. A supervisor that
        starts it anew can do better.
        """
        # Not weakly: nobody else holds on to this.
        worker_process_init.connect(self._start_child, weak=False)
        worker_process_shutdown.connect(stop_dispatcher)
        worker_shutting_down.connect(self._tell_children, weak=False)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        looks = 0
        while looks < LOOKS:
            if self._ending.wait(SIGN_EVERY):
                return
            looks = 0 if self._alive[0] else looks + 1
            self._alive[0] = 0
        watchdog.end(_say_childless)

    def _start_child(self, **kwargs: Any) -> None:
        self._close_ours()
        try:
            start_dispatcher()
        except Exception as error:
            # Celery would go on with a child that waits for rings and delivers nothing by itself.
            logger.exception("The dispatcher did not start", extra={"event": "dispatcher.failed"})
            raise SystemExit(1) from error
        threading.Thread(target=self._wait_for_the_end, name="stop", daemon=True).start()

    def _close_ours(self) -> None:
        # A second signal, or a child made after the first, finds it closed.
        with suppress(OSError):
            os.close(self._ours)

    def _wait_for_the_end(self) -> None:
        while not select.select([self._for_children], [], [], SIGN_EVERY)[0]:
            self._alive[0] = 1
        dispatching.begin_stop()

    def _tell_children(self, **kwargs: Any) -> None:
        self._ending.set()
        self._close_ours()
        # With its broker silent, Celery's parent process hangs in attempts to say goodbye to it.
        patience = settings.WEBHOOKS_DRAIN_TIMEOUT + CLOSING
        timer = threading.Timer(patience.total_seconds(), os._exit, args=[0])
        timer.daemon = True
        timer.start()
