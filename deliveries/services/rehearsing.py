"""Rehearsing: a test event, sent to a webhook while its owner waits for the outcome.

It leaves a note in the audit and nothing else: no delivery, no attempt, no failure, and the webhook's health
stays as it is.
Section "Test" of the logs API contract.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deliveries import payloads
from deliveries.identifiers import new_id
from deliveries.models import AuditEntry, Webhook
from deliveries.reasons import Reason, describe
from deliveries.secrets import Undecryptable
from deliveries.services import auditing, composing, egress
from deliveries.transport import Exchange, Reply, Request, TransportError

logger = logging.getLogger(__name__)

EVENT_TYPE = "webhook.test"
# Somebody waits, and so does a thread of the web process.
LONGEST = timedelta(seconds=30)
# By how much an engine may miss its own deadline before we stop waiting for it.
GRACE = timedelta(seconds=1)
# So many at once in a process: each holds a thread that others want for their requests.
MOST_AT_ONCE = 2
_room = threading.BoundedSemaphore(MOST_AT_ONCE)


class Busy(Exception):
    """This process has as many rehearsals under way as it takes; nothing was sent."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What came of it. `reason` is empty after a success; without an answer there is no status."""

    reason: str
    http_status: int | None
    duration: timedelta

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took the event."""
        return not self.reason


def rehearse(webhook: Webhook, *, by: str, now: datetime) -> Rehearsal:
    """Send a test event to a webhook, which may be disabled, and return what came of it.

    It goes where a delivery would go, with everything a delivery carries, but only once. Takes as long as the
    webhook's timeout at most, and never longer than `LONGEST`. Call it outside of a transaction.

    :raises Busy: when too many others are under way.
    """
    if not _room.acquire(blocking=False):
        raise Busy("Too many test events are under way.")
    try:
        # Noted before it is sent: should this process end meanwhile, only what came of it is unknown.
        entry = auditing.note(
            AuditEntry.Action.WEBHOOK_TESTED, by=by, now=now, account=webhook.account_id, subject=webhook.pk
        )
        rehearsal = _rehearse(webhook, now=now)
    finally:
        _room.release()
    entry.details = {
        "succeeded": rehearsal.succeeded,
        "reason": rehearsal.reason,
        "http_status": rehearsal.http_status,
    }
    entry.save(update_fields=["details"])
    return rehearsal


def _rehearse(webhook: Webhook, *, now: datetime) -> Rehearsal:
    try:
        request = _request(webhook, now=now)
    except (Undecryptable, ValueError):
        logger.warning(
            "No test request could be made",
            extra={"event": "rehearsal.uncomposable", "webhook_id": webhook.pk},
            exc_info=logger.isEnabledFor(logging.DEBUG),
        )
        return _failed(Reason.INVALID_REQUEST)
    exchange = _send(request)
    if exchange is None:
        return _failed(Reason.RESPONSE_TOO_SLOW, duration=request.timeout)
    if isinstance(exchange.outcome, TransportError):
        return _failed(exchange.outcome.reason, duration=exchange.duration)
    return _answered(exchange.outcome, duration=exchange.duration)


def _request(webhook: Webhook, *, now: datetime) -> Request:
    agent = webhook.agent
    payload = {
        "event": EVENT_TYPE,
        "agent_id": str(agent.pk) if agent else None,
        "agent_name": agent.name if agent else None,
        "webhook_id": str(webhook.pk),
        "webhook_name": webhook.name,
        "timestamp": now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
        "test": True,
    }
    return composing.request_to(
        webhook,
        message_id=new_id(),
        event_type=EVENT_TYPE,
        attempt=1,
        body=payloads.serialise(payload),
        timeout=min(timedelta(seconds=webhook.timeout), LONGEST),
        at=now,
    )


def _send(request: Request) -> Exchange | None:
    """Return the exchange; None when the engine did not end it in time, which it should."""
    # One for each: an engine belongs to one thread, and a web process has many.
    transport = egress.transport(slots=1)
    try:
        transport.submit(new_id(), request)
        return next(iter(transport.collect(request.timeout + GRACE)), None)
    finally:
        transport.close()


def _answered(reply: Reply, *, duration: timedelta) -> Rehearsal:
    taken = 200 <= reply.http_status < 300
    reason = "" if taken else describe(Reason.HTTP_STATUS, reply.http_status)
    return Rehearsal(reason=reason, http_status=reply.http_status, duration=duration)


def _failed(reason: Reason, *, duration: timedelta = timedelta(0)) -> Rehearsal:
    return Rehearsal(reason=describe(reason), http_status=None, duration=duration)
