"""How webhooks do, some at once."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Attempt, TrafficMinute, Webhook, WebhookHealth
from deliveries.services import reviewing
from deliveries.services.reviewing import Review, State
from tests import builders

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def review(webhook: Webhook, *, now: datetime) -> Review:
    again = Webhook.objects.select_related("health").get(pk=webhook.pk)
    return reviewing.review([again], now=now)[webhook.pk]


def health(webhook: Webhook, **changes: Any) -> None:
    WebhookHealth.objects.filter(pk=webhook.pk).update(**changes)


def traffic(webhook: Webhook, at: datetime, **counts: int) -> None:
    row: dict[str, Any] = {"succeeded": 0, "upto_250": 0, **counts}
    builders.a_minute_of_traffic(webhook, minute=TrafficMinute.of(at), **row)


class TestState:
    def test_is_active_where_nothing_is_the_matter(self, now: datetime) -> None:
        found = review(builders.a_webhook(), now=now)

        assert (found.state, found.why) == (State.ACTIVE, "")

    def test_is_the_worst_that_holds(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        health(webhook, failing_since=now - HOUR, consecutive_failures=1234)
        found = review(webhook, now=now)
        assert (found.state, found.why) == (
            State.FAILING,
            "1,234 failures in a row, since 2026-03-15 09:00:00 UTC.",
        )

        health(webhook, circuit="open", circuit_since=now, next_step_at=now + HOUR)
        found = review(webhook, now=now)
        assert found.state == State.OPEN
        assert found.brief == "Too many failed"
        assert found.why == (
            "Too many failed. Since 2026-03-15 10:00:00 UTC; next step at 2026-03-15 11:00:00 UTC."
        )

        builders.a_pause(webhook.account, webhook=webhook, until=now + HOUR)
        found = review(webhook, now=now)
        assert (found.state, found.why) == (
            State.PAUSED,
            "Until 2026-03-15 11:00:00 UTC, by ada: The receiver is being moved.",
        )

        Webhook.objects.filter(pk=webhook.pk).update(enabled=False, disabled_reason="Moved.")
        found = review(webhook, now=now)
        assert (found.state, found.why) == (State.DISABLED, "Moved.")

        Webhook.objects.filter(pk=webhook.pk).update(deleted_at=now)
        assert review(webhook, now=now).state == State.DELETED

    def test_is_out_of_order_because_of_the_last_error(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.an_attempt(builders.a_delivery(webhook), http_status=503)
        health(webhook, circuit="open", circuit_since=now, next_step_at=now, unavailable_in_a_row=12)

        found = review(webhook, now=now)
        assert (found.state, found.brief) == (State.OPEN, "12 in a row: HTTP 503")
        assert found.why.startswith("12 in a row: HTTP 503. Since ")

        health(webhook, circuit="probing", unavailable_in_a_row=0)
        assert review(webhook, now=now).brief == "Enabled again, and tried first"
        health(webhook, openings=2)
        assert review(webhook, now=now).brief == "Too many failed: HTTP 503"
        health(webhook, circuit="recovering", unavailable_in_a_row=0)
        assert review(webhook, now=now).brief == "What was held is let go"

    def test_is_paused_by_what_keeps_back_all_of_it(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_pause(webhook.account, event_type="call.ended")
        assert review(webhook, now=now).state == State.ACTIVE
        builders.a_pause()
        assert review(webhook, now=now).state == State.ACTIVE
        builders.a_pause(webhook.account)
        assert review(webhook, now=now).state == State.PAUSED

    def test_is_paused_by_no_pause_of_another(self, now: datetime) -> None:
        paused, stranger = builders.a_webhook(name="Paused"), builders.a_webhook(name="Stranger")
        builders.a_webhook(paused.account, name="Beside")
        builders.a_pause(paused.account, webhook=paused)
        builders.a_pause(stranger.account, webhook=builders.a_webhook(stranger.account, name="Its other"))
        whole = builders.a_webhook(name="Whole")
        builders.a_pause(whole.account)
        webhooks = list(Webhook.objects.select_related("health"))

        found = reviewing.review(webhooks, now=now)

        states = {webhook.name: found[webhook.pk].state for webhook in webhooks}
        assert {name for name, state in states.items() if state == State.PAUSED} == {
            "Paused",
            "Its other",
            "Whole",
        }

    def test_is_paused_until_the_last_pause_is_over(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_pause(webhook.account, until=now + 3 * HOUR)
        builders.a_pause(webhook.account, webhook=webhook, until=now + HOUR)

        assert review(webhook, now=now).why.startswith("Until 2026-03-15 13:00:00 UTC")


class TestDay:
    def test_is_cut_into_quarters_of_an_hour(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        traffic(webhook, now, succeeded=3)
        traffic(webhook, now - timedelta(minutes=1), failed=1)
        traffic(webhook, now - timedelta(minutes=2), succeeded=1, failed=1)
        traffic(webhook, now - timedelta(hours=23), succeeded=2)
        traffic(webhook, now - timedelta(hours=25), succeeded=100)
        traffic(builders.a_webhook(), now, failed=100)

        found = review(webhook, now=now)

        assert len(found.strip) == 96
        assert (found.strip[-1].start, found.strip[-1].succeeded, found.strip[-1].failed) == (now, 3, 0)
        assert (found.strip[-2].succeeded, found.strip[-2].failed) == (1, 2)
        assert (found.attempts, found.succeeded, found.success_ratio) == (8, 6, 0.75)

    def test_without_attempts_has_no_ratio(self, now: datetime) -> None:
        assert review(builders.a_webhook(), now=now).success_ratio is None

    def test_knows_how_long_the_last_hour_s_took(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        traffic(webhook, now, succeeded=100, upto_10=100)
        traffic(webhook, now - timedelta(minutes=59), failed=1, upto_10=1)
        traffic(webhook, now - HOUR, succeeded=100, over_30000=100)
        traffic(webhook, now + timedelta(minutes=1), succeeded=100, over_30000=100)

        hour = review(webhook, now=now).hour

        assert (hour.attempts, hour.percentile_ms(0.95)) == (101, 10)


class TestQueue:
    def test_is_what_is_due(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook, due_at=now - HOUR)
        builders.a_delivery(webhook, due_at=now)
        builders.a_delivery(webhook, due_at=now + HOUR)
        builders.a_delivery(webhook, status="held", due_at=now - 2 * HOUR)
        builders.a_delivery(due_at=now - 2 * HOUR)

        found = review(webhook, now=now)

        assert (found.due, found.oldest_due_at) == (2, now - HOUR)

    def test_is_apart_from_what_is_held(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook, status="held", due_at=now - HOUR)
        builders.a_delivery(webhook, status="held", due_at=now + HOUR)
        builders.a_delivery(status="held", due_at=now - 2 * HOUR)

        found = review(webhook, now=now)

        assert (found.held, found.oldest_held_at) == (2, now - HOUR)
        assert (found.due, found.oldest_due_at) == (0, None)

    def test_is_held_and_not_yet_due(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook, status="held", due_at=now + HOUR)

        found = review(webhook, now=now)

        assert (found.held, found.oldest_held_at) == (1, None)

    def test_is_counted_so_far(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reviewing, "MOST", 2)
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 5, due_at=now)
        builders.a_backlog(webhook, 5, due_at=now, status="held")

        found = review(webhook, now=now)

        assert (found.due, found.held) == (2, 2)

    def test_names_the_last_error_before_anything_is_given_up(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        for minutes, status in ((3, 200), (2, 500), (1, 503), (0, 200)):
            at = now - timedelta(minutes=minutes)
            builders.an_attempt(
                builders.a_delivery(webhook), http_status=status, created_at=at, started_at=at
            )

        assert review(webhook, now=now).last_error == "HTTP 503"

    def test_looks_for_the_last_error_only_so_far(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reviewing, "_LATEST", 2)
        webhook = builders.a_webhook()
        for minutes, status in ((2, 503), (1, 200), (0, 200)):
            at = now - timedelta(minutes=minutes)
            builders.an_attempt(
                builders.a_delivery(webhook), http_status=status, created_at=at, started_at=at
            )

        assert review(webhook, now=now).last_error == ""

    @pytest.mark.postgresql
    def test_reads_the_day_of_each_webhook_and_no_other(self, now: datetime) -> None:
        webhooks = [builders.a_webhook() for _ in range(30)]
        for webhook in webhooks:
            traffic(webhook, now, succeeded=1)
        columns = ", ".join(
            column
            for field in TrafficMinute._meta.concrete_fields
            if (column := str(field.column)) not in ("id", "minute")
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO deliveries_trafficminute (minute, {columns})"
                f" SELECT minute - ago, {columns}"
                " FROM deliveries_trafficminute, generate_series(1, 2000) AS ago ORDER BY ago"
            )
            cursor.execute("ANALYZE deliveries_trafficminute")
        with CaptureQueriesContext(connection) as queries:
            reviewing.review(list(Webhook.objects.select_related("health")[:3]), now=now)
        (asked,) = [query["sql"] for query in queries if '"slot"' in query["sql"]]

        with connection.cursor() as cursor:
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {asked}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        # That it is to be fewer by far is why it sorts none of them.
        expected = [int(number) for number in re.findall(r" rows=(\d+)", plan)]
        assert plan.startswith("HashAggregate"), plan
        assert expected[0] * 5 < expected[1], plan
        assert re.search(r"traffic_of_webhook.*\n +Index Cond: .*webhook_id = .*minute >= ", plan), plan

    @pytest.mark.postgresql
    def test_looks_for_the_last_error_by_an_index(self, now: datetime) -> None:
        webhooks = [builders.a_webhook() for _ in range(3)]
        for webhook in webhooks:
            builders.an_attempt(builders.a_delivery(webhook), http_status=503)
        with CaptureQueriesContext(connection) as queries:
            reviewing.review(list(Webhook.objects.select_related("health")), now=now)
        (asked,) = [query["sql"] for query in queries if "deliveries_attempt" in query["sql"]]

        with connection.cursor() as cursor:
            # So few rows are quicker read one and all; with millions it is the index.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {asked}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "Seq Scan on deliveries_attempt" not in plan, plan
        assert re.search(
            r"Index Scan Backward using \S*webhook_id_created_at_id\S*|attempts_of_webhook", plan
        ), plan

    def test_names_why_it_gave_up_where_no_attempt_is_kept(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        for hours, reason in ((2, "HTTP 500"), (1, "HTTP 503")):
            delivery = builders.a_failed_delivery(webhook)
            Attempt.objects.all().delete()
            builders.a_failure_group(delivery, reason=reason, last_seen_at=now - hours * HOUR)

        assert review(webhook, now=now).last_error == "HTTP 503"
        assert review(builders.a_webhook(), now=now).last_error == ""


def test_takes_as_many_queries_for_many_as_for_one(now: datetime) -> None:
    for _ in range(5):
        webhook = builders.a_webhook()
        traffic(webhook, now, succeeded=1)
        builders.a_pause(webhook.account)
    webhooks = list(Webhook.objects.select_related("health"))
    with CaptureQueriesContext(connection) as of_one:
        reviewing.review(webhooks[:1], now=now)
    with CaptureQueriesContext(connection) as of_many:
        reviewing.review(webhooks, now=now)

    assert len(of_many) == len(of_one)
