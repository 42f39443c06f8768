"""Glancing: how the service does and did in the last hour, for whoever looks at it first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q

from deliveries.models import (
    AuditEntry,
    FailureGroup,
    QueueMinute,
    TrafficMinute,
    Webhook,
    WebhookHealth,
)
from deliveries.models.health import WebhookHealthQuerySet
from deliveries.services import measuring, statistics
from deliveries.services.measuring import Inbox, Measures
from deliveries.services.statistics import NOTHING, Figures, Period

WINDOW, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# The pace of the queue is that of so many minutes before the one that is not over, and of that.
_PACE = 5
# That a webhook disabled itself is told for so long, unless somebody enables or deletes it before.
TOLD_FOR = timedelta(days=7)
# So many webhooks in trouble and acts of people are listed.
LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Minute:
    """What ended in a minute, and how the queue was.

    :param refused: attempts that a receiver answered, and did not take.
    :param unavailable: attempts that no receiver could take.
    :param oldest_due: how long the oldest due delivery had waited; None where nobody looked.
    """

    start: datetime
    succeeded: int
    refused: int
    unavailable: int
    p50_ms: int | None
    p95_ms: int | None
    due: int | None
    oldest_due: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Disabled:
    """The webhooks that disabled themselves lately: events pass them by, and nobody asked for it.

    :param first_at: when the first of them did; None where none did.
    """

    count: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Glance:
    """The service at one moment, and the hour before.

    :param hour: what was attempted in the last hour.
    :param waits_for_receiver: whether the oldest of what is due waits for its own receiver, which has as much
        under way as it may.
    :param drain: how long what is due takes at the present pace, or longer where `due` is counted no further;
        None where nothing is due, or nothing ended lately.
    :param moving: whether anything is under way, or ended lately.
    :param disabled: those that disabled themselves.
    :param troubled: they, the last first, then those whose last attempts all failed, the longest first; at
        most `LISTED`.
    :param in_trouble: how many those are.
    :param inbox: the failures that need a person.
    :param groups: how many groups of failures want somebody.
    :param acts: the last things people did.
    """

    measures: Measures
    hour: Figures
    minutes: Sequence[Minute]
    waits_for_receiver: bool
    drain: timedelta | None
    moving: bool
    disabled: Disabled
    troubled: Sequence[WebhookHealth]
    in_trouble: int
    inbox: Inbox
    groups: int
    acts: Sequence[AuditEntry]


def glance(*, now: datetime) -> Glance:
    """Return it. What it reads is bounded: the minutes of the last hour, and what `measure` reads."""
    period = Period.until(now, window=WINDOW, bucket=MINUTE)
    report = statistics.report(account=None, period=period)
    measures = measuring.measure(now=now)
    troubled = in_trouble(now)
    ended, within = _ended_lately(report.buckets, period, now)
    return Glance(
        measures=measures,
        hour=report.totals,
        minutes=_minutes(period, report.buckets),
        waits_for_receiver=measures.oldest_waiting_at != measures.oldest_due_at,
        drain=measures.due * within / ended if measures.due and ended else None,
        moving=bool(ended or measures.in_flight),
        disabled=_disabled(now),
        troubled=list(
            troubled.select_related("webhook").order_by(
                "webhook__enabled", F("webhook__disabled_itself_at").desc(), "failing_since", "pk"
            )[:LISTED]
        ),
        in_trouble=troubled.count(),
        inbox=measuring.inbox(measures.failures, now=now),
        groups=FailureGroup.objects.open(now).count(),
        acts=list(AuditEntry.objects.order_by("-pk")[:LISTED]),
    )


def in_trouble(now: datetime) -> WebhookHealthQuerySet:
    """Return the health of the webhooks that have only failed since they last succeeded: those that are
    enabled, and those that disabled themselves lately."""
    failing = Q(webhook__enabled=True, webhook__deleted_at=None, failing_since__isnull=False)
    disabled = Q(webhook__in=Webhook.objects.disabled_themselves(since=now - TOLD_FOR))
    return WebhookHealth.objects.filter(failing | disabled)


def disabled_at(health: WebhookHealth) -> datetime | None:
    """Return when the webhook disabled itself, or will, should nothing succeed until then."""
    if not health.webhook.enabled:
        return health.webhook.disabled_itself_at
    return health.failing_since and health.failing_since + settings.WEBHOOKS_DISABLE_AFTER


def _disabled(now: datetime) -> Disabled:
    disabled = Webhook.objects.disabled_themselves(since=now - TOLD_FOR)
    return Disabled(
        **disabled.aggregate(
            count=Count("*"), first_at=Min("disabled_itself_at"), last_at=Max("disabled_itself_at")
        )
    )


def _minutes(period: Period, buckets: Mapping[datetime, Figures]) -> list[Minute]:
    first, end = TrafficMinute.of(period.start), TrafficMinute.of(period.end)
    queue = {each.minute: each for each in QueueMinute.objects.between(first, end)}
    found = []
    for start in period.starts:
        figures, looked_at = buckets.get(start, NOTHING), queue.get(TrafficMinute.of(start))
        found.append(
            Minute(
                start=start,
                succeeded=figures.sums["succeeded"],
                refused=figures.sums["failed"] - figures.sums["unavailable"],
                unavailable=figures.sums["unavailable"],
                p50_ms=figures.percentile_ms(0.5),
                p95_ms=figures.percentile_ms(0.95),
                due=looked_at.due if looked_at else None,
                oldest_due=timedelta(milliseconds=looked_at.oldest_due_ms) if looked_at else None,
            )
        )
    return found


def _ended_lately(
    buckets: Mapping[datetime, Figures], period: Period, now: datetime
) -> tuple[int, timedelta]:
    """Return how many attempts ended in the last minutes, and in how long: since the first of them in which
    any did, for before that nothing may have been there to send."""
    lately = period.starts[-1 - _PACE :]
    busy = [start for start in lately if start in buckets and buckets[start].attempts]
    if not busy:
        return 0, timedelta(0)
    # The minute has just begun where it has no seconds yet.
    return sum(buckets[start].attempts for start in busy), max(now - busy[0], timedelta(seconds=1))
