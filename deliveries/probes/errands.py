"""Questions that may hang, asked so that nobody waits for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from django.db import connection

_T = TypeVar("_T")


class Errand(Generic[_T]):
    """A question that is asked in a thread of its own, on a connection of its own, once at a time.

    Whoever comes while it is under way gets its answer too, so that impatient probes never pile up.
    """

    def __init__(self, run: Callable[[], _T], *, patience: float) -> None:
        self._run = run
        self._patience = patience
        self._lock = threading.Lock()
        self._under_way: Future[_T] | None = None

    def answer(self) -> _T:
        """Return the answer. What the question raises is raised.

        :raises TimeoutError: there is none after `patience` seconds.
        """
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                threading.Thread(target=self._ask, args=[self._under_way], name="probe", daemon=True).start()
            under_way = self._under_way
        return under_way.result(self._patience)

    def _ask(self, future: "Future[_T]") -> None:
        try:
            future.set_result(self._run())
        except Exception as error:
            future.set_exception(error)
        finally:
            connection.close()
