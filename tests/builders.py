"""Rows that could exist in production, made in one line each."""

from datetime import UTC, datetime, timedelta
from typing import Any, Unpack
from uuid import UUID

from django.db.models import F

from deliveries.identifiers import first_id_at, new_id, new_id_at
from deliveries.models import (
    Account,
    Agent,
    ApiKey,
    Attempt,
    AuditEntry,
    Chore,
    Delivery,
    Event,
    Failure,
    FailureGroup,
    Pause,
    QueueMinute,
    Recovery,
    Scope,
    TrafficMinute,
    Webhook,
    WebhookHealth,
    Worker,
)
from deliveries.reasons import Reason, describe
from deliveries.services import webhooks

NOW = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
# Every webhook of the tests points here unless it says otherwise: nobody listens.
URL = "https://example.com/webhook"


def is_id_of(moment: datetime, made: UUID | None) -> bool:
    """Tell whether an id was made at a moment, to the millisecond."""
    return made is not None and first_id_at(moment) <= made < first_id_at(moment + timedelta(milliseconds=1))


def an_account(**changes: Any) -> Account:
    """Return an account."""
    return Account.objects.create(**{"name": "Harbour Calls", "created_at": NOW, **changes})


def an_agent(account: Account | None = None, **changes: Any) -> Agent:
    """Return an agent."""
    return Agent.objects.create(
        **{"account": account or an_account(), "name": "Reception", "created_at": NOW, **changes}
    )


def a_key(account: Account, *scopes: Scope, **changes: Any) -> str:
    """Return the text of a key with these scopes; with all of them when none is named."""
    _, text = ApiKey.objects.issue(
        **{"account": account, "name": "test", "scopes": list(scopes or Scope), "now": NOW, **changes}
    )
    return text


def a_webhook(
    account: Account | None = None,
    *,
    agent: Agent | None = None,
    now: datetime = NOW,
    **fields: Unpack[webhooks.Fields],
) -> Webhook:
    """Return an enabled webhook that wants everything."""
    wanted: webhooks.Fields = {"name": "CRM call events", "url": URL, "events": ["*"]}
    wanted.update(fields)
    owner = account or (agent.account if agent else an_account())
    return webhooks.create(account=owner, agent=agent, by="a test", now=now, **wanted)


def an_event(account: Account | None = None, **changes: Any) -> Event:
    """Return an event without deliveries."""
    return Event.objects.create(
        **{
            "account": account or an_account(),
            "type": "call.ended",
            "body": b'{"call_id":"call-uuid","duration":45}',
            "occurred_at": NOW,
            "created_at": NOW,
            **changes,
        }
    )


def a_delivery(webhook: Webhook | None = None, *, event: Event | None = None, **changes: Any) -> Delivery:
    """Return a delivery that has just been queued."""
    webhook = webhook or a_webhook()
    scheduled_at = changes.get("scheduled_at", NOW)
    return Delivery.objects.create(
        **{
            "account": webhook.account,
            "webhook": webhook,
            "event": event or an_event(webhook.account),
            "retries_left": webhook.max_retries,
            "created_at": NOW,
            "due_at": NOW,
            "scheduled_at": scheduled_at,
            "next_attempt_id": new_id_at(scheduled_at) if scheduled_at else None,
            **changes,
        }
    )


def a_backlog(webhook: Webhook, size: int, **changes: Any) -> None:
    """Queue many deliveries to a webhook, in two statements."""
    account = webhook.account
    events = [
        Event(account=account, type="call.ended", body=b"{}", occurred_at=NOW, created_at=NOW)
        for _ in range(size)
    ]
    Event.objects.bulk_create(events)
    columns = {"due_at": NOW, "scheduled_at": NOW, "retries_left": 3, **changes}
    Delivery.objects.bulk_create(
        Delivery(
            account=account,
            event=event,
            webhook=webhook,
            created_at=NOW,
            next_attempt_id=new_id_at(NOW),
            **columns,
        )
        for event in events
    )


def claim(now: datetime, *, limit: int = 1000) -> list[Delivery]:
    """Claim what is due, as a worker does."""
    return Delivery.objects.claim_due(
        now=now,
        limit=limit,
        grace=timedelta(seconds=30),
        after=UUID(int=0),
        share=limit,
        taken={},
        token=new_id(),
    ).deliveries


def a_claimed_delivery(webhook: Webhook | None = None, *, now: datetime = NOW, **changes: Any) -> Delivery:
    """Return a delivery a worker has just claimed, as the worker sees it."""
    delivery = a_delivery(webhook, **changes)
    return next(each for each in claim(now) if each.pk == delivery.pk)


