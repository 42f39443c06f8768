"""The service at a glance."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import TrafficMinute, Webhook, WebhookHealth
from deliveries.models.health import Tally
from deliveries.services import following, glancing, grouping, webhooks
from tests import builders

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def traffic(ago: timedelta, *, now: datetime, **counts: int) -> None:
    row: dict[str, Any] = {"succeeded": 0, "upto_250": 0, "duration_ms": 0, **counts}
    builders.a_minute_of_traffic(minute=TrafficMinute.of(now - ago), **row)


class TestHour:
    def test_is_counted_over_all_accounts(self, now: datetime) -> None:
        traffic(0 * MINUTE, now=now, succeeded=3, upto_10=3)
        traffic(30 * MINUTE, now=now, succeeded=1, failed=4, unavailable=3, upto_10=5)
        traffic(60 * MINUTE, now=now, succeeded=100, upto_10=100)

        glance = glancing.glance(now=now)

        assert glance.hour.sums["succeeded"] == 4
        assert glance.hour.success_ratio == 0.5
        assert glance.hour.percentile_ms(0.95) == 10
        assert len(glance.minutes) == 60
        assert glance.minutes[-1].start == now
        assert (glance.minutes[-1].succeeded, glance.minutes[-1].refused) == (3, 0)
        then = glance.minutes[-31]
        assert (then.succeeded, then.refused, then.unavailable) == (1, 1, 3)
        assert (glance.minutes[-1].p50_ms, glance.minutes[-1].p95_ms) == (8, 10)
        assert (glance.minutes[-2].p50_ms, glance.minutes[-2].p95_ms) == (None, None)

    def test_knows_how_the_queue_was(self, now: datetime) -> None:
        minute = TrafficMinute.of(now - 2 * MINUTE)
        builders.a_minute_of_the_queue(minute=minute, due=7, oldest_due_ms=90_000)
        builders.a_minute_of_the_queue(minute=TrafficMinute.of(now - 59 * MINUTE), due=3)

        minutes = glancing.glance(now=now).minutes

        assert minutes[0].due == 3
        assert (minutes[-3].due, minutes[-3].oldest_due) == (7, timedelta(seconds=90))
        assert (minutes[-2].due, minutes[-2].oldest_due) == (None, None)


class TestOldestDue:
    def test_is_told_also_where_it_waits_for_its_own_receiver(self, now: datetime) -> None:
        webhook = builders.a_webhook(max_in_flight=1)
        builders.a_backlog(webhook, 1, due_at=now + MINUTE, lease_token=webhook.pk)
        builders.a_backlog(webhook, 3, due_at=now - 3 * MINUTE)

        glance = glancing.glance(now=now)

        assert (glance.measures.oldest_waiting_at, glance.waits_for_receiver) == (now - 3 * MINUTE, True)
        assert glance.measures.oldest_due_at is None
        assert (glance.drain, glance.moving) == (None, True)

    def test_waits_for_a_worker_where_its_receiver_has_room(self, now: datetime) -> None:
        builders.a_delivery(due_at=now - MINUTE)

        glance = glancing.glance(now=now)

        assert (glance.measures.oldest_waiting_at, glance.waits_for_receiver) == (now - MINUTE, False)

    def test_is_not_there_where_nothing_is_due(self, now: datetime) -> None:
        builders.a_delivery(due_at=now + MINUTE)

        glance = glancing.glance(now=now)

        assert (glance.measures.oldest_waiting_at, glance.waits_for_receiver) == (None, False)


class TestDrain:
    def test_is_what_is_due_at_the_pace_of_the_last_minutes(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(), 20, due_at=now - MINUTE)
        traffic(0 * MINUTE, now=now, succeeded=5)
        traffic(1 * MINUTE, now=now, succeeded=15)
        traffic(5 * MINUTE, now=now, failed=35)
        traffic(6 * MINUTE, now=now, succeeded=1000)

        # 55 in five minutes and a half.
        assert glancing.glance(now=now + MINUTE / 2).drain == 2 * MINUTE

    def test_is_told_as_soon_as_anything_has_ended(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(), 20, due_at=now - MINUTE)
        traffic(0 * MINUTE, now=now, succeeded=10)

        glance = glancing.glance(now=now + MINUTE / 2)

        assert (glance.drain, glance.moving) == (MINUTE, True)

    def test_is_unknown_where_nothing_moves_or_nothing_is_due(self, now: datetime) -> None:
        traffic(1 * MINUTE, now=now, succeeded=15)
        assert glancing.glance(now=now).drain is None
        TrafficMinute.objects.all().delete()
        builders.a_delivery(due_at=now - MINUTE)
        glance = glancing.glance(now=now)
        assert (glance.drain, glance.moving) == (None, False)


class TestTrouble:
    def test_is_a_row_of_failures_the_longest_first(self, now: datetime) -> None:
        well, new, old, disabled = (builders.a_webhook(name=name) for name in ("a", "b", "c", "d"))
        for webhook, hours in ((new, 1), (old, 2), (disabled, 3)):
            WebhookHealth.objects.filter(pk=webhook.pk).update(failing_since=now - timedelta(hours=hours))
        type(disabled).objects.filter(pk=disabled.pk).update(enabled=False)

        glance = glancing.glance(now=now)

        assert [health.webhook for health in glance.troubled] == [old, new]
        assert glance.in_trouble == 2
        assert well not in [health.webhook for health in glance.troubled]
        assert glancing.disabled_at(glance.troubled[0]) == now - timedelta(hours=2) + timedelta(days=5)

    def test_is_counted_also_where_it_is_not_listed(self, now: datetime) -> None:
        for hours in range(7):
            health = builders.a_webhook().health
            WebhookHealth.objects.filter(pk=health.pk).update(failing_since=now - timedelta(hours=hours))

        glance = glancing.glance(now=now)

        assert (len(glance.troubled), glance.in_trouble) == (5, 7)


class TestPeople:
    def test_have_groups_of_failures_to_look_at(self, now: datetime) -> None:
        builders.a_failure_group()
        grouping.resolve(builders.a_failure_group(), by="ada", now=now)

        assert glancing.glance(now=now).groups == 1

    def test_did_what_is_listed_the_newest_first(self, now: datetime) -> None:
        entries = [builders.an_audit_entry() for _ in range(7)]

        assert list(glancing.glance(now=now).acts) == entries[:1:-1]


class TestDisabledThemselves:
    @pytest.fixture
    def gone(self, now: datetime) -> Webhook:
        """One whose receiver answered 410, a moment after another began to fail."""
        failing, gone = builders.a_webhook(name="failing"), builders.a_webhook(name="gone")
        WebhookHealth.objects.filter(pk=failing.pk).update(failing_since=now - timedelta(hours=9))
        news = following.Inbox()
        health = WebhookHealth.objects.get(pk=gone.pk)
        news.add([following.News(health=health, tally=Tally(failed=1), gone={gone.url})])
        news.follow(now=now, jitter=random.Random(1))
        gone.refresh_from_db()
        return gone

    def test_are_in_trouble_before_those_that_fail(self, now: datetime, gone: Webhook) -> None:
        glance = glancing.glance(now=now)

        assert [health.webhook.name for health in glance.troubled] == ["gone", "failing"]
        assert glance.in_trouble == 2
        assert glancing.disabled_at(glance.troubled[0]) == now
        assert (glance.disabled.count, glance.disabled.first_at, glance.disabled.last_at) == (1, now, now)

    def test_are_told_of_for_a_week(self, now: datetime, gone: Webhook) -> None:
        assert glancing.glance(now=now + timedelta(days=6)).disabled.count == 1
        later = glancing.glance(now=now + timedelta(days=7))
        assert (later.disabled.count, later.in_trouble) == (0, 1)

    def test_are_not_told_of_when_somebody_has_enabled_or_deleted_them(
        self, now: datetime, gone: Webhook
    ) -> None:
        webhooks.change(gone, by="ada", now=now, enabled=True)
        assert glancing.glance(now=now).disabled.count == 0
        webhooks.disable(gone.pk, reason="Not yet.", by="ada", now=now)
        assert glancing.glance(now=now).disabled.count == 0

        Webhook.objects.filter(pk=gone.pk).update(disabled_itself_at=now)
        assert glancing.glance(now=now).disabled.count == 1
        webhooks.delete(gone, by="ada", now=now)
        assert glancing.glance(now=now).in_trouble == 1

    def test_are_no_others_when_a_person_edits_them(self, now: datetime, gone: Webhook) -> None:
        webhooks.change(gone, by="ada", now=now + MINUTE, name="CRM", enabled=False)

        assert glancing.glance(now=now).disabled.first_at == now


def test_takes_as_many_queries_whatever_there_is(now: datetime) -> None:
    with CaptureQueriesContext(connection) as of_nothing:
        glancing.glance(now=now)
    for number in range(5):
        delivery = builders.a_failed_delivery()
        builders.a_failure_group(delivery)
        traffic(number * MINUTE, now=now, succeeded=1)
        builders.a_worker(pid=number)
    with CaptureQueriesContext(connection) as of_much:
        glancing.glance(now=now)

    assert len(of_much) == len(of_nothing)
