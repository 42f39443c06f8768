"""Recording: what came of attempts is written down, in batches, each batch in one transaction."""

import logging
import random
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction

from deliveries import circuits, retries
from deliveries.models import (
    Attempt,
    Delivery,
    Failure,
    FailureGroup,
    TrafficMinute,
    WebhookHealth,
    databases,
)
from deliveries.models.failure_group import GroupKey, Sightings
from deliveries.models.health import Tally
from deliveries.models.traffic import Traffic
from deliveries.reasons import Reason, describe
from deliveries.retries import RetrySchedule
from deliveries.services import composing
from deliveries.services.following import News
from deliveries.transport import Reply, Request, Timings, TransportError

logger = logging.getLogger(__name__)

GONE = 410
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of one attempt.

    :param delivery: as it was claimed, with the token of that claim, its event and its webhook.
    :param request: what was sent; None where no request could be made.
    """

    delivery: Delivery
    request: Request | None
    started_at: datetime
    duration: timedelta
    outcome: Reply | TransportError
    timings: Timings = Timings()
    remote_address: str | None = None
    reason: Reason | None = field(init=False)
    """Why the attempt failed; None when it did not. Success is any 2xx."""

    def __post_init__(self) -> None:
        reason: Reason | None
        if isinstance(self.outcome, TransportError):
            reason = self.outcome.reason
        else:
            reason = None if 200 <= self.outcome.http_status < 300 else Reason.HTTP_STATUS
        object.__setattr__(self, "reason", reason)  # it is frozen

    @property
    def http_status(self) -> int | None:
        """The receiver's answer, if there was one."""
        return self.outcome.http_status if isinstance(self.outcome, Reply) else None

    @property
    def ended_at(self) -> datetime:
        """When the exchange was over."""
        return self.started_at + self.duration


@dataclass(slots=True)
class Recorded:
    """What recording a batch came to.

    :param fenced: how many results of old claims changed nothing.
    :param left: the results that are to be tried again: somebody else holds their rows, or there is trouble.
    :param news: what follows for the webhooks, for `following.Inbox`.
    :param trouble: the error of a database that is away, or can write nothing as it is. Kept here and not
        raised, because what was written before it is written.
    """

    fenced: int = 0
    left: list[Result] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    trouble: Exception | None = None

    def leave(self, results: Iterable[Result], because: Exception) -> None:
        """Leave these results; where more is the matter than a lock, all that would come after as well."""
        self.left += results
        if not databases.is_busy(because):
            self.trouble = because


class _Row(NamedTuple):
    """A delivery as it is now, and stays as long as it is locked."""

    pk: UUID
    status: str
    lease_token: UUID | None
    round: int
    attempts_made: int
    retries_left: int
    next_attempt_id: UUID | None
    scheduled_at: datetime | None


def record(results: Sequence[Result], *, now: datetime, jitter: random.Random) -> Recorded:
    """Write attempts, moves, failures, health and traffic.

    A result counts while its claim holds the delivery. A success also counts later, as long as the same round
    is still open: the receiver has it, and another attempt would be a duplicate. Anything else from an old
    claim is dropped, and so is a result that was recorded before: recording twice is recording once.

    A result the database refuses is told apart by halving the batch, and written without what the receiver
    sent; refused even so it is dropped, and its lease brings the delivery back. Where somebody holds rows or
    tables for long, what can be written without them is, and the rest is left.
    """
    recorded = Recorded()
    _record_some(results, recorded, now=now, jitter=jitter)
    return recorded


def _record_some(
    results: Sequence[Result], recorded: Recorded, *, now: datetime, jitter: random.Random
) -> None:
    if recorded.trouble is not None:
        recorded.left += results
        return
    try:
        _record(results, recorded, now=now, jitter=jitter)
    except Exception as error:
        if databases.is_busy(error):
            _record_what_is_free(results, recorded, now=now, jitter=jitter)
            return
        if not databases.is_refusal(error):
            recorded.leave(results, error)
            return
        # Whatever is wrong with one result must not keep the others from being written.
        if len(results) == 1:
            _record_refused(results[0], error, recorded, now=now, jitter=jitter)
            return
        middle = len(results) // 2
        for half in (results[:middle], results[middle:]):
            _record_some(half, recorded, now=now, jitter=jitter)


