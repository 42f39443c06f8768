"""Ctrl-C, the first and the second, and the end of the process."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class Stop:
    """The first SIGINT or SIGTERM asks for a stop; the second ends the process on the spot."""

    def __init__(self, on_second: Callable[[], None]) -> None:
        """Take over both signals; the main thread only.

        :param on_second: says goodbye; nothing after it is run.
        """
        self._asked_for = threading.Event()
        self._on_second = on_second
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def wait(self) -> None:
        """Return when a stop has been asked for."""
        self._asked_for.wait()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked_for.is_set():
            self._on_second()
            leave(1)
        self._asked_for.set()


def leave(code: int) -> NoReturn:
    """End the process. Any other way would first wait for threads that may still wait for a receiver."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
