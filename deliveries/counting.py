"""Counting requests against limits: in Redis for all processes together, or in this process's memory.

Counted is by the sliding window: the requests of the window before count by the share of it that is less than
a window ago. That takes two numbers whatever the limit is, and the edge of a window opens no gap.

Redis is never a reason to refuse or to wait: when it fails or is slow, it is left alone for a while, and this
process counts alone.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

_PREFIX = "webhooks:limits"

# A request waits this many seconds at most for a connection, and as many again for each answer. On a new
# connection with a password and a database these are three: less than 100 ms in all.
_TIMEOUT = 0.024
# Whoever waited for more than this many seconds in all has waited for everybody: Redis is as good as away.
_SLOW = 0.05
# Then, and after an error, Redis is left alone for this many seconds.
_BREAKER = 5.0


class Window(NamedTuple):
    """What was counted in the window before and in this one, and how many seconds each is remembered."""

    before: int
    before_remembered: float
    now: int
    now_remembered: float


@dataclass(frozen=True, kw_only=True)
class Count:
    """Where somebody stands with a limit.

    :param allowed: whether the request is within the limit. One that is not has not been counted.
    :param remaining: how many more are.
    :param wait: whole seconds until there is one more, at least 1.
    """

    allowed: bool
    remaining: int
    wait: int


class Counter:
    """Counts in Redis where there is one and it answers, otherwise in memory. Fit for threads and forks."""

    def __init__(self, url: str) -> None:
        self._memory = _Memory()
        self._redis = _Redis(url) if url.startswith(("redis://", "rediss://", "unix://")) else None
        self._left_alone_until = 0.0

    def take(self, limit: RateLimitItem, who: str) -> Count:
        """Count one request of somebody, unless that is one too many."""
        return self._ask(limit, who, amount=1)

    def look(self, limit: RateLimitItem, who: str) -> Count:
        """Return where somebody stands, and count nothing."""
        return self._ask(limit, who, amount=0)

    def _ask(self, limit: RateLimitItem, who: str, *, amount: int) -> Count:
        key = limit.key_for(who)
        if self._redis is not None and time.monotonic() >= self._left_alone_until:
            began = time.monotonic()
            try:
                counted = self._redis.take(key, limit, amount)
            # Whatever is the matter with it: a request that could not be counted is answered all the same.
            except Exception as error:
                self._leave_alone(error)
            else:
                if time.monotonic() - began > _SLOW:
                    self._leave_alone(TimeoutError("It counted, and took too long over it."))
                return _count(limit, *counted)
        return _count(limit, *self._memory.take(key, limit, amount))

    def _leave_alone(self, error: Exception) -> None:
        # Those who asked at the same time found the same, and need not say it again.
        known = time.monotonic() < self._left_alone_until
        self._left_alone_until = time.monotonic() + _BREAKER
        if not known:
            logger.warning(
                "Redis counts no requests; this process counts its own",
                extra={"event": "limits.no_redis", "error": str(error)},
                exc_info=logger.isEnabledFor(logging.DEBUG),
            )


def counter(url: str) -> Counter:
    """Return this process's counter; the same one for every thread, also when several are the first."""
    with _making:
        return _counter(url)


@cache
def _counter(url: str) -> Counter:
    return Counter(url)


_making = threading.Lock()


class _Store(Protocol):
    def take(self, key: str, limit: RateLimitItem, amount: int) -> tuple[bool, Window]:
        """Count so many requests unless that is too many; return whether it was not, and the counts."""


class _Memory(_Store):
    def __init__(self) -> None:
        self._storage = MemoryStorage()
        # The library's own steps may be interrupted by another thread's.
        self._lock = threading.Lock()

    def take(self, key: str, limit: RateLimitItem, amount: int) -> tuple[bool, Window]:
        seconds = limit.get_expiry()
        with self._lock:
            taken = self._storage.acquire_sliding_window_entry(key, limit.amount, seconds, amount)
            return taken, Window(*self._storage.get_sliding_window(key, seconds))


class _Redis(_Store):
    def __init__(self, url: str) -> None:
        self._client: Any = Redis.from_url(  # whose types know no script that returns a list
            url,
            socket_connect_timeout=_TIMEOUT,
            socket_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # two questions less on each new connection
        )

    def take(self, key: str, limit: RateLimitItem, amount: int) -> tuple[bool, Window]:
        current = f"{_PREFIX}:{key}"
        keys, arguments = (f"{current}/before", current), (limit.amount, limit.get_expiry(), amount)
        # With its text: by its name alone a Redis that has just begun would have to be asked three times.
        taken, counts = self._client.eval(_TAKE_AND_LOOK, len(keys), *keys, *arguments)
        before, before_remembered, now, now_remembered = (max(0, int(count or 0)) for count in counts)
        return bool(taken), Window(before, before_remembered / 1000, now, now_remembered / 1000)


# The library's two scripts, each as a function with arguments of its own: one way to Redis instead of two.
_TAKE_AND_LOOK = b"\n".join(
    [
        b"local function take(ARGV)",
        RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW,
        b"end",
        b"local function look(ARGV)",
        RedisStorage.SCRIPT_SLIDING_WINDOW,
        b"end",
        b"return {take(ARGV), look({ARGV[2]})}",
    ]
)


def _count(limit: RateLimitItem, allowed: bool, window: Window) -> Count:
    seconds = limit.get_expiry()
    still = math.floor(window.before * window.before_remembered / seconds)
    if still:
        # They go one by one.
        wait = window.before_remembered - still * seconds / window.before
    else:
        # Those of this window begin to go at its edge.
        wait = window.now_remembered - seconds
    remaining = max(0, limit.amount - still - window.now)
    return Count(allowed=allowed, remaining=remaining, wait=min(max(0, math.floor(wait)) + 1, seconds))
