"""Measuring: what a scrape reads, and at what cost."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Delivery, Failure, Webhook, WebhookHealth
from deliveries.services import measuring
from deliveries.services.measuring import Measures
from tests import builders

SECONDS = timedelta(seconds=1)
MINUTES = timedelta(minutes=1)


def measure() -> Measures:
    return measuring.measure(now=builders.NOW)


def an_open_circuit(webhook: Webhook, circuit: str = "open") -> None:
    WebhookHealth.objects.filter(webhook=webhook).update(
        circuit=circuit, circuit_since=builders.NOW, next_step_at=builders.NOW + MINUTES
    )


def a_disabled_webhook(webhook: Webhook) -> None:
    Webhook.objects.filter(pk=webhook.pk).update(enabled=False)


def a_paused_webhook(webhook: Webhook) -> None:
    builders.a_pause(webhook.account, webhook=webhook, until=builders.NOW + MINUTES)


def a_paused_account(webhook: Webhook) -> None:
    builders.a_pause(webhook.account, webhook=None, until=builders.NOW + MINUTES)


def a_paused_type(webhook: Webhook) -> None:
    builders.a_pause(webhook.account, webhook=None, event_type="call.ended", until=builders.NOW + MINUTES)


@pytest.mark.django_db
class TestDue:
    def test_is_what_waits_for_a_worker(self) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3, due_at=builders.NOW - 90 * SECONDS)
        builders.a_backlog(webhook, 2, due_at=builders.NOW + SECONDS)

        measures = measure()

        assert (measures.due, measures.scheduled, measures.in_flight) == (3, 2, 0)
        assert measures.oldest_due_at == builders.NOW - 90 * SECONDS

    def test_is_nothing_where_nothing_is(self) -> None:
        measures = measure()

        assert (measures.due, measures.oldest_due_at) == (0, None)
        assert measures.held == {"disabled": 0, "circuit": 0, "paused": 0, "none": 0}
        assert measures.stranded == {"held": 0, "lease": 0, "due": 0}
        assert measures.circuits == {"open": 0, "probing": 0, "recovering": 0}

    @pytest.mark.parametrize(
        "barrier", [a_disabled_webhook, a_paused_webhook, a_paused_account, an_open_circuit]
    )
    def test_leaves_out_what_could_not_be_sent(self, barrier: Callable[[Webhook], None]) -> None:
        webhook, other = builders.a_webhook(), builders.a_webhook()
        builders.a_backlog(webhook, 3, due_at=builders.NOW - MINUTES)
        builders.a_backlog(other, 1, due_at=builders.NOW - SECONDS)

        barrier(webhook)

        measures = measure()
        assert (measures.due, measures.oldest_due_at) == (1, builders.NOW - SECONDS)
        assert measures.stranded == {"held": 0, "lease": 0, "due": 0}

    def test_leaves_out_what_is_with_a_worker(self) -> None:
        builders.a_claimed_delivery()

        measures = measure()

        assert (measures.due, measures.in_flight, measures.scheduled) == (0, 1, 0)


@pytest.mark.django_db
class TestOldestDue:
    def a_queue_behind(self, under_way: int, **fields: Any) -> Webhook:
        """Return a webhook with three deliveries a minute old, and some under way."""
        webhook = builders.a_webhook(**fields)
        builders.a_backlog(webhook, under_way, due_at=builders.NOW + SECONDS, lease_token=webhook.pk)
        builders.a_backlog(webhook, 3, due_at=builders.NOW - MINUTES)
        return webhook

    @pytest.mark.parametrize(("under_way", "oldest"), [(1, builders.NOW - MINUTES), (2, None), (3, None)])
    def test_leaves_out_a_receiver_with_as_many_under_way_as_it_may_have(
        self, under_way: int, oldest: datetime | None
    ) -> None:
        self.a_queue_behind(under_way, max_in_flight=2)

        measures = measure()

        assert measures.oldest_due_at == oldest
        assert measures.due == 3

    @pytest.mark.parametrize(("under_way", "oldest"), [(0, builders.NOW - MINUTES), (1, None)])
    def test_leaves_out_one_that_is_being_tried(self, under_way: int, oldest: datetime | None) -> None:
        an_open_circuit(self.a_queue_behind(under_way), "probing")

        assert measure().oldest_due_at == oldest

    @pytest.mark.parametrize(
        ("workers", "oldest"), [(0, builders.NOW - MINUTES), (1, None), (2, builders.NOW - MINUTES)]
    )
    def test_leaves_out_one_that_has_its_share_of_all_workers(
        self, workers: int, oldest: datetime | None
    ) -> None:
        for _ in range(workers):
            builders.a_worker(slots=8)
        builders.a_worker(slots=8, seen_at=builders.NOW - MINUTES)

        self.a_queue_behind(2)

        assert measure().oldest_due_at == oldest

    def test_does_not_take_leases_that_ran_out_for_requests(self) -> None:
        webhook = builders.a_webhook(max_in_flight=1)
        builders.a_backlog(webhook, 1, due_at=builders.NOW - MINUTES, lease_token=webhook.pk)

        assert measure().oldest_due_at == builders.NOW - MINUTES


@pytest.mark.django_db
class TestHeld:
    @pytest.mark.parametrize(
        ("barrier", "reason"),
        [
            (a_disabled_webhook, "disabled"),
            (a_paused_webhook, "paused"),
            (a_paused_account, "paused"),
            (a_paused_type, "paused"),
            (an_open_circuit, "circuit"),
            (lambda webhook: an_open_circuit(webhook, "recovering"), "circuit"),
        ],
        ids=["disabled", "paused", "paused_account", "paused_type", "open", "recovering"],
    )
    def test_is_told_by_its_reason(self, barrier: Callable[[Webhook], None], reason: str) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3, status=Delivery.Status.HELD)

        barrier(webhook)

        measures = measure()
        assert {why: count for why, count in measures.held.items() if count} == {reason: 3}
        assert measures.stranded["held"] == 0

    def test_is_told_with_the_moment_the_oldest_would_have_been_due(self) -> None:
        webhook, other = builders.a_webhook(), builders.a_webhook()
        a_disabled_webhook(webhook)
        builders.a_backlog(webhook, 1, status=Delivery.Status.HELD, due_at=builders.NOW + MINUTES)
        assert measure().oldest_held_at is None
        for its, minutes in ((webhook, 1), (other, 2)):
            builders.a_backlog(its, 1, status=Delivery.Status.HELD, due_at=builders.NOW - minutes * MINUTES)

        assert measure().oldest_held_at == builders.NOW - 2 * MINUTES

    def test_without_a_reason_is_stranded(self) -> None:
        builders.a_backlog(builders.a_webhook(), 3, status=Delivery.Status.HELD)

        assert (measure().held["none"], measure().stranded["held"]) == (3, 3)


@pytest.mark.django_db
class TestStranded:
    @pytest.mark.parametrize(("ago", "count"), [(59, 0), (60, 1)])
    def test_are_leases_nobody_took_over(self, ago: int, count: int) -> None:
        delivery = builders.a_claimed_delivery()
        Delivery.objects.filter(pk=delivery.pk).update(due_at=builders.NOW - ago * SECONDS)

        assert measure().stranded["lease"] == count

    @pytest.mark.parametrize(("ago", "count"), [(59, 0), (60, 3)])
    def test_is_what_is_due_for_long_while_nothing_is_under_way(self, ago: int, count: int) -> None:
        builders.a_backlog(builders.a_webhook(), 3, due_at=builders.NOW - ago * SECONDS)

        assert measure().stranded["due"] == count

    def test_is_not_what_waits_for_its_turn(self) -> None:
        delivery = builders.a_claimed_delivery()
        builders.a_backlog(delivery.webhook, 3, due_at=builders.NOW - MINUTES)

        assert measure().stranded["due"] == 0


@pytest.mark.django_db
class TestOthers:
    @pytest.mark.parametrize("state", ["open", "probing", "recovering"])
    def test_circuits_are_counted_by_state(self, state: str) -> None:
        an_open_circuit(builders.a_webhook(), state)
        builders.a_webhook()

        assert measure().circuits == {**dict.fromkeys(("open", "probing", "recovering"), 0), state: 1}

    def test_pauses_in_force_are_counted(self) -> None:
        a_paused_account(builders.a_webhook())
        builders.a_pause(until=builders.NOW - SECONDS, created_at=builders.NOW - MINUTES)

        assert measure().pauses == 1

    def test_failures_that_need_a_person_are_counted(self) -> None:
        builders.a_failed_delivery()

        assert measure().failures == 1

    def test_failures_that_killed_their_workers_are_counted_apart(self) -> None:
        builders.a_failed_delivery()
        killer, sent_again = builders.a_failed_delivery(), builders.a_failed_delivery()
        Failure.objects.filter(delivery__in=[killer, sent_again]).update(reason_code="worker_killed")
        Failure.objects.filter(delivery=sent_again).update(status="delivered")

        assert measure().killed == 1

    def test_chores_are_told_also_when_never_done(self) -> None:
        builders.a_chore(name="recover", done_at=builders.NOW - SECONDS)
        builders.a_chore(name="of_an_older_version")

        assert measure().chores == {
            "recover": builders.NOW - SECONDS,
            "expire_idempotency_keys": None,
            "prune_logs": None,
            "recount_logs": None,
        }

    def test_workers_are_alive_or_silent(self) -> None:
        alive = builders.a_worker()
        builders.a_worker(seen_at=builders.NOW - MINUTES)

        measures = measure()

        assert (measures.alive, measures.silent) == ([alive], 1)

    @pytest.mark.parametrize(("ago", "count"), [(23, 1), (24, 0)])
    def test_workers_are_silent_for_a_day(self, ago: int, count: int) -> None:
        builders.a_worker(seen_at=builders.NOW - ago * 60 * MINUTES)

        assert measure().silent == count


@pytest.mark.django_db
class TestCost:
    def test_takes_no_query_more_for_another_webhook(self) -> None:
        taken = []
        for _ in range(2):
            for barrier in (a_disabled_webhook, a_paused_webhook, an_open_circuit, lambda webhook: None):
                webhook = builders.a_webhook()
                builders.a_backlog(webhook, 3, due_at=builders.NOW - 2 * MINUTES)
                builders.a_backlog(webhook, 3, status=Delivery.Status.HELD)
                barrier(webhook)
            builders.a_worker()
            with CaptureQueriesContext(connection) as queries:
                measure()
            taken.append(len(queries))

        assert taken[0] == taken[1] <= 18

    def test_counts_no_further_than_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(measuring, "MOST", 5)
        webhook, other = builders.a_webhook(), builders.a_webhook()
        builders.a_backlog(webhook, 4, due_at=builders.NOW - MINUTES)
        builders.a_backlog(other, 4, due_at=builders.NOW - MINUTES)
        builders.a_backlog(other, 8, due_at=builders.NOW + MINUTES)
        builders.a_backlog(other, 8, status=Delivery.Status.HELD)

        measures = measure()

        assert (measures.due, measures.scheduled) == (5, 5)
        assert measures.held["none"] == 5
        assert measures.oldest_due_at == builders.NOW - MINUTES

    @pytest.mark.postgresql
    def test_reads_no_more_than_it_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(measuring, "MOST", 10)
        webhooks = [builders.a_webhook() for _ in range(3)]
        for webhook in webhooks:
            builders.a_backlog(webhook, 100, due_at=builders.NOW - 2 * MINUTES)
            builders.a_backlog(webhook, 100, due_at=builders.NOW + MINUTES)
            builders.a_backlog(webhook, 100, status=Delivery.Status.HELD)
        with CaptureQueriesContext(connection) as queries:
            measures = measure()
        assert (measures.due, measures.scheduled, measures.held["none"]) == (10, 10, 10)
        asked = [query["sql"] for query in queries if "deliveries_delivery" in query["sql"]]

        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            for sql in asked:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
                (answer,) = cursor.fetchone()
                plans = [
                    plan
                    for plan in every(answer[0]["Plan"])
                    if plan.get("Relation Name") == "deliveries_delivery"
                ]
                described = json.dumps(answer, indent=1)
                for plan in plans:
                    # What is under way is never much: it is bounded by the slots of the workers.
                    is_small = plan["Index Name"] == "deliveries_leased"
                    # An index of (webhook, due_at) that is asked for due_at alone is read from end to end.
                    assert is_small or "webhook_id =" in plan["Index Cond"], described
                read = sum(plan["Actual Rows"] * plan["Actual Loops"] for plan in plans)
                assert read <= 2 * measuring.MOST + len(webhooks), described

    @pytest.mark.postgresql
    def test_reads_the_queue_by_its_indexes(self) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 50, due_at=builders.NOW - MINUTES)
        with CaptureQueriesContext(connection) as queries:
            measure()
        asked = [query["sql"] for query in queries if "deliveries_delivery" in query["sql"]]

        with connection.cursor() as cursor:
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            for sql in asked:
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(row[0] for row in cursor.fetchall())
                assert "Seq Scan on deliveries_delivery" not in plan, plan
                assert re.search("deliveries_(queue|leased|held_in_order)", plan), plan


def every(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return a plan and those below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from every(below)


@pytest.mark.django_db
class TestInbox:
    def test_tells_failures_by_who_deals_with_them(self) -> None:
        webhook = builders.a_webhook()
        for state in ("open", "snoozed", "resolved"):
            for _ in range(2):
                delivery = builders.a_failed_delivery(webhook)
                Failure.objects.filter(delivery=delivery).update(reason=state)
            delivery.failure.refresh_from_db()
            builders.a_failure_group(delivery, state=state, snoozed_until=builders.NOW + MINUTES)
        # Somebody else's of the same reason, which is in no group.
        Failure.objects.filter(delivery=builders.a_failed_delivery()).update(reason="open")

        inbox = measuring.inbox(measure().failures, now=builders.NOW)
        later = measuring.inbox(measure().failures, now=builders.NOW + 2 * MINUTES)

        assert (inbox.open, inbox.snoozed, inbox.settled) == (2, 2, 3)
        assert (later.open, later.snoozed, later.settled) == (4, 0, 3)

    @pytest.mark.postgresql
    def test_is_counted_by_an_index(self) -> None:
        for _ in range(20):
            webhook = builders.a_webhook()
            failed = [builders.a_failed_delivery(webhook) for _ in range(15)]
            builders.a_failure_group(failed[0])
        with CaptureQueriesContext(connection) as queries:
            measuring.inbox(1, now=builders.NOW)

        with connection.cursor() as cursor:
            cursor.execute("ANALYZE deliveries_failure, deliveries_failuregroup")
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            for sql in [query["sql"] for query in queries]:
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(row[0] for row in cursor.fetchall())
                assert "using failures_of_group" in plan, plan

    def test_counts_so_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(measuring, "MOST", 2)
        webhook = builders.a_webhook()
        deliveries = [builders.a_failed_delivery(webhook) for _ in range(3)]
        builders.a_failure_group(deliveries[0])

        inbox = measuring.inbox(measure().failures, now=builders.NOW)

        assert (inbox.open, inbox.settled) == (2, 0)
