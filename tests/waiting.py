"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How much slower than usual a machine may be: a wait that ends well costs no more for it.
SLOWNESS = 4


def wait_until(condition: Callable[[], T | None], *, what: str, timeout: float = 5, every: float = 0.02) -> T:
    """Wait until the condition holds, and return what it says then.

    :param every: seconds between two looks, more where looking costs something.
    :param timeout: the seconds it takes at most on a machine that is as fast as most, and not busy.
    :raises AssertionError: it did not; the message says what was awaited.
    """
    seconds = timeout * SLOWNESS
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every)
    return found