def _record_what_is_free(
    results: Sequence[Result], recorded: Recorded, *, now: datetime, jitter: random.Random
) -> None:
    """Write what needs nothing that others hold: all of it or, where even that takes too long, a part.

    Each try may take as long as a lock is waited for, and whoever records does nothing else meanwhile.
    """
    some = max(1, len(results) // 4)
    for part, rest in ((results, ()), (results[:some], results[some:])):
        try:
            _record(part, recorded, now=now, jitter=jitter, waiting=False)
        except Exception as error:
            if not (databases.is_busy(error) or databases.is_refusal(error)):
                recorded.leave(results, error)
                return
        else:
            recorded.left += rest
            return
    recorded.left += results


def _record_refused(
    result: Result, error: Exception, recorded: Recorded, *, now: datetime, jitter: random.Random
) -> None:
    extra = {"event": "attempt.stripped", "delivery_id": result.delivery.pk}
    logger.error("Attempt recorded without the answer", extra=extra, exc_info=error)
    try:
        _record([_stripped(result)], recorded, now=now, jitter=jitter)
    except Exception as still:
        if not databases.is_refusal(still):
            recorded.leave([result], still)
            return
        extra = {"event": "attempt.dropped", "delivery_id": result.delivery.pk}
        logger.exception("Attempt not recorded", extra=extra)


def _record(
    results: Sequence[Result],
    recorded: Recorded,
    *,
    now: datetime,
    jitter: random.Random,
    waiting: bool = True,
) -> None:
    """Write a batch in one transaction.

    :param waiting: whether to wait for the health of webhooks that others hold; their results are left else.
    """
    with transaction.atomic():
        counting, rows, held = _counting(results)
        if not waiting:
            free = WebhookHealth.objects.free({result.delivery.webhook_id for result in counting})
            held += [result for result in counting if result.delivery.webhook_id not in free]
            counting = [result for result in counting if result.delivery.webhook_id in free]
        databases.write(
            Attempt, _ATTEMPT, [_attempt(result, rows[result.delivery.pk]) for result in counting]
        )
        succeeded = [result for result in counting if result.reason is None]
        failed = [result for result in counting if result.reason is not None]
        delays = {
            result.delivery.pk: _delay(result, rows[result.delivery.pk], now=now, jitter=jitter)
            for result in failed
            if _may_retry(result, rows[result.delivery.pk])
        }
        _move(succeeded, failed, delays, now=now)
        _note_failures(succeeded, failed, delays, rows, now=now)
        tallies = _tallies(counting)
        healths = WebhookHealth.objects.note(tallies, at=now)
        # After the health, whose rows keep apart who records for the same webhook.
        TrafficMinute.objects.add(_traffic(counting, delays))
        FailureGroup.objects.see(_sightings(failed, delays))
    recorded.fenced += len(results) - len(counting) - len(held)
    recorded.left += held
    gone = _gone(failed)
    recorded.news += [
        News(health=health, tally=tallies[health.pk], gone=gone[health.pk]) for health in healths
    ]
    _log(failed, delays)


def _log(failed: Iterable[Result], delays: Container[UUID]) -> None:
    for result in failed:
        logger.info(
            "Attempt failed",
            extra={
                "event": "delivery.attempted",
                "delivery_id": result.delivery.pk,
                "webhook_id": result.delivery.webhook_id,
                "reason": result.reason,
                "http_status": result.http_status,
                "retrying": result.delivery.pk in delays,
            },
        )


def _gone(failed: Iterable[Result]) -> Mapping[UUID, Set[str]]:
    """Return the URLs at which receivers said that they want no more, by webhook."""
    urls: dict[UUID, set[str]] = defaultdict(set)
    for result in failed:
        if result.http_status == GONE and result.request is not None:
            urls[result.delivery.webhook_id].add(result.request.url)
    return urls


def _tallies(counting: Iterable[Result]) -> dict[UUID, Tally]:
    """Return what came of the attempts, by webhook."""
    tallies: dict[UUID, Tally] = {}
    for result in sorted(counting, key=lambda result: result.started_at):
        tally = tallies.setdefault(result.delivery.webhook_id, Tally())
        tally.succeeded += int(result.reason is None)
        tally.failed += int(result.reason is not None)
        if circuits.is_answer(result.reason, result.http_status):
            tally.answered_at = result.started_at
        if circuits.is_unavailable(result.reason, result.http_status):
            tally.unavailable += 1
            tally.unavailable_at = result.started_at
    return tallies


def _counting(results: Sequence[Result]) -> tuple[list[Result], dict[UUID, _Row], list[Result]]:
    """Return the results that count, the deliveries' locked rows, and the results of rows others hold."""
    ids = {result.delivery.pk for result in results}
    locking = Delivery.objects.filter(pk__among=ids).select_for_update(skip_locked=True).order_by("pk")
    rows = {row[0]: _Row(*row) for row in locking.values_list(*_Row._fields)}
    missing = ids - rows.keys()
    # Either deleted with its event, or held by somebody else for a moment.
    elsewhere = (
        set(Delivery.objects.filter(pk__among=missing).values_list("pk", flat=True)) if missing else set()
    )
    counting: dict[UUID, Result] = {}
    # Successes first, and at most one of each delivery: of two, the one the receiver took.
    for result in sorted(results, key=lambda result: result.reason is not None):
        row = rows.get(result.delivery.pk)
        if row is not None and row.pk not in counting and _counts(result, row):
            counting[row.pk] = result
    held = [result for result in results if result.delivery.pk in elsewhere]
    return list(counting.values()), rows, held


def _counts(result: Result, row: _Row) -> bool:
    if row.status == Delivery.Status.PENDING and row.lease_token == result.delivery.lease_token:
        return True
    return result.reason is None and row.status in Delivery.UNFINISHED and row.round == result.delivery.round


def _may_retry(result: Result, row: _Row) -> bool:
    return row.retries_left > 0 and result.http_status != GONE and result.reason is not Reason.WORKER_KILLED


def _delay(result: Result, row: _Row, *, now: datetime, jitter: random.Random) -> timedelta:
    wait = None
    if isinstance(result.outcome, Reply):
        wait = retries.retry_after(result.outcome.headers, now=now)
    schedule = RetrySchedule(delays=settings.WEBHOOKS_RETRY_DELAYS)
    return schedule.next_delay(
        # Only the first round has automatic retries, so its attempts are all there were.
        retries_made=row.attempts_made,
        overloaded=result.http_status in retries.OVERLOADED
        or result.reason in (Reason.CONNECTION_TIMEOUT, Reason.RESPONSE_TOO_SLOW),
        retry_after=wait,
        jitter=jitter.uniform(0.8, 1.2),
    )


def _move(
    succeeded: Iterable[Result], failed: Iterable[Result], delays: dict[UUID, timedelta], *, now: datetime
) -> None:
    arrived = [result.delivery.pk for result in succeeded]
    given_up = [result.delivery.pk for result in failed if result.delivery.pk not in delays]
    if arrived:
        Delivery.objects.filter(pk__among=arrived).finish(Delivery.Status.SUCCEEDED, now=now)
    if given_up:
        Delivery.objects.filter(pk__among=given_up).finish(Delivery.Status.FAILED, now=now)
    if delays:
        Delivery.objects.schedule_retries(delays, now=now)


def _note_failures(
    succeeded: Iterable[Result],
    failed: Iterable[Result],
    delays: dict[UUID, timedelta],
    rows: dict[UUID, _Row],
    *,
    now: datetime,
) -> None:
    arrived_at_last = {
        result.delivery.pk: result.ended_at for result in succeeded if rows[result.delivery.pk].attempts_made
    }
    if arrived_at_last:
        Failure.objects.mark_delivered(arrived_at_last)
    Failure.objects.bulk_create(
        (_failure(result, retrying=result.delivery.pk in delays) for result in failed),
        update_conflicts=True,
        unique_fields=["delivery"],
        update_fields=["status", "reason", "reason_code", "last_attempt_at", "updated_at"],
    )


def _failure(result: Result, *, retrying: bool) -> Failure:
    delivery = result.delivery
    return Failure(
        account_id=delivery.account_id,
        delivery=delivery,
        status=Failure.Status.PENDING if retrying else Failure.Status.INACTIVE,
        reason=_text(result),
        reason_code=result.reason or "",
        webhook_id=delivery.webhook_id,
        webhook_name=delivery.webhook.name,
        event_type=delivery.event.type,
        last_attempt_at=result.ended_at,
        created_at=result.ended_at,
        updated_at=result.ended_at,
    )


def _sightings(failed: Iterable[Result], delays: Container[UUID]) -> Mapping[GroupKey, Sightings]:
    """Return what was given up, by webhook and reason."""
    found: dict[GroupKey, Sightings] = {}
    for result in failed:
        delivery, at = result.delivery, result.ended_at
        if delivery.pk in delays:
            continue
        key = GroupKey(delivery.webhook_id, _text(result))
        seen = found.setdefault(key, Sightings(delivery.account_id, result.reason or "", 0, at, at))
        seen.count += 1
        seen.first_at, seen.last_at = min(seen.first_at, at), max(seen.last_at, at)
    return found


def _traffic(counting: Iterable[Result], delays: Container[UUID]) -> Iterable[Traffic]:
    """Return what came of the attempts by the minute they ended in."""
    traffic: dict[tuple[UUID, str, int], Traffic] = {}
    for result in counting:
        delivery, failed = result.delivery, result.reason is not None
        key = delivery.webhook_id, delivery.event.type, TrafficMinute.of(result.ended_at)
        if (counted := traffic.get(key)) is None:
            counted = traffic[key] = Traffic(delivery.account_id, *key)
        counted.count(
            failed=failed,
            given_up=failed and delivery.pk not in delays,
            unavailable=circuits.is_unavailable(result.reason, result.http_status),
            milliseconds=result.duration // _MILLISECOND,
        )
    return traffic.values()


# The columns of an attempt, as `_attempt` gives them.
_ATTEMPT = (
    "id",
    "delivery_id",
    "webhook_id",
    "number",
    "round",
    "created_at",
    "started_at",
    "duration",
    "succeeded",
    "http_status",
    "reason_code",
    "error",
    "url",
    "http_method",
    "request_headers",
    "response_headers",
    "response_body",
    "remote_address",
    "dns_us",
    "connect_us",
    "tls_us",
    "first_byte_us",
)


def _attempt(result: Result, row: _Row) -> tuple[Any, ...]:
    delivery, request, reason = result.delivery, result.request, result.reason
    webhook, timings = delivery.webhook, result.timings
    reply = composing.masked_reply(result.outcome, webhook) if isinstance(result.outcome, Reply) else None
    assert row.next_attempt_id is not None  # noqa: S101 - the CHECK on unfinished rows says so
    assert row.scheduled_at is not None  # noqa: S101
    return (
        row.next_attempt_id,
        delivery.pk,
        delivery.webhook_id,
        row.attempts_made + 1,
        row.round,
        row.scheduled_at,
        result.started_at,
        result.duration,
        reason is None,
        result.http_status,
        reason.value if reason else "",
        _text(result),
        request.url if request else webhook.url,
        request.method if request else webhook.http_method,
        composing.masked_headers(request, webhook) if request else {},
        dict(reply.headers) if reply else None,
        reply.body if reply else None,
        result.remote_address and result.remote_address.partition("%")[0],  # no column takes a zone
        *map(_microseconds, (timings.dns, timings.connect, timings.tls, timings.first_byte)),
    )


def _microseconds(span: timedelta | None) -> int | None:
    return None if span is None else span // _MICROSECOND


def _text(result: Result) -> str:
    return describe(result.reason, result.http_status) if result.reason else ""


def _stripped(result: Result) -> Result:
    """Return the result with nothing in it that the receiver could have chosen, but for the status."""
    if result.http_status is None:
        return result
    return replace(result, outcome=Reply(http_status=result.http_status, headers={}, body=b""))
