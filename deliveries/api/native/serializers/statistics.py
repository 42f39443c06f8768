"""Statistics as they are asked for and answered."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rest_framework.exceptions import ValidationError

from deliveries.api import timestamps
from deliveries.api.native.filters import read_event_type, read_id
from deliveries.services.statistics import NOTHING, Figures, Group, Grouping, Period, Report

WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
BUCKETS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
GROUPINGS = {"webhook": Grouping.WEBHOOK, "event": Grouping.EVENT_TYPE}
DEFAULT_WINDOW = "24h"
DEFAULT_BUCKETS = {"1h": "1m", "24h": "1h", "7d": "1h", "30d": "1d"}
MOST_BUCKETS = 1500
# Each group has its own: a hundred of them with 1,500 each would be an answer of 30 MB.
MOST_BUCKETS_OF_GROUPS = 300

_MESSAGES = {
    "window": f"Must be one of {', '.join(WINDOWS)}.",
    "bucket": f"Must be one of {', '.join(BUCKETS)}.",
    "group_by": f"Must be one of {', '.join(GROUPINGS)}.",
    "until": 'Must be an ISO 8601 date and time with a time zone, such as "2026-03-15T10:00:00Z".',
    "webhook_id": "Must be a UUID.",
    "event": "Must be an event type.",
}
_READ = {
    "window": lambda text: _one_of(WINDOWS, text),
    "bucket": lambda text: _one_of(BUCKETS, text),
    "group_by": lambda text: _one_of(GROUPINGS, text),
    "until": timestamps.parse,
    "webhook_id": read_id,
    "event": read_event_type,
}
PARAMETERS = tuple(_READ)


def wanted(query: Mapping[str, str], *, now: datetime) -> tuple[str, dict[str, Any]]:
    """Return the length of a bucket in words, and what `statistics.report` is to be asked.

    :raises ValidationError: listing every bad parameter.
    """
    values: dict[str, Any] = {}
    problems = {}
    for name in _READ.keys() & query.keys():
        try:
            values[name] = _READ[name](query[name])
        except ValueError:
            problems[name] = [_MESSAGES[name]]
    if problems:
        raise ValidationError({name: problems[name] for name in PARAMETERS if name in problems})
    window = query.get("window", DEFAULT_WINDOW)
    bucket = query.get("bucket", DEFAULT_BUCKETS[window])
    _check_fit(window, bucket, grouped="group_by" in values)
    period = _period(values.get("until", now), window, bucket)
    return bucket, {
        "period": period,
        "group_by": values.get("group_by"),
        "webhook_id": values.get("webhook_id"),
        "event_type": values.get("event"),
    }


def shown(report: Report, *, period: Period, bucket: str) -> dict[str, Any]:
    """Return a report as it is answered: every bucket of a single series, those of groups that have any."""
    head = {
        "from": period.start.strftime(timestamps.MICROSECONDS),
        "to": period.end.strftime(timestamps.MICROSECONDS),
        "bucket": bucket,
        "totals": _figures(report.totals),
    }
    if report.groups is None:
        series = {start: report.buckets.get(start, NOTHING) for start in period.starts}
        return {**head, "buckets": _series(series)}
    return {**head, "groups": [_group(group) for group in report.groups], "truncated": report.truncated}


def _group(group: Group) -> dict[str, Any]:
    name: dict[str, Any] = {"event": group.event_type}
    if group.webhook is not None:
        name = {"webhook": {"id": str(group.webhook.pk), "name": group.webhook.name}}
    return {**name, "totals": _figures(group.totals), "buckets": _series(group.buckets)}


def _series(buckets: Mapping[datetime, Figures]) -> list[dict[str, Any]]:
    return [
        {"from": start.strftime(timestamps.MICROSECONDS), **_figures(figures)}
        for start, figures in buckets.items()
    ]


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "attempts": figures.attempts,
        "succeeded": figures.sums["succeeded"],
        "failed": figures.sums["failed"],
        "given_up": figures.sums["given_up"],
        "success_ratio": figures.success_ratio,
        "duration_ms": {
            "average": figures.average_ms,
            "p50": figures.percentile_ms(0.5),
            "p95": figures.percentile_ms(0.95),
        },
    }


def _one_of(words: Mapping[str, Any], text: str) -> Any:
    if text not in words:
        raise ValueError("None of the words.")
    return words[text]


def _check_fit(window: str, bucket: str, *, grouped: bool) -> None:
    most = MOST_BUCKETS_OF_GROUPS if grouped else MOST_BUCKETS
    fitting = [word for word, length in BUCKETS.items() if 1 <= WINDOWS[window] / length <= most]
    if bucket not in fitting:
        raise ValidationError(
            {
                "bucket": [
                    f"A window of {window} is cut into 1 to {most:,} buckets"
                    f"{' where there are groups' if grouped else ''}: use {' or '.join(fitting)}."
                ]
            }
        )


def _period(until: datetime, window: str, bucket: str) -> Period:
    try:
        return Period.until(until, window=WINDOWS[window], bucket=BUCKETS[bucket])
    except OverflowError as error:
        raise ValidationError({"until": ["Must lie further from the ends of the calendar."]}) from error
