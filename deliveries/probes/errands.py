"""Questions that may hang, asked so that nobody waits for long."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from django.db import connection

_T = TypeVar("_T")


class Errand(Generic[_T]):
    """A question that is asked in a thread of its own, on a connection of its own, once at a time.

    Whoever comes while it is under way gets its answer too, so that impatient probes never pile up. So does
    who comes within `fresh` seconds after it: however often somebody comes, it is asked only so often.
    """

    def __init__(self, run: Callable[[], _T], *, patience: float, fresh: float = 0.0) -> None:
        self._run = run
        self._patience = patience
        self._fresh = fresh
        self._lock = threading.Lock()
        self._asked: Future[_T] | None = None
        self._before: Future[_T] | None = None
        self._patient_until = 0.0
        self._fresh_until = 0.0

    def answer(self) -> _T:
        """Return the answer. What the question raises is raised.

        :raises TimeoutError: there is none `patience` seconds after it was asked.
        """
        return self._ask().result(max(0.0, self._patient_until - time.monotonic()))

    def latest(self) -> _T | None:
        """Return the last answer without waiting, and ask again if that is old. None before the first.

        What the question raised is raised.

        :raises TimeoutError: the one under way is out of time.
        """
        asked = self._ask()
        if asked.done() or time.monotonic() >= self._patient_until:
            return asked.result(0)
        return self._before.result() if self._before else None

    def _ask(self) -> "Future[_T]":
        with self._lock:
            asked = self._asked
            if asked is None or (asked.done() and time.monotonic() >= self._fresh_until):
                future: Future[_T] = Future()
                thread = threading.Thread(target=self._find_out, args=[future], name="probe", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise TimeoutError("There is no thread left to ask in.") from error
                # Only now: nobody would ever answer one whose thread has not started.
                self._before, self._asked = asked, future
                self._patient_until = time.monotonic() + self._patience
                return future
            return asked

    def _find_out(self, future: "Future[_T]") -> None:
        try:
            answer = self._run()
        except Exception as error:
            self._fresh_until = time.monotonic() + self._fresh
            future.set_exception(error)
        else:
            self._fresh_until = time.monotonic() + self._fresh
            future.set_result(answer)
        finally:
            connection.close()
