"""manage.py queue_status."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries.models import Failure, Webhook, WebhookHealth
from deliveries.services import measuring, overview, webhooks
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
        assert (status["leased"], status["scheduled"]) == (1, 2)
        assert status["held"] == {"disabled": 3, "circuit": 0, "paused": 0, "none": 0}
        assert status["failed"] == {"open": 0, "snoozed": 0, "settled": 5}
        assert [(each["webhook_name"], each["count"]) for each in status["waiting"]] == [
            ("Busy", 2),
            ("Calm", 1),
        ]
        assert status["waiting"][0]["webhook_id"] == str(busy.pk)

    def test_reads_well(self, run: Run, busy: Webhook) -> None:
        lines = run("queue_status").stdout.splitlines()

        assert lines[0].startswith("due now     3, the oldest for 0:05:0")
        assert lines[1:8] == [
            "in flight   1",
            "scheduled   2",
            "held        3 disabled",
            "failed      0 that need a person, 5 of resolved groups or deleted webhooks",
            "circuits    none open",
            "workers     0 alive",
            "beat        never seen",
        ]
        assert lines[9] == "Waiting longest:"
        assert lines[10].startswith(f"       2  Busy ({busy.pk}), the oldest for 0:05:0")
        assert lines[13] == "Disabled, with deliveries held:"
        assert re.fullmatch(r"       3  CRM call events \([0-9a-f-]{36}\): Maintenance\.", lines[14])

    def test_is_calm_when_nothing_waits(self, run: Run) -> None:
        assert run("queue_status").stdout.splitlines()[0] == "due now     0"
        assert json.loads(run("queue_status", "--json").stdout) == {
            "due": 0,
            "oldest_due_at": None,
            "oldest_due_age": None,
            "leased": 0,
            "scheduled": 0,
            "held": {"disabled": 0, "circuit": 0, "paused": 0, "none": 0},
            "failed": {"open": 0, "snoozed": 0, "settled": 0},
            "workers": 0,
            "chores": {
                "recover": None,
                "expire_idempotency_keys": None,
                "prune_logs": None,
                "recount_logs": None,
            },
            "circuits": {"open": 0, "probing": 0, "recovering": 0},
            "waiting": [],
            "shut": [],
            "disabled": [],
            "pauses": [],
        }

    def test_tells_failures_that_wait_from_those_somebody_is_done_with(self, run: Run, db: None) -> None:
        builders.a_failure_group()
        builders.a_failure_group(state="snoozed", snoozed_until=timezone.now() + timedelta(hours=1))
        builders.a_failure_group(state="resolved")

        said = run("queue_status").stdout
        status = json.loads(run("queue_status", "--json").stdout)

        assert (
            "failed      1 that need a person, 1 snoozed, 1 of resolved groups or deleted webhooks\n" in said
        )
        assert status["failed"] == {"open": 1, "snoozed": 1, "settled": 1}

    def test_says_that_no_failure_waits(self, run: Run, db: None) -> None:
        assert "failed      0 that need a person\n" in run("queue_status").stdout

    def test_says_when_beat_was_last_seen(self, run: Run, db: None) -> None:
        builders.a_chore(done_at=timezone.now() - timedelta(minutes=2))

        assert "beat        last seen 0:02:0" in run("queue_status").stdout

    @pytest.mark.parametrize("circuit", ["open", "probing"])
    def test_names_receivers_that_are_down(self, run: Run, circuit: str) -> None:
        webhook = builders.a_webhook(name="CRM")
        now = timezone.now()
        WebhookHealth.objects.filter(webhook=webhook).update(
            circuit=circuit,
            circuit_since=now - timedelta(minutes=10),
            next_step_at=now + timedelta(hours=1),
        )
        builders.a_delivery(webhook, due_at=now - timedelta(minutes=1))

        lines = run("queue_status").stdout.splitlines()
        (named,) = json.loads(run("queue_status", "--json").stdout)["shut"]

        # Nothing is sent to an open one, and one by one to a probing one.
        assert lines[0].startswith("due now     0" if circuit == "open" else "due now     1")
        assert f"circuits    1 {circuit}" in lines
        assert lines[lines.index("Receivers that are down:") + 1].startswith(
            f"{circuit:>8}  CRM ({webhook.pk}), for 0:10:0"
        )
        assert "looked at next in 0:59:" in lines[-1]
        assert (named["webhook_id"], named["circuit"]) == (str(webhook.pk), circuit)

    def test_leaves_out_a_receiver_that_is_coming_back(self, run: Run) -> None:
        WebhookHealth.objects.filter(webhook=builders.a_webhook()).update(
            circuit="recovering", circuit_since=builders.NOW, next_step_at=builders.NOW
        )

        said = run("queue_status").stdout

        assert "circuits    1 recovering" in said
        assert "Receivers that are down" not in said

    def test_says_of_a_disabled_webhook_only_that_something_is_held(self, run: Run) -> None:
        for status in ("held", "succeeded"):
            webhook = builders.a_webhook(name=f"With something {status}")
            finished: dict[str, Any] = {
                "due_at": None,
                "scheduled_at": None,
                "next_attempt_id": None,
                "finished_at": builders.NOW,
            }
            builders.a_delivery(webhook, status=status, **({} if status == "held" else finished))
            Webhook.objects.filter(pk=webhook.pk).update(enabled=False)

        said = run("queue_status").stdout

        assert "With something held" in said
        assert "nobody said why" in said
        assert "With something succeeded" not in said

    def test_says_that_there_are_more(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(overview, "LISTED", 2)
        monkeypatch.setattr(overview, "MOST", 3)
        monkeypatch.setattr(measuring, "MOST", 1000)
        for size in (1, 3, 5):
            builders.a_backlog(builders.a_webhook(), size, due_at=timezone.now() - timedelta(minutes=size))

        lines = run("queue_status").stdout.splitlines()

        assert lines[0].startswith("due now     9, the oldest for 0:05:0")
        assert lines[9] == "Waiting longest (the first 2):"
        assert [line.split("  (")[0].split("  CRM")[0] for line in lines[10:]] == ["3 or more", "3 or more"]

    def test_says_of_a_total_that_it_is_a_bound(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(measuring, "MOST", 2)
        builders.a_backlog(builders.a_webhook(), 3, due_at=timezone.now())

        assert run("queue_status").stdout.startswith("due now     2 or more, the oldest")

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
        webhook, disabled = builders.a_webhook(), builders.a_webhook()
        builders.a_backlog(webhook, 3, due_at=builders.NOW)
        builders.a_backlog(disabled, 3, status="held")
        Webhook.objects.filter(pk=disabled.pk).update(enabled=False)
        with CaptureQueriesContext(connection) as queries:
            overview.queue_status(now=timezone.now())
        with connection.cursor() as cursor:
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            for query in queries:
                cursor.execute(f"EXPLAIN {query['sql']}")
                plan = "\n".join(row[0] for row in cursor.fetchall())
                # Groups of failures are few.
                assert not re.search(r"Seq Scan on deliveries_(delivery|failure)\b", plan), plan
                if "deliveries_delivery" in plan:
                    assert re.search("deliveries_(queue|leased|held_in_order)", plan), plan
