"""Killing a worker of this service on this host, and nothing else.

A heartbeat's row names a process by its id, and ids are used again. So the process is taken hold of first, by
a handle that stays with it, then looked at, and killed by that handle.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from deliveries.models import Worker

_PROC = Path("/proc")
# How exactly the system and the row tell when something began.
_TOLERANCE = timedelta(seconds=1)


class NothingToKill(Exception):
    """No worker on this host can be killed safely; the message says why."""


def choose(*, now: datetime) -> Worker:
    """Return a worker on this host that may be killed.

    :raises NothingToKill: there is none.
    """
    here = Worker.objects.alive(now).filter(host=socket.gethostname()[:255]).order_by("started_at", "pk")
    for worker in here:
        with _held(worker.pid) as handle:
            if handle is not None and _is(worker, now=now):
                return worker
    raise NothingToKill(
        "There is no worker on this host that something would start again: only processes of `celery worker` "
        "and of `manage.py deliver` are killed, and the service of `make run` is neither."
    )


def kill(worker: Worker, *, now: datetime) -> None:
    """Send SIGKILL to the process of this row.

    :raises NothingToKill: it is gone, or somebody else has its process id.
    """
    with _held(worker.pid) as handle:
        if handle is None or not _is(worker, now=now):
            raise NothingToKill(f"The worker with process id {worker.pid} is gone.")
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except PermissionError as error:
            raise NothingToKill(f"The worker with process id {worker.pid} is somebody else's.") from error


@contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """Give a handle on a process, whose id nobody else gets meanwhile; None where there is none."""
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):
        # Only Linux has such handles.
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _is(worker: Worker, *, now: datetime) -> bool:
    """Tell whether the process of this id is this worker: it was there already when the row was begun."""
    try:
        words = (_PROC / str(worker.pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        state, age = _state_and_age(worker.pid)
    except (OSError, ValueError, IndexError):
        return False
    return state not in "ZX" and _delivers(words) and now - age <= worker.started_at + _TOLERANCE


def _delivers(words: Sequence[str]) -> bool:
    names = {Path(word).name for word in words}
    return {"celery", "worker"} <= names or {"manage.py", "deliver"} <= names


def _state_and_age(pid: int) -> tuple[str, timedelta]:
    """Return the state of a process, and how long ago it started."""
    # What stands before is the program's name, which may hold anything.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0], timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - started)
