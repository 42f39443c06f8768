"""The watchdog: a process whose dispatcher is stuck ends, so that its supervisor starts another."""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import NoReturn

logger = logging.getLogger(__name__)

# How often it looks while its patience lasts. It counts looks and not hours: a process that was stopped for a
# while, with its machine or alone, has not been looked at meanwhile.
_LOOKS = 10
# How long last words may take, in seconds: whatever ends a process, it may be a log nobody reads.
_LAST_WORDS = 5.0


@contextmanager
def watching(turns: Callable[[], int], *, patience: timedelta) -> Iterator[None]:
    """End the process with exit code 1 when the thread that runs the block is stuck in it.

    Leases bring back what it had under way.

    :param turns: how often the thread has turned so far; it is stuck when that does not change any more.
    :param patience: for how long it must not have.
    """
    over = threading.Event()
    stuck = threading.get_ident()

    def watch() -> None:
        seen, looks = turns(), 0
        while not over.wait(patience.total_seconds() / _LOOKS):
            seen, looks = (seen, looks + 1) if turns() == seen else (turns(), 0)
            if looks >= _LOOKS:
                _end(stuck, patience)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def end(say: Callable[[], object]) -> NoReturn:
    """End the process with exit code 1, whatever becomes of its last words.

    :param say: says them, in a thread of its own.
    """
    try:
        words = threading.Thread(target=say, daemon=True)
        words.start()
        words.join(_LAST_WORDS)
    finally:
        # A process without threads or memory cannot even speak. Nothing that is to be put away can be waited
        # for.
        os._exit(1)


def _end(stuck: int, patience: timedelta) -> None:
    end(partial(_say_where, stuck, patience))


def _say_where(stuck: int, patience: timedelta) -> None:
    frame = sys._current_frames().get(stuck)
    extra = {
        "event": "dispatcher.stuck",
        "for_seconds": patience.total_seconds(),
        "stack": "".join(traceback.format_stack(frame)),
    }
    logger.critical("The dispatcher is stuck; this process ends so that another takes its place", extra=extra)
