"""Statistics: what was attempted in a stretch of time, from the minutes of traffic, not from attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Any, Self
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from deliveries.models import Account, TrafficMinute, Webhook

MOST_GROUPS = 100
# No webhook waits longer, so no attempt in the last column of the histogram took much longer.
LONGEST_MS = 120_000
_EDGES = list(pairwise((0, *TrafficMinute.BOUNDS, LONGEST_MS)))


class Grouping(Enum):
    """What figures may be given for each of; the value is the column."""

    WEBHOOK = "webhook_id"
    EVENT_TYPE = "event_type"


@dataclass(frozen=True, kw_only=True)
class Period:
    """A stretch of time, cut into buckets of equal length that start at multiples of it, in UTC."""

    start: datetime
    end: datetime
    bucket: timedelta

    @classmethod
    def until(cls, moment: datetime, *, window: timedelta, bucket: timedelta) -> Self:
        """Return the period whose last bucket is the one the moment lies in; `bucket` divides `window`."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        end = epoch + ((moment - epoch) // bucket + 1) * bucket
        return cls(start=end - window, end=end, bucket=bucket)

    @property
    def starts(self) -> list[datetime]:
        """When each bucket starts."""
        return [self.start + number * self.bucket for number in range((self.end - self.start) // self.bucket)]


@dataclass(frozen=True)
class Figures:
    """The sums of all columns that count, and what follows from them."""

    sums: Mapping[str, int]

    @property
    def attempts(self) -> int:
        """How many attempts ended."""
        return self.sums["succeeded"] + self.sums["failed"]

    @property
    def success_ratio(self) -> float | None:
        """Which part of the attempts succeeded; None where there were none."""
        return round(self.sums["succeeded"] / self.attempts, 4) if self.attempts else None

    @property
    def average_ms(self) -> int | None:
        """How long an attempt took on average; None where there were none."""
        return round(self.sums["duration_ms"] / self.attempts) if self.attempts else None

    def percentile_ms(self, part: float) -> int | None:
        """Return how long this part of the attempts took at most; None where there were none.

        An estimate: inside of a column of the histogram durations count as evenly spread.
        """
        wanted, passed = part * self.attempts, 0
        for (low, high), name in zip(_EDGES, TrafficMinute.histogram(), strict=True):
            here = self.sums[name]
            if here and passed + here >= wanted:
                return round(low + (high - low) * (wanted - passed) / here)
            passed += here
        return None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The figures of one webhook or event type; `buckets` has those in which anything happened."""

    webhook: Webhook | None = None
    event_type: str | None = None
    totals: Figures
    buckets: Mapping[datetime, Figures]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was attempted in a period.

    :param buckets: those in which anything happened; empty where there are groups.
    :param groups: the busiest first; None where nothing is grouped.
    :param truncated: whether there are more groups than are given. The totals count them.
    """

    totals: Figures
    buckets: Mapping[datetime, Figures]
    groups: Sequence[Group] | None = None
    truncated: bool = False


NOTHING = Figures(dict.fromkeys(TrafficMinute.counts(), 0))


def report(
    *,
    account: Account | None,
    period: Period,
    group_by: Grouping | None = None,
    webhook_id: UUID | None = None,
    event_type: str | None = None,
) -> Report:
    """Return what was attempted, of one account, webhook or event type only where one is given.

    Takes the same few queries whatever there is: of the minutes of traffic, and of the webhooks' names.
    """
    minutes = TrafficMinute.objects.filter(
        minute__gte=TrafficMinute.of(period.start),
        minute__lt=TrafficMinute.of(period.end),
        **({"account": account} if account else {}),
        **({"webhook": webhook_id} if webhook_id else {}),
        **({"event_type": event_type} if event_type else {}),
    )
    if group_by is None:
        buckets = {_start(row, period): Figures(sums_of(row)) for row in _by_bucket(minutes, period)}
        return Report(totals=_together(buckets.values()), buckets=buckets)
    totals = Figures(sums_of(minutes.aggregate(**all_sums())))
    column = group_by.value
    ranked = minutes.values(column).annotate(**all_sums()).order_by(-(F("succeeded") + F("failed")), column)
    rows = list(ranked[: MOST_GROUPS + 1])
    groups = _groups(minutes, period, group_by, rows[:MOST_GROUPS])
    return Report(totals=totals, buckets={}, groups=groups, truncated=len(rows) > MOST_GROUPS)


def _groups(
    minutes: "QuerySet[TrafficMinute]", period: Period, group_by: Grouping, rows: Sequence[Mapping[str, Any]]
) -> list[Group]:
    column = group_by.value
    keys = [row[column] for row in rows]
    buckets: dict[Any, dict[datetime, Figures]] = {key: {} for key in keys}
    for row in _by_bucket(minutes.filter(**{f"{column}__in": keys}), period, column):
        buckets[row[column]][_start(row, period)] = Figures(sums_of(row))
    by_webhook = group_by is Grouping.WEBHOOK
    webhooks = Webhook.objects.only("name").in_bulk(keys) if by_webhook else {}
    return [
        Group(
            webhook=webhooks[row[column]] if by_webhook else None,
            event_type=None if by_webhook else row[column],
            totals=Figures(sums_of(row)),
            buckets=buckets[row[column]],
        )
        for row in rows
    ]


def _by_bucket(minutes: "QuerySet[TrafficMinute]", period: Period, *columns: str) -> Any:
    """Return the sums of each bucket, and of each value of the columns in it, in the order of time."""
    bucket = F("minute") / (period.bucket // timedelta(minutes=1))
    return minutes.values(*columns, slot=bucket).annotate(**all_sums()).order_by("slot")


def _start(row: Mapping[str, Any], period: Period) -> datetime:
    return datetime.fromtimestamp(row["slot"] * period.bucket.total_seconds(), tz=UTC)


def all_sums() -> dict[str, Sum]:
    """Return the sums of all columns that count, for a query."""
    return {name: Sum(name) for name in TrafficMinute.counts()}


def sums_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Return the sums that a row of such a query has."""
    return {name: row[name] or 0 for name in TrafficMinute.counts()}


def _together(figures: Any) -> Figures:
    sums = dict(NOTHING.sums)
    for each in figures:
        for name, value in each.sums.items():
            sums[name] += value
    return Figures(sums)
