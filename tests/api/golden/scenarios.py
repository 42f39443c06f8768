"""The states golden files need: rows with the ids and times the contracts print.

Each makes what belongs to the account that asks, and gives nothing back: a golden file knows the ids.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from deliveries.identifiers import new_id_at
from deliveries.models import (
    Account,
    Agent,
    Attempt,
    Delivery,
    Event,
    Failure,
    IdempotencyKey,
    Pause,
    Recovery,
    Webhook,
    WebhookHealth,
    WebhookRevision,
)
from deliveries.reasons import Reason
from deliveries.services import publishing, redelivery, webhooks
from tests import builders

# The failures API's examples.
CRM_WEBHOOK = UUID("0b97ce11-b6e0-49b4-8f92-68040aa324bf")
FAILURE = "aabbccddeeff001122334455"
FIRST_FAILED_AT = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
LAST_FAILED_AT = datetime(2026, 3, 15, 10, 32, 14, tzinfo=UTC)
# The logs API's examples.
AGENT = UUID("9fbef0b7-8d4e-4a08-9207-66c22155721d")
AGENT_WEBHOOK = UUID("9fcafbf2-7593-44d6-8cd7-1b221beba62a")
LOG = UUID("019c0000-0000-7000-8000-000000000001")
NEXT_LOG = UUID("019c0000-0000-7000-8000-000000000002")
LOGGED_AT = datetime(2024, 1, 15, 11, 0, tzinfo=UTC)
# Of no example.
EVENT = UUID("01980000-0000-7000-8000-000000000001")
DELIVERY = UUID("01980000-0000-7000-8000-000000000002")
ATTEMPT = UUID("01980000-0000-7000-8000-000000000004")
RECOVERY = UUID("01980000-0000-7000-8000-000000000003")
PAUSE = UUID("01980000-0000-7000-8000-000000000005")
ENDED_PAUSE = UUID("01980000-0000-7000-8000-000000000006")


def nothing(account: Account) -> None:
    """Make nothing beside the account and its key."""


# --- The failures API ---


def the_webhook(account: Account) -> None:
    """Make the webhook the failures API prints."""
    made_at = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
    _webhook_of(
        CRM_WEBHOOK,
        account,
        now=made_at,
        events=["inbound.call.answered", "outbound.call.answered"],
        authorization_scheme="basic",
        authorization_credential="user:canary",
        custom_headers={"X-Custom-Header": "value"},
    )


def a_webhook_with_credentials_in_its_headers(account: Account) -> None:
    """Make the printed webhook, with headers that are nobody else's business."""
    the_webhook(account)
    headers = {"X-Custom-Header": "value", "X-Auth-Token": "canary"}
    Webhook.objects.update(custom_headers=Webhook.seal_headers(headers))


def two_webhooks(account: Account) -> None:
    """Make the printed webhook, and one that was there before it."""
    the_webhook(account)
    builders.a_webhook(account, name="Older", now=datetime(2024, 1, 1, tzinfo=UTC))


def a_deleted_webhook(account: Account) -> None:
    """Make the printed webhook, and delete it."""
    the_webhook(account)
    webhooks.delete(Webhook.objects.get(pk=CRM_WEBHOOK), by="a test", now=builders.NOW)


def the_failure(account: Account) -> None:
    """Make the failure the failures API prints."""
    the_webhook(account)
    delivery = builders.a_failed_delivery(
        Webhook.objects.get(pk=CRM_WEBHOOK), created_at=FIRST_FAILED_AT - timedelta(seconds=30)
    )
    _the_failure(delivery)


def a_pending_failure(account: Account) -> None:
    """Make the printed failure as it is after a retrigger."""
    the_failure(account)
    redelivery.redeliver(Delivery.objects.get(), by="a test", now=datetime(2026, 3, 15, 10, 45, tzinfo=UTC))


def a_delivered_failure(account: Account) -> None:
    """Make the printed failure, whose later attempt arrived."""
    the_failure(account)
    Delivery.objects.update(status=Delivery.Status.SUCCEEDED)
    Failure.objects.update(status=Failure.Status.DELIVERED)


