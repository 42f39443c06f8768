"""Names to addresses: in threads, because `getaddrinfo` knows no timeout, and few of them."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice

from deliveries.reasons import Reason
from deliveries.transport.base import TransportError
from deliveries.transport.shortages import is_shortage

Lookup = Callable[[str], Sequence[str]]

# Seconds an answer is used for; and a failure, so that a dead name server is not asked once per delivery.
ANSWER_LIFETIME = 30.0
FAILURE_LIFETIME = 5.0
# Seconds one exchange waits for a name.
LOOKUP_LIMIT = 3.0
# Lookups under way at once, of names that have no answer yet or had none the last time; and of names that had
# one. A lookup that hangs keeps its thread until libc gives up. So whoever brings up dead names faster than
# that stops the lookups of other new names for a while, but not those of names that work: a name whose lookup
# hangs is no longer one of them.
MAX_LOOKUPS = 128
MAX_REPEATED_LOOKUPS = 64
# Names remembered, and addresses of each: one with more is either a mistake or meant to keep us busy.
MAX_ANSWERS = 4096
MAX_ADDRESSES = 64

# By itself libc (glibc; others read something else) waits 5 s for a name server before it asks again: a lost
# packet would cost a delivery its attempt, and a dead name would hold its thread for much longer. It reads
# this in every thread anew. Whoever runs the service may set the variable to something else.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")


def system_lookup(name: str) -> Sequence[str]:
    """Return the addresses of a name as the operating system finds them, in its order of preference.

    :raises OSError: there are none, or the lookup failed.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(kw_only=True, slots=True)
class _Answer:
    future: "Future[tuple[str, ...]]"
    expires_at: float = float("inf")
    """By `time.monotonic()`; never, while the lookup is under way."""


class Resolver:
    """Looks names up for all threads of a process, each name once at a time."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._answers: dict[str, _Answer] = {}
        self._threads = threading.BoundedSemaphore(MAX_LOOKUPS)
        self._threads_to_repeat = threading.BoundedSemaphore(MAX_REPEATED_LOOKUPS)

    def addresses(self, name: str, *, within: float) -> tuple[str, ...]:
        """Return the addresses of a name, at least one, waiting at most `within` seconds.

        :raises TransportError: NO_RESOURCES, or DNS_FAILED for whatever reason; also when the time is up.
        """
        future = self.ask(name)
        try:
            return future.result(timeout=min(within, LOOKUP_LIMIT))
        except Exception as error:
            raise TransportError(reason(error)) from error

    def ask(self, name: str) -> "Future[tuple[str, ...]]":
        """Return what will be the addresses of a name, without waiting; of its exceptions, see `reason`.

        :raises TransportError: NO_RESOURCES, or DNS_FAILED where too many lookups are under way.
        """
        with self._lock:
            answer = self._answers.get(name)
            if answer is None or answer.expires_at <= time.monotonic():
                answer = self._ask(name)
        return answer.future

    def _ask(self, name: str) -> _Answer:
        """Start a lookup of a name that has no current answer; the caller holds the lock."""
        threads = self._threads_to_repeat if self._had_answer(name) else self._threads
        if not threads.acquire(blocking=False):
            raise TransportError(Reason.DNS_FAILED)
        answer = _Answer(future=Future())
        run = threading.Thread(target=self._run, args=(name, answer, threads), name="resolver", daemon=True)
        try:
            run.start()
        except RuntimeError as error:  # the system has no thread for us
            threads.release()
            raise TransportError(Reason.NO_RESOURCES) from error
        self._answers.pop(name, None)  # the names asked for last stand last
        self._make_room()
        self._answers[name] = answer
        return answer

    def _had_answer(self, name: str) -> bool:
        answer = self._answers.get(name)
        return answer is not None and answer.future.exception() is None

    def _make_room(self) -> None:
        """Forget the names asked longest ago when there are too many; those being looked up stay."""
        surplus = len(self._answers) - MAX_ANSWERS + 1
        done = (name for name, answer in self._answers.items() if answer.future.done())
        for name in list(islice(done, max(surplus, 0))):
            del self._answers[name]

    def _run(self, name: str, answer: _Answer, threads: threading.BoundedSemaphore) -> None:
        try:
            found = _distinct(self._lookup(name))
        except Exception as error:
            if isinstance(error, OSError) and is_shortage(error):
                answer.expires_at = time.monotonic()  # it says nothing about the name
                answer.future.set_exception(TransportError(Reason.NO_RESOURCES))
            else:
                answer.expires_at = time.monotonic() + FAILURE_LIFETIME
                answer.future.set_exception(error)
        else:
            answer.expires_at = time.monotonic() + ANSWER_LIFETIME
            answer.future.set_result(found)
        finally:
            threads.release()


def reason(error: BaseException) -> Reason:
    """Return why a lookup failed."""
    return error.reason if isinstance(error, TransportError) else Reason.DNS_FAILED


def _distinct(found: Sequence[str]) -> tuple[str, ...]:
    if not found:
        raise OSError("the name has no addresses")
    distinct = tuple(dict.fromkeys(found))
    if len(distinct) > MAX_ADDRESSES:
        raise OSError("the name has too many addresses")
    return distinct
