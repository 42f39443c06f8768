"""manage.py queue_status."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries.models import Failure, Webhook
from deliveries.services import overview, webhooks
from tests import builders
from tests.commands.conftest import Run


@pytest.fixture
def busy() -> Webhook:
    """A queue with something in every state, and the webhook with the most due."""
    now = timezone.now()
    ago, later = now - timedelta(minutes=5), now + timedelta(hours=1)
    busy, calm = builders.a_webhook(name="Busy"), builders.a_webhook(name="Calm")
    builders.a_delivery(busy, due_at=ago)
    # Its lease has run out.
    builders.a_delivery(busy, due_at=now - timedelta(minutes=1), lease_token=busy.pk)
    builders.a_delivery(calm, due_at=now - timedelta(minutes=2))
    builders.a_delivery(calm, due_at=later, lease_token=calm.pk)
    for _ in range(2):
        builders.a_delivery(calm, due_at=later)
    disabled = builders.a_webhook()
    for _ in range(3):
        builders.a_delivery(disabled, due_at=ago)
    webhooks.disable(disabled.pk, reason="Maintenance.", by="a test", now=now)
    failed = [builders.a_failed_delivery(calm) for _ in range(6)]
    Failure.objects.filter(delivery=failed[0]).update(status=Failure.Status.DELIVERED)
    return busy


class TestQueueStatus:
    def test_counts_what_waits(self, run: Run, busy: Webhook) -> None:
        status = json.loads(run("queue_status", "--json").stdout)

        assert status["due"] == 3
        assert 300 <= status["oldest_due_age"] < 360
        assert (status["leased"], status["scheduled"], status["held"]) == (1, 2, 3)
        assert status["failed"] == 5
        assert [(each["webhook_name"], each["due"]) for each in status["busiest"]] == [
            ("Busy", 2),
            ("Calm", 1),
        ]
        assert status["busiest"][0]["webhook_id"] == str(busy.pk)

    def test_reads_well(self, run: Run, busy: Webhook) -> None:
        lines = run("queue_status").stdout.splitlines()

        assert lines[0].startswith("due now     3, the oldest for 0:05:0")
        assert lines[1:8] == [
            "in flight   1",
            "scheduled   2",
            "held        3",
            "failed      5 that need attention",
            "circuits    0 open",
            "workers     0 alive",
            "beat        never seen",
        ]
        assert lines[10].startswith(f"       2  Busy ({busy.pk}), the oldest for 0:05:0")

    def test_is_calm_when_nothing_waits(self, run: Run) -> None:
        assert run("queue_status").stdout.splitlines()[0] == "due now     0"
        assert json.loads(run("queue_status", "--json").stdout) == {
            "due": 0,
            "oldest_due_at": None,
            "oldest_due_age": None,
            "leased": 0,
            "scheduled": 0,
            "held": 0,
            "failed": 0,
            "workers": 0,
            "chores": {"recover": None, "expire_idempotency_keys": None, "prune_logs": None},
            "open_circuits": 0,
            "busiest": [],
            "pauses": [],
        }

    def test_says_when_beat_was_last_seen(self, run: Run, db: None) -> None:
        builders.a_chore(done_at=timezone.now() - timedelta(minutes=2))

        assert "beat        last seen 0:02:0" in run("queue_status").stdout

    def test_names_ten_webhooks_at_most(self, run: Run) -> None:
        for _ in range(11):
            builders.a_delivery(due_at=timezone.now())

        status = json.loads(run("queue_status", "--json").stdout)

        assert status["due"] == 11
        assert len(status["busiest"]) == 10

    @pytest.mark.parametrize("of", ["webhook", "event type", "account"])
    def test_lists_the_pauses_in_force(self, run: Run, of: str) -> None:
        webhook = builders.a_webhook(name="CRM")
        account = webhook.account
        named: dict[str, Any] = {"webhook": {"webhook": webhook}, "event type": {"event_type": "call.ended"}}
        until = timezone.now() + timedelta(hours=1)
        pause = builders.a_pause(account, until=until, **named.get(of, {}))
        builders.a_pause(until=until, ended_at=builders.NOW)
        builders.a_pause(until=timezone.now() - timedelta(seconds=1))

        lines = run("queue_status").stdout.splitlines()
        (listed,) = json.loads(run("queue_status", "--json").stdout)["pauses"]

        subject = {
            "webhook": f"webhook CRM ({webhook.pk})",
            "event type": f"call.ended of account {account.name} ({account.pk})",
            "account": f"account {account.name} ({account.pk})",
        }[of]
        assert lines[-3:] == [
            "Paused:",
            f"  {pause.pk}  {subject}",
            f"    until {until:%Y-%m-%d %H:%M:%S} UTC, by ada: The receiver is being moved.",
        ]
        assert (listed["id"], listed["account_id"]) == (str(pause.pk), str(account.pk))
        assert listed["webhook_name"] == ("CRM" if of == "webhook" else None)
        assert listed["event_type"] == ("call.ended" if of == "event type" else "")
        assert (listed["by"], listed["why"]) == ("ada", "The receiver is being moved.")
        # What it says is what `resume` takes.
        assert run("resume", lines[-2].split()[0]).stdout == "Resumed.\n"

    @pytest.mark.postgresql
    def test_reads_partial_indexes_only(self, db: Any) -> None:
        with CaptureQueriesContext(connection) as queries:
            overview.queue_status(now=timezone.now())
        with connection.cursor() as cursor:
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            plans = []
            for query in queries:
                cursor.execute(f"EXPLAIN {query['sql']}")
                plans.append(str(cursor.fetchall()))

        indexes = [
            "deliveries_queue",
            "deliveries_leased",
            "deliveries_queue",
            "deliveries_held",
            "failures_needing_attention",
            "deliveries_worker_seen_at",
            "deliveries_chore",
            "health_steps",
            "pauses_by_end",
        ]
        for plan, index in zip(plans, indexes, strict=True):
            assert index in plan