def a_failure_of_a_disabled_webhook(account: Account) -> None:
    """Make the printed failure, and disable its webhook."""
    the_failure(account)
    Webhook.objects.update(enabled=False)


def a_failure_of_a_deleted_webhook(account: Account) -> None:
    """Make the printed failure, and delete its webhook."""
    the_failure(account)
    webhooks.delete(Webhook.objects.get(), by="a test", now=builders.NOW)


def three_failures(account: Account) -> None:
    """Make the printed failure, one of the day before, and one of the day after."""
    the_failure(account)
    webhook = Webhook.objects.get()
    for days, failure_id in ((-1, "a" * 24), (1, "c" * 24)):
        failure = builders.a_failed_delivery(webhook).failure
        moment = FIRST_FAILED_AT + timedelta(days=days)
        _change(failure, id=failure_id, created_at=moment, last_attempt_at=moment, updated_at=moment)


def a_failure_of_another_account(account: Account) -> None:
    """Make the printed failure for somebody else."""
    the_failure(builders.an_account(name="Elsewhere"))


# --- The logs API ---


def the_agent(account: Account) -> None:
    """Make the agent the logs API prints."""
    builders.an_agent(account, pk=AGENT)


def an_agent_of_another_account(account: Account) -> None:
    """Make the printed agent, with its webhook and log, for somebody else."""
    the_log(builders.an_account(name="Elsewhere"))


def an_agent_webhook(account: Account) -> None:
    """Make the webhook the logs API prints."""
    the_agent(account)
    _webhook_of(
        AGENT_WEBHOOK,
        account,
        agent=Agent.objects.get(pk=AGENT),
        now=datetime(2025, 9, 3, 23, 19, 51, tzinfo=UTC),
        name="My Webhook",
        events=["event_phone_call_started", "event_phone_call_ended"],
        secret="whsec_Y2FuYXJ5IGluIGEgY29hbCBtaW5lLCBzaW5naW5n",
    )
    Webhook.objects.update(updated_at=datetime(2025, 9, 3, 23, 37, 1, tzinfo=UTC))


def a_disabled_agent_webhook(account: Account) -> None:
    """Make the printed webhook, disabled."""
    an_agent_webhook(account)
    Webhook.objects.update(enabled=False)


def a_webhook_of_another_agent(account: Account) -> None:
    """Make the printed agent, and the printed webhook for another one."""
    an_agent_webhook(account)
    Webhook.objects.update(agent=builders.an_agent(account))


def the_log(account: Account) -> None:
    """Make the log the logs API prints."""
    an_agent_webhook(account)
    _log(_delivery(Delivery.Status.SUCCEEDED), http_status=200)


def many_logs(account: Account) -> None:
    """Make the printed log, and 246 older ones."""
    the_log(account)
    (log,) = Attempt.objects.all()
    Attempt.objects.bulk_create(
        _copy(log, number=number, created_at=LOGGED_AT - timedelta(hours=number)) for number in range(2, 248)
    )
    WebhookHealth.objects.update(attempts_kept=247)


def a_failed_log(account: Account) -> None:
    """Make the printed log as a failed one: the receiver answered 500."""
    an_agent_webhook(account)
    _log(_delivery(Delivery.Status.FAILED), http_status=500)


def a_log_without_an_answer(account: Account) -> None:
    """Make the printed log as one whose receiver never answered."""
    an_agent_webhook(account)
    _log(
        _delivery(Delivery.Status.FAILED),
        http_status=None,
        reason_code=Reason.CONNECTION_TIMEOUT,
        response_body=None,
        response_headers=None,
    )


def a_pending_log(account: Account) -> None:
    """Make the printed log as one that is queued."""
    an_agent_webhook(account)
    _delivery(Delivery.Status.PENDING, next_attempt_id=LOG, attempts_made=0)


def a_retrying_log(account: Account) -> None:
    """Make the printed log as a failed one, with its successor queued."""
    an_agent_webhook(account)
    delivery = _delivery(
        Delivery.Status.PENDING, next_attempt_id=NEXT_LOG, scheduled_at=LOGGED_AT + timedelta(seconds=1)
    )
    _log(delivery, http_status=500)


