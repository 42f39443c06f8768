"""A service with something of everything on its pages, as an operator finds it on a bad day."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.urls import reverse

from deliveries.identifiers import new_id_at
from deliveries.models import Attempt, Delivery, QueueMinute, Recovery, TrafficMinute, Webhook, WebhookHealth
from deliveries.reasons import Reason
from tests import builders

MINUTE = timedelta(minutes=1)
_AT_REST = {"due_at": None, "scheduled_at": None, "next_attempt_id": None}
# Where the time of an attempt went, in microseconds.
_TIMES = {"dns_us": 1_200, "connect_us": 8_400, "tls_us": 21_000, "first_byte_us": 96_000}


def fill(now: datetime) -> dict[str, str]:
    """Make the rows, and return the paths of the pages that show them, by what those are of."""
    account = builders.an_account()
    agent = builders.an_agent(account)
    well = builders.a_webhook(account, agent=agent, name="CRM call events", events=["call.*"])
    down = builders.a_webhook(account, name="Billing mirror", url="https://billing.example.com/hooks/calls")
    off = builders.a_webhook(account, name="Old intranet", enabled=False)
    long = builders.a_webhook(account, name="n" * 255, url=f"https://example.com/{'u' * 500}")
    WebhookHealth.objects.filter(pk=down.pk).update(
        consecutive_failures=14, failing_since=now - timedelta(hours=3), last_failure_at=now - MINUTE
    )
    _traffic(well, down, now=now)
    delivered = _delivered(well, now=now)
    failures = [_failed(down, number=number, now=now) for number in range(6)]
    waiting = builders.a_delivery(well, due_at=now - 3 * MINUTE, created_at=now - 3 * MINUTE)
    builders.a_delivery(off, status="held", due_at=now, created_at=now - 9 * MINUTE)
    builders.a_delivery(well, status="cancelled", finished_at=now, created_at=now - 12 * MINUTE, **_AT_REST)
    group = builders.a_failure_group(failures[0], seen=17)
    builders.a_failure_group(
        _failed(well, number=7, now=now),
        seen=2,
        reason="Connection refused",
        reason_code="connection_refused",
    )
    recovery = builders.a_recovery(
        account, total=40, queued=12, skipped=1, webhook_id=down.pk, event_type="", rate=5, created_at=now
    )
    _sent_again(failures[-1], recovery)
    builders.a_recovery(account, status="completed", total=3, queued=3, finished_at=now, created_at=now)
    builders.a_pause(account, webhook=off, until=now + timedelta(hours=5), created_at=now - MINUTE)
    builders.a_worker(host="worker-1.example.com", seen_at=now, started_at=now - 90 * MINUTE, recorded=48_211)
    builders.a_worker(host="worker-2.example.com", pid=17, seen_at=now - 20 * MINUTE)
    builders.a_chore(done_at=now)
    builders.a_key(account)
    entry = builders.an_audit_entry(
        account, created_at=now, why="The receiver has moved to another host.", subject_id=str(off.pk)
    )
    attempts = reverse("admin:deliveries_attempt_changelist")
    return {
        "overview": reverse("admin:index"),
        "inbox": reverse("admin:deliveries_failuregroup_changelist"),
        "failure group": reverse("admin:deliveries_failuregroup_change", args=[group.pk]),
        "webhooks": reverse("admin:deliveries_webhook_changelist"),
        "webhook": reverse("admin:deliveries_webhook_change", args=[down.pk]),
        "new webhook": reverse("admin:deliveries_webhook_add"),
        "deleting a webhook": reverse("admin:deliveries_webhook_delete", args=[long.pk]),
        "events": reverse("admin:deliveries_event_changelist"),
        "event": reverse("admin:deliveries_event_change", args=[delivered.event_id]),
        "deliveries": reverse("admin:deliveries_delivery_changelist"),
        "delivery": reverse("admin:deliveries_delivery_change", args=[failures[0].pk]),
        "giving up": reverse("admin:deliveries_delivery_cancel", args=[waiting.pk]),
        "comparison": reverse("admin:deliveries_delivery_compare", args=[failures[0].pk]),
        "attempts": attempts,
        "attempts, narrowed": f"{attempts}?account={account.pk}&webhook__id__exact={long.pk}",
        "attempts of nobody": f"{attempts}?webhook__id__exact=x&account={'x' * 200}",
        "attempt": reverse("admin:deliveries_attempt_change", args=[delivered.attempts.get().pk]),
        "curl": reverse("admin:deliveries_attempt_curl", args=[delivered.attempts.get().pk]),
        "failures": reverse("admin:deliveries_failure_changelist"),
        "dry run": f"{reverse('admin:deliveries_recovery_new')}?webhook_id={down.pk}",
        "recoveries": reverse("admin:deliveries_recovery_changelist"),
        "recovery": reverse("admin:deliveries_recovery_change", args=[recovery.pk]),
        "pauses": reverse("admin:deliveries_pause_changelist"),
        "new pause": reverse("admin:deliveries_pause_add"),
        "why, not asked": reverse("console:why"),
        "why": f"{reverse('console:why')}?q={failures[0].event_id}",
        "signatures": f"{reverse('console:signatures')}?example=changed",
        "system": reverse("console:system"),
        "audit": reverse("admin:deliveries_auditentry_changelist"),
        "audit entry": reverse("admin:deliveries_auditentry_change", args=[entry.pk]),
        "API keys": reverse("admin:deliveries_apikey_changelist"),
        "nothing found": f"{reverse('admin:deliveries_delivery_changelist')}?q=x",
        "tables": reverse("admin:app_list", args=["deliveries"]),
        "people": reverse("admin:auth_user_changelist"),
    }


def _traffic(well: Webhook, down: Webhook, *, now: datetime) -> None:
    """Count an hour in which the second webhook breaks down, and a day before it."""
    last = TrafficMinute.of(now)
    for ago in (*range(60), *range(60, 1440, 45)):
        builders.a_minute_of_traffic(
            well, minute=last - ago, succeeded=40 + ago % 7, upto_250=30, upto_1000=10 + ago % 7
        )
        failed = 12 if ago < 25 else 1
        builders.a_minute_of_traffic(
            down, minute=last - ago, succeeded=1, failed=failed, unavailable=failed // 2, upto_2500=1 + failed
        )
    for ago in range(60):
        builders.a_minute_of_the_queue(minute=last - ago, due=ago % 9, oldest_due_ms=ago % 9 * 4000)
    assert QueueMinute.objects.count() == 60


def _delivered(webhook: Webhook, *, now: datetime) -> Delivery:
    """Make a delivery that arrived at once."""
    event = builders.an_event(webhook.account, created_at=now - 5 * MINUTE, occurred_at=now - 5 * MINUTE)
    delivery = builders.a_delivery(
        webhook,
        event=event,
        status="succeeded",
        attempts_made=1,
        created_at=now - 5 * MINUTE,
        finished_at=now - 5 * MINUTE,
        **_AT_REST,
    )
    builders.an_attempt(delivery, http_status=200, started_at=now - 5 * MINUTE, **_TIMES)
    return delivery


def _failed(webhook: Webhook, *, number: int, now: datetime) -> Delivery:
    """Make a delivery whose three attempts failed, each in another way."""
    made_at = now - (20 + number) * MINUTE
    event = builders.an_event(webhook.account, created_at=made_at, occurred_at=made_at)
    delivery = builders.a_failed_delivery(
        webhook, event=event, created_at=made_at, finished_at=made_at + 9 * MINUTE, attempts_made=3
    )
    for attempt in delivery.attempts.all():
        attempt.delete()
    for each, changes in enumerate(_ways_to_fail(), start=1):
        at = made_at + each * MINUTE
        builders.an_attempt(
            delivery, id=new_id_at(made_at + each * MINUTE), number=each, started_at=at, **changes
        )
    failed_at = {"created_at": made_at + MINUTE, "last_attempt_at": made_at + 3 * MINUTE}
    type(delivery.failure).objects.filter(delivery=delivery).update(**failed_at)
    assert Attempt.objects.filter(delivery=delivery).count() == 3
    return Delivery.objects.get(pk=delivery.pk)


def _ways_to_fail() -> Iterator[dict[str, object]]:
    yield {
        "http_status": 500,
        "response_body": b'{"error":"no room","trace":"' + b"x" * 400 + b'"}',
        **_TIMES,
    }
    yield {"http_status": 503, "response_headers": {"retry-after": "60", "x-node": "b"}, **_TIMES}
    yield {
        "http_status": None,
        "reason_code": Reason.CONNECTION_TIMEOUT,
        "response_headers": None,
        "response_body": b"",
        "dns_us": 2_000,
    }


def _sent_again(delivery: Delivery, recovery: Recovery) -> None:
    """Have the recovery have taken up a failure."""
    type(delivery.failure).objects.filter(delivery=delivery).update(recovery=recovery, status="pending")
