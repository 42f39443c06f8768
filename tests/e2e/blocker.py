"""For a process of the service: blocks its dispatcher for good, as a bug of a library might.

The first process that finds the file CAUSE takes it away and hangs; those after it do not.
"""

import os
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from deliveries.transport import RequestsTransport
from deliveries.transport.curl_engine import CurlTransport

CAUSE = "TESTS_BLOCKER_CAUSE"


def _blocking(collect: Any) -> Any:
    def collect_or_hang(self: object, timeout: timedelta) -> Any:
        with suppress(FileNotFoundError):
            Path(os.environ[CAUSE]).unlink()
            threading.Event().wait()
        return collect(self, timeout)

    return collect_or_hang


def block() -> None:
    """Have the dispatcher of this process look for its cause. For a `sitecustomize`, and nobody else."""
    RequestsTransport.collect = _blocking(RequestsTransport.collect)  # type: ignore[method-assign]
    CurlTransport.collect = _blocking(CurlTransport.collect)  # type: ignore[method-assign]