def a_failed_log_with_an_attempt_outstanding(account: Account) -> None:
    """Make the printed log as a failed one, retried by hand a moment ago."""
    a_failed_log(account)
    redelivery.redeliver(Delivery.objects.get(), by="a test", now=LOGGED_AT + timedelta(minutes=29))


def a_failed_log_of_what_has_succeeded(account: Account) -> None:
    """Make the printed log as a failed one, whose successor arrived."""
    a_failed_log(account)
    (log,) = Attempt.objects.all()
    _copy(log, number=2, http_status=200, succeeded=True, reason_code="", error="").save(force_insert=True)
    Delivery.objects.update(status=Delivery.Status.SUCCEEDED, attempts_made=2)


def a_failed_log_of_a_disabled_webhook(account: Account) -> None:
    """Make the printed log as a failed one, and disable its webhook."""
    a_failed_log(account)
    Webhook.objects.update(enabled=False)


def a_log_of_another_webhook(account: Account) -> None:
    """Make the printed log for another webhook of the printed agent."""
    the_log(account)
    other = builders.a_webhook(agent=Agent.objects.get(pk=AGENT))
    Attempt.objects.update(webhook=other)
    Delivery.objects.update(webhook=other)


# --- The native API ---


def three_webhooks(account: Account) -> None:
    """Make three webhooks that want `call.ended`."""
    for _ in range(3):
        builders.a_webhook(account, events=["call.ended"])


def open_event_types(account: Account) -> None:
    """Have the account accept types the catalogue does not know."""
    Account.objects.filter(pk=account.pk).update(open_event_types=True)


def a_published_event(account: Account) -> None:
    """Publish the printed event, under an idempotency key, to three webhooks."""
    three_webhooks(account)
    publishing.publish(
        account=account,
        event_type="call.ended",
        payload={"call_id": "c-1", "duration": 45},
        occurred_at=FIRST_FAILED_AT,
        now=FIRST_FAILED_AT,
        idempotency_key="order-1",
    )
    key = IdempotencyKey.objects.get()
    old = key.event_id
    Event.objects.filter(pk=old).update(id=EVENT)
    Delivery.objects.filter(event=old).update(event=EVENT)
    IdempotencyKey.objects.update(event=EVENT)


def an_event_and_every_reason_to_skip_it(account: Account) -> None:
    """Make the printed event with one delivery, and a webhook for each reason why there are not more."""
    before = FIRST_FAILED_AT - timedelta(hours=1)
    webhooks_by_name: dict[str, dict[str, Any]] = {
        "Took it": {"events": ["call.*"]},
        "Disabled": {"events": ["call.ended"], "enabled": False},
        "Not subscribed": {"events": ["message.*"]},
        "Other agent": {"agent": builders.an_agent(account)},
    }
    for number, (name, fields) in enumerate(webhooks_by_name.items(), start=1):
        webhook_id = UUID(f"0199{number:04x}-0000-7000-8000-000000000000")
        _webhook_of(webhook_id, account, now=before, name=name, **fields)
    event = builders.an_event(account, pk=EVENT, body=b'{"call_id":"c-1","duration":45}')
    webhook = Webhook.objects.get(name="Took it")
    builders.a_delivery(webhook, event=event, pk=DELIVERY)


def two_events(account: Account) -> None:
    """Make an event, and one an hour later."""
    for hours in (0, 1):
        builders.an_event(account, created_at=FIRST_FAILED_AT + timedelta(hours=hours))


def a_failed_delivery(account: Account) -> None:
    """Make the delivery of the printed event as one that has failed for good."""
    an_event_and_every_reason_to_skip_it(account)
    Delivery.objects.update(
        status=Delivery.Status.FAILED,
        attempts_made=1,
        due_at=None,
        scheduled_at=None,
        next_attempt_id=None,
        finished_at=FIRST_FAILED_AT,
    )
    delivery = Delivery.objects.get()
    builders.an_attempt(delivery, id=ATTEMPT, http_status=503)
    builders.a_failure(delivery)


