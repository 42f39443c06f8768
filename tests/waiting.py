"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], *, what: str, timeout: float = 5) -> None:
    """Wait until the condition holds.

    :raises AssertionError: it did not within `timeout` seconds; the message says what was awaited.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.02)
