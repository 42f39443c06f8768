"""For a process of the service: blocks its dispatcher for good, as a bug of a library might.

The first process that finds the file CAUSE takes it away and hangs; those after it do not.
"""

import os
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from deliveries.transport import Exchange, RequestsTransport

CAUSE = "TESTS_BLOCKER_CAUSE"

_collect = RequestsTransport.collect


def _collect_or_hang(self: RequestsTransport, timeout: timedelta) -> list[Exchange]:
    with suppress(FileNotFoundError):
        Path(os.environ[CAUSE]).unlink()
        threading.Event().wait()
    return _collect(self, timeout)


def block() -> None:
    """Have the dispatcher of this process look for its cause. For a `sitecustomize`, and nobody else."""
    RequestsTransport.collect = _collect_or_hang  # type: ignore[method-assign]
