"""When a webhook's circuit opens, for how long, and how fast its queue is let go again: pure decisions."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from deliveries.reasons import Reason

# A row of so many ends it, whatever was before.
IN_A_ROW = 10
# Or such a part of at least so many attempts within so long.
SHARE = 0.7
AT_LEAST = 10
WINDOW = timedelta(minutes=5)
# After so many failures at least, a webhook without a success for long is turned off.
DEAD_AFTER = 10
# Where nothing has failed for so long, nothing was tried: that time says nothing about the receiver.
QUIET = timedelta(days=2)

# How a queue is let go: so many at once, then so many a second, a rate that doubles as often as it may.
_AT_ONCE = 10
_RATE = 10
_STRETCH = timedelta(seconds=10)
_DOUBLINGS = 7

# Answers that say "not now" without having looked at what was sent.
BUSY = frozenset({408, 425, 429})
# Ours, not the receiver's: they say nothing about it.
_OURS = frozenset(
    {
        Reason.BLOCKED_ADDRESS,
        Reason.CANCELLED,
        Reason.INVALID_REQUEST,
        Reason.NO_RESOURCES,
        Reason.WORKER_KILLED,
    },
)


def is_unavailable(reason: Reason | None, http_status: int | None) -> bool:
    """Tell whether an attempt failed because the receiver could take nothing at all at that moment."""
    if reason is Reason.HTTP_STATUS and http_status is not None:
        return http_status in BUSY or http_status >= 500
    return reason is not None and reason not in _OURS


def is_answer(reason: Reason | None, http_status: int | None) -> bool:
    """Tell whether an attempt shows a receiver that is there: it took the event, or refused this one."""
    return reason is None or (reason is Reason.HTTP_STATUS and not is_unavailable(reason, http_status))


def trips(*, in_a_row: int, attempts: int, unavailable: int) -> bool:
    """Tell whether a circuit opens.

    :param in_a_row: attempts the receiver could not take, since its last answer.
    :param attempts: of the last five minutes, with all that became of them.
    :param unavailable: those of them the receiver could not take.
    """
    return in_a_row >= IN_A_ROW or (attempts >= AT_LEAST and unavailable >= SHARE * attempts)


def open_for(openings: int, *, delays: Sequence[timedelta], jitter: float) -> timedelta:
    """Return how long a circuit stays open.

    :param openings: how often it opened before, since it was last closed.
    :param delays: the wait after the first opening, the second and so on; the last serves for all beyond.
    :param jitter: what to multiply it by, so that circuits opened together are not all probed together.
    """
    return delays[min(openings, len(delays) - 1)] * jitter


def allowed(elapsed: timedelta) -> int:
    """Return how many held deliveries may have been let go so long after a circuit began to recover."""
    total, rate, left = float(_AT_ONCE), _RATE, max(elapsed, timedelta(0))
    for _ in range(_DOUBLINGS):
        total += min(left, _STRETCH).total_seconds() * rate
        left = max(left - _STRETCH, timedelta(0))
        rate *= 2
    return int(total + left.total_seconds() * rate)


def is_dead(*, failing_since: datetime | None, failures: int, now: datetime, patience: timedelta) -> bool:
    """Tell whether a webhook has had no success for so long that it is to be turned off.

    :param failing_since: since when it has been tried without a success.
    :param failures: how often it has failed since.
    """
    return failing_since is not None and failures >= DEAD_AFTER and now - failing_since >= patience
