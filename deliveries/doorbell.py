"""Ringing: telling the workers that there is work, without ever waiting for the broker.

A ring carries nothing, and losing every one of them costs latency only: each worker looks for due deliveries
by itself once a second. So the caller hands a ring to a thread of this process and goes on.
"""

import logging
import os
import threading
import time
from functools import cache
from typing import cast

from celery import current_app
from django.db import transaction
from kombu import Connection
from redis import Redis

logger = logging.getLogger(__name__)

TASK = "deliveries.deliver_due"

# For how many seconds one message stands for all rings of a process: the least where they are few, and twice
# as long each time it was rung meanwhile.
_COALESCE = (0.005, 0.02)
# After an error the broker is left alone for this many seconds.
_BREAKER = 5.0
# A message nobody has heard after this many seconds is worth nothing.
_EXPIRES = 30
# With Redis, one outstanding ring serves all processes; a lost one is made up for after this many seconds.
_FLAG = "webhooks:rung"
_FLAG_SECONDS = 2
# With so many rings waiting nobody is listening, and more would only fill the broker.
_UNHEARD = 100
# No answer from the broker within this many seconds counts as an error.
_TIMEOUT = 1.0


def ring_on_commit() -> None:
    """Wake a worker once the current transaction has committed; at once outside of one."""
    transaction.on_commit(ring)


def ring() -> None:
    """Wake a worker. Returns at once, whatever state the broker is in."""
    _ringer(os.getpid()).ring()


def heard() -> None:
    """Say that a ring has been heard, so that the next one is sent. Called by the task, before it works."""
    url = str(current_app.conf.broker_url)
    if _is_redis(url):
        try:
            _redis(url).delete(_FLAG)
        except Exception:
            # The flag runs out by itself.
            logger.debug("Doorbell flag not cleared", exc_info=True)


def answer_here() -> None:
    """Say that this process hears the rings of a broker that lives in it. Called where a worker starts."""
    _answered_here.set()


def errors() -> int:
    """Return how many rings of this process the broker did not take."""
    ringer = _ringers.get(os.getpid())
    return ringer.errors if ringer else 0


def broker_answers() -> bool:
    """Tell whether the broker can be reached; one that lives in this process always can.

    :raises Exception: whatever the library says instead of no.
    """
    url = str(current_app.conf.broker_url)
    return bool(_redis(url).ping()) if _is_redis(url) else True


class _Ringer:
    """The thread that talks to the broker for this process."""

    def __init__(self) -> None:
        self.errors = 0
        self._rung = threading.Event()
        self._connection: Connection | None = None
        threading.Thread(target=self._run, name="doorbell", daemon=True).start()

    def ring(self) -> None:
        self._rung.set()

    def _run(self) -> None:
        least, most = _COALESCE
        coalesce = least
        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                self._send()
            except Exception:
                self.errors += 1
                self._connection = None
                logger.warning(
                    "The broker took no ring; workers find the work by themselves",
                    extra={"event": "doorbell.failed", "errors": self.errors},
                    exc_info=logger.isEnabledFor(logging.DEBUG),
                )
                time.sleep(_BREAKER)
            else:
                time.sleep(coalesce)
                coalesce = min(2 * coalesce, most) if self._rung.is_set() else least

    def _send(self) -> None:
        url = str(current_app.conf.broker_url)
        if not (_is_wanted_by_redis(url) if _is_redis(url) else _is_heard(url)):
            return
        if self._connection is None:
            self._connection = self._connect(url)
        current_app.send_task(
            TASK, connection=self._connection, expires=_EXPIRES, ignore_result=True, retry=False
        )

    @staticmethod
    def _connect(url: str) -> Connection:
        options = dict(current_app.conf.broker_transport_options)
        if _is_redis(url):
            options |= {
                "socket_timeout": _TIMEOUT,
                "socket_connect_timeout": _TIMEOUT,
                "retry_on_timeout": False,
            }
        return Connection(url, transport_options=options, connect_timeout=_TIMEOUT)


def _ringer(pid: int) -> _Ringer:
    """Return this process's ringer; the id is the key because a thread does not survive a fork."""
    if pid not in _ringers:
        _ringers[pid] = _Ringer()
    return _ringers[pid]


_ringers: dict[int, _Ringer] = {}


def _is_wanted_by_redis(url: str) -> bool:
    """Tell whether no ring is outstanding, and note that ours is."""
    client = _redis(url)
    # The library types its answers for clients that await and for those that do not; ours does not.
    waiting = cast(int, client.llen(str(current_app.conf.task_default_queue)))
    if waiting >= _UNHEARD:
        return False
    return bool(client.set(_FLAG, 1, nx=True, ex=_FLAG_SECONDS))


def _is_heard(url: str) -> bool:
    """Tell whether anybody takes what we send: a broker in memory has no other listener than this process."""
    return not url.startswith("memory:") or _answered_here.is_set()


_answered_here = threading.Event()


@cache
def _redis(url: str) -> "Redis":
    return Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)


def _is_redis(url: str) -> bool:
    return url.startswith(("redis://", "rediss://", "unix://"))
