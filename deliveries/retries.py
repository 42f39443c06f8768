"""When to try again: a pure decision about a failed attempt."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Answers of a receiver, or of what stands before it, that is overloaded rather than wrong.
OVERLOADED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class RetrySchedule:
    """The waits between automatic retries.

    :param delays: the wait before the first retry, the second and so on; the last one serves for all beyond.
    """

    delays: tuple[timedelta, ...]
    overload_delay: timedelta = timedelta(seconds=60)
    retry_after_cap: timedelta = timedelta(hours=24)

    def next_delay(
        self, *, retries_made: int, overloaded: bool, retry_after: timedelta | None, jitter: float
    ) -> timedelta:
        """Return how long to wait before the next retry.

        The scheduled delay times `jitter` (uniform between 0.8 and 1.2, chosen by the caller); at least 60 s
        when the receiver is overloaded or timed out; at least what the receiver asked for, up to 24 hours.
        """
        delay = self.delays[min(retries_made, len(self.delays) - 1)]
        if overloaded:
            delay = max(delay, self.overload_delay)
        delay *= jitter
        if overloaded:
            # Spread beyond the minute, and never below it.
            delay = max(delay, self.overload_delay)
        if retry_after is not None:
            delay = max(delay, min(retry_after, self.retry_after_cap))
        return delay


def retry_after(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """Return the wait a response asks for by `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3).

    None where the header is missing, malformed or names a moment that has passed.
    """
    raw = headers.get("retry-after", "").strip()
    if raw.isascii() and raw.isdigit():
        # Nobody means more than a day, and a number of any length must not overflow.
        return timedelta(seconds=int(raw[:9]))
    try:
        moment = parsedate_to_datetime(raw)
        wait = moment.replace(tzinfo=moment.tzinfo or UTC) - now
    except (ValueError, OverflowError):
        return None
    return wait if wait > timedelta(0) else None
