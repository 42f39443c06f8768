"""The clock of the rows: the database's, so that a host whose own clock is wrong harms nobody.

Each process asks the database for the time before it needs it first, and now and then, and counts on from
the answer by its monotonic clock, which no step of the host's clock moves. Where the database does not
answer, and where it has no clock of its own, the host's is all there is.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

logger = logging.getLogger(__name__)

# A host this far from its database shows times in its logs that help nobody.
TOLERATED = timedelta(seconds=30)
# An answer that took longer says too little about when it was true, unless there is no other.
_SLOW = 1.0

# What has the database set the clock; None where nothing does.
_ask: Callable[[], object] | None = None
# What to add to the monotonic clock, in seconds; None until the database was asked.
_offset: float | None = None
_asked_at = float("-inf")
_skew = timedelta(0)


def ask_by(ask: Callable[[], object] | None) -> None:
    """Say what has the database set the clock, once somebody wants to know the time."""
    global _ask
    _ask = ask


def now() -> datetime:
    """Return the time, with its zone."""
    if _offset is None and _ask is not None:
        _ask()
    if _offset is None:
        return datetime.now(UTC)  # noqa: TID251 - there is no other yet
    return datetime.fromtimestamp(time.monotonic() + _offset, UTC)


def age() -> timedelta:
    """Return how long ago the database was asked; `timedelta.max` when it never was."""
    age = time.monotonic() - _asked_at
    return timedelta(seconds=age) if age < timedelta.max.total_seconds() else timedelta.max


def skew() -> timedelta:
    """Return how far the host's clock is ahead of the database's, as of the last answer."""
    return _skew


def set_by(ask: Callable[[], datetime]) -> None:
    """Ask for the time, and go by it. What `ask` raises is raised, and the clock goes on as it was."""
    global _asked_at, _offset, _skew
    _asked_at = asked = time.monotonic()
    there = ask().timestamp()
    answered = time.monotonic()
    if _offset is not None and answered - asked > _SLOW:
        return
    # It was true about half way; and the host's clock said then what it says now, less that half.
    half = (answered - asked) / 2
    _offset = there - asked - half
    skew = timedelta(seconds=time.time() - half - there)
    if abs(skew) > TOLERATED >= abs(_skew):
        logger.warning(
            "This host's clock is not the database's, which is the one that counts",
            extra={"event": "clock.skewed", "ahead_seconds": round(skew.total_seconds(), 3)},
        )
    _skew = skew
