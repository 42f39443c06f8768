"""Forecasting: how large the attempts will be once as many days are there as are kept. All are estimates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deliveries.models import Attempt
from deliveries.models.databases import DAY, Day, attempts_since, midnight
from deliveries.services.sizing import Sizes

# The pace is that of so many days, or of all there are.
WEEK = 7 * DAY


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What is added in a day. What is not known is None.

    :param over: the time this was seen in.
    :param size: in bytes, with indexes.
    """

    over: timedelta
    attempts: int | None
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What retention does next, and where it leads to.

    :param keeps: how old attempts become, in whole days.
    :param oldest_at: when the oldest attempt was queued; None where there is none.
    :param goes_at: when the day of the oldest may go: from then on no more days are kept than now.
    :param frees: what that frees, in bytes; None where that is not known.
    :param pace: None where there is too little to see one.
    :param full: what attempts take once all days are there that are kept, in bytes.
    """

    keeps: timedelta
    oldest_at: datetime | None
    goes_at: datetime | None
    frees: int | None
    pace: Pace | None
    full: int | None


def forecast(*, sizes: Sizes, keeps: timedelta, now: datetime) -> Forecast:
    """Look ahead: one look at the oldest attempt, and no other row of PostgreSQL's."""
    oldest = Attempt.objects.order_by("created_at").values_list("created_at", flat=True).first()
    if oldest is None:
        return Forecast(keeps=keeps, oldest_at=None, goes_at=None, frees=None, pace=None, full=None)
    day = _day_of(oldest, sizes.days)
    end = day.end if day else midnight(oldest) + DAY
    pace = _pace(oldest, sizes, now)
    # Whole days go, so the day that goes next is there beside those that are kept.
    full = round(pace.size * ((keeps + DAY) / DAY)) if pace and pace.size is not None else None
    return Forecast(
        keeps=keeps,
        oldest_at=oldest,
        goes_at=end + keeps,
        frees=day.size if day else _size_between(oldest, end, sizes),
        pace=pace,
        full=full,
    )


def _day_of(moment: datetime, days: Sequence[Day]) -> Day | None:
    return next(
        (day for day in days if (day.first is None or day.first <= moment) and moment < day.end), None
    )


def _pace(oldest: datetime, sizes: Sizes, now: datetime) -> Pace | None:
    """Return what a day brings: of all there is, where that is no more than a week, or of the last week."""
    over, each = now - oldest, _size_of_one(sizes)
    if over < DAY:
        return None
    if over <= WEEK:
        rows, size = sizes.attempts.rows, sizes.attempts.total
    elif sizes.days:
        today = midnight(now)
        week = [day for day in sizes.days if day.first and today - WEEK <= day.first and day.end <= today]
        if not week:
            # They are all in the part of before there were days.
            return None
        over, size = len(week) * DAY, sum(day.size for day in week)
        rows = round(size / each) if each else None
    else:
        over, rows = WEEK, attempts_since(now - WEEK)
        size = round(rows * each) if rows is not None and each else None
    return Pace(over=over, attempts=_in_a_day(rows, over), size=_in_a_day(size, over))


def _in_a_day(number: int | None, over: timedelta) -> int | None:
    return None if number is None else round(number * (DAY / over))


def _size_of_one(sizes: Sizes) -> float | None:
    """Return what an attempt takes with its part of the indexes, in bytes."""
    attempts = sizes.attempts
    return attempts.total / attempts.rows if attempts.total is not None and attempts.rows else None


def _size_between(start: datetime, end: datetime, sizes: Sizes) -> int | None:
    """Return what the attempts from a moment until another take, where rows are numbered."""
    from_start, from_end, each = attempts_since(start), attempts_since(end), _size_of_one(sizes)
    if from_start is None or from_end is None or each is None:
        return None
    return round(max(0, from_start - from_end) * each)