def an_attempt(delivery: Delivery, **changes: Any) -> Attempt:
    """Return an attempt of the delivery: a failed one unless `http_status` says otherwise."""
    http_status: int | None = changes.get("http_status", 500)
    succeeded = http_status is not None and 200 <= http_status < 300
    reason = changes.get("reason_code") or ("" if succeeded else Reason.HTTP_STATUS)
    number = changes.get("number", 1)
    created_at = changes.get("created_at", delivery.created_at)
    WebhookHealth.objects.filter(pk=delivery.webhook_id).update(attempts_kept=F("attempts_kept") + 1)
    return Attempt.objects.create(
        **{
            "id": new_id_at(created_at),
            "delivery": delivery,
            "webhook": delivery.webhook,
            "number": number,
            "round": delivery.round,
            "created_at": created_at,
            "started_at": NOW,
            "duration": timedelta(milliseconds=142),
            "succeeded": succeeded,
            "http_status": http_status,
            "reason_code": reason,
            "error": describe(Reason(reason), http_status) if reason else "",
            "url": delivery.webhook.url,
            "http_method": delivery.webhook.http_method,
            "request_headers": {"Content-Type": "application/json"},
            "response_headers": {"content-type": "application/json"},
            "response_body": b'{"received":true}',
            **changes,
        }
    )


def a_failure(delivery: Delivery, **changes: Any) -> Failure:
    """Return the failure record of a delivery, as the API lists it."""
    return Failure.objects.create(
        **{
            "account": delivery.account,
            "delivery": delivery,
            "status": Failure.Status.INACTIVE,
            "reason": "Connection timeout",
            "reason_code": Reason.CONNECTION_TIMEOUT,
            "webhook_id": delivery.webhook_id,
            "webhook_name": delivery.webhook.name,
            "event_type": delivery.event.type,
            "last_attempt_at": NOW,
            "created_at": NOW,
            "updated_at": NOW,
            **changes,
        }
    )


def a_failed_delivery(webhook: Webhook | None = None, **changes: Any) -> Delivery:
    """Return a delivery that has used up its retries, with its one attempt and its failure record."""
    delivery = a_delivery(
        webhook,
        **{
            "status": Delivery.Status.FAILED,
            "attempts_made": 1,
            "retries_left": 0,
            "due_at": None,
            "scheduled_at": None,
            "next_attempt_id": None,
            "finished_at": NOW,
            **changes,
        },
    )
    an_attempt(delivery, created_at=delivery.created_at)
    a_failure(delivery, created_at=delivery.created_at)
    return delivery


def a_failure_group(delivery: Delivery | None = None, **changes: Any) -> FailureGroup:
    """Return the group of a failed delivery's failure."""
    failure = (delivery or a_failed_delivery()).failure
    return FailureGroup.objects.create(
        **{
            "account": failure.account,
            "webhook_id": failure.webhook_id,
            "reason_code": failure.reason_code,
            "reason": failure.reason,
            "seen": 1,
            "first_seen_at": failure.last_attempt_at,
            "last_seen_at": failure.last_attempt_at,
            **changes,
        }
    )


def a_recovery(account: Account | None = None, **changes: Any) -> Recovery:
    """Return a recovery that runs, of everything of one event type."""
    return Recovery.objects.create(
        **{
            "account": account or an_account(),
            "by": "API key test",
            "why": "The receiver was down.",
            "event_type": "call.ended",
            "rate": 50,
            "total": 1,
            "created_at": NOW,
            "covers_until": NOW,
            "next_slot_at": NOW,
            **changes,
        }
    )


def an_audit_entry(account: Account | None = None, **changes: Any) -> AuditEntry:
    """Return the note of an act."""
    return AuditEntry.objects.create(
        **{
            "account": account or an_account(),
            "by": "API key test",
            "action": AuditEntry.Action.WEBHOOK_DELETED,
            "created_at": NOW,
            **changes,
        }
    )


def a_minute_of_traffic(webhook: Webhook | None = None, **changes: Any) -> TrafficMinute:
    """Return the count of one minute, in which one attempt arrived."""
    webhook = webhook or a_webhook()
    return TrafficMinute.objects.create(
        **{
            "account": webhook.account,
            "webhook": webhook,
            "event_type": "call.ended",
            "minute": int(NOW.timestamp()) // 60,
            "succeeded": 1,
            "duration_ms": 142,
            "upto_250": 1,
            **changes,
        }
    )


def a_minute_of_the_queue(**changes: Any) -> QueueMinute:
    """Return how the queue was in a minute: something had waited for a second."""
    counts = {"due": 1, "oldest_due_ms": 1000, "in_flight": 2, "scheduled": 3, "held": 4}
    return QueueMinute.objects.create(**{"minute": TrafficMinute.of(NOW), **counts, **changes})


def a_pause(account: Account | None = None, **changes: Any) -> Pause:
    """Return a pause that holds back all of an account, unless it names something else, for a day."""
    return Pause.objects.create(
        **{
            "account": account or an_account(),
            "why": "The receiver is being moved.",
            "by": "ada",
            "created_at": NOW - timedelta(hours=1),
            "until": NOW + timedelta(days=1),
            **changes,
        }
    )


def a_worker(**changes: Any) -> Worker:
    """Return the row of a process that delivers."""
    return Worker.objects.create(
        **{"host": "one.example.com", "pid": 4711, "started_at": NOW, "seen_at": NOW, "slots": 32, **changes}
    )


def a_chore(**changes: Any) -> Chore:
    """Return the note of a chore of beat's."""
    return Chore.objects.create(**{"name": Chore.Name.RECOVER, "done_at": NOW, **changes})