def a_recovery(account: Account) -> None:
    """Make a recovery that runs."""
    builders.a_recovery(account, pk=RECOVERY)


def a_paused_recovery(account: Account) -> None:
    """Make a recovery that is paused."""
    builders.a_recovery(account, pk=RECOVERY, status=Recovery.Status.PAUSED)


def a_pause(account: Account) -> None:
    """Make a pause of the account that is in force."""
    builders.a_pause(account, pk=PAUSE)


def an_ended_pause(account: Account) -> None:
    """Make a pause of the account that somebody has ended."""
    a_pause(account)
    Pause.objects.end(by="grace", at=builders.NOW)


def two_pauses(account: Account) -> None:
    """Make a pause that is in force, and one of the day before that somebody ended."""
    a_pause(account)
    before = builders.NOW - timedelta(days=1)
    builders.a_pause(
        account,
        pk=ENDED_PAUSE,
        event_type="call.ended",
        created_at=before - timedelta(hours=1),
        until=before,
        ended_at=before - timedelta(minutes=30),
        ended_by="grace",
    )


def traffic(account: Account) -> None:
    """Make two minutes of traffic of the printed webhook: one attempt arrived, one failed for good."""
    the_webhook(account)
    webhook, minute = Webhook.objects.get(pk=CRM_WEBHOOK), int(FIRST_FAILED_AT.timestamp()) // 60
    builders.a_minute_of_traffic(webhook, minute=minute)
    builders.a_minute_of_traffic(webhook, minute=minute + 1, succeeded=0, failed=1, given_up=1)


def _webhook_of(webhook_id: UUID, account: Account, **fields: Any) -> None:
    """Make a webhook with this id."""
    made = builders.a_webhook(account, **fields)
    Webhook.objects.filter(pk=made.pk).update(id=webhook_id)
    WebhookHealth.objects.filter(pk=made.pk).update(webhook=webhook_id)
    WebhookRevision.objects.filter(webhook=made.pk).update(webhook=webhook_id)


def _the_failure(delivery: Delivery) -> None:
    """Give the failure of a delivery the printed values."""
    _change(
        delivery.failure,
        id=FAILURE,
        created_at=FIRST_FAILED_AT,
        last_attempt_at=LAST_FAILED_AT,
        updated_at=LAST_FAILED_AT,
    )


def _change(failure: Failure, **columns: Any) -> None:
    Failure.objects.filter(pk=failure.pk).update(**columns)


def _delivery(status: Delivery.Status, **changes: Any) -> Delivery:
    """Make the delivery of the printed log."""
    webhook = Webhook.objects.get(pk=AGENT_WEBHOOK)
    event = builders.an_event(
        webhook.account, agent=webhook.agent, type="event_phone_call_ended", created_at=LOGGED_AT
    )
    finished = {"due_at": None, "scheduled_at": None, "next_attempt_id": None, "finished_at": LOGGED_AT}
    queued = {"due_at": LOGGED_AT, "scheduled_at": LOGGED_AT}
    schedule = queued if status in Delivery.UNFINISHED else finished
    columns = {"status": status, "attempts_made": 1, "created_at": LOGGED_AT, **schedule, **changes}
    return builders.a_delivery(webhook, event=event, **columns)


def _log(delivery: Delivery, **changes: Any) -> None:
    """Make the printed log: queued at 11:00:00, answered 142 ms after it was sent."""
    duration = timedelta(milliseconds=142)
    started_at = LOGGED_AT + timedelta(seconds=1) - duration
    builders.an_attempt(
        delivery, id=LOG, created_at=LOGGED_AT, started_at=started_at, duration=duration, **changes
    )


def _copy(log: Attempt, **changes: Any) -> Attempt:
    columns = {
        field.attname: getattr(log, field.attname) for field in Attempt._meta.concrete_fields
    } | changes
    return Attempt(**{**columns, "id": new_id_at(columns["created_at"])})
