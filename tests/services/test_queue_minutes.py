"""The queue once a minute."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from deliveries import tasks
from deliveries.models import QueueMinute, TrafficMinute
from deliveries.services import measuring, retention
from tests import builders

pytestmark = pytest.mark.django_db


def test_says_how_much_waits_and_for_how_long(now: datetime) -> None:
    webhook = builders.a_webhook()
    builders.a_delivery(webhook, due_at=now - timedelta(seconds=90))
    builders.a_delivery(webhook, due_at=now - timedelta(seconds=5))
    builders.a_delivery(webhook, due_at=now + timedelta(hours=1))
    disabled = builders.a_webhook(enabled=False)
    builders.a_delivery(disabled, status="held")

    measuring.note_minute(now=now)

    minute = QueueMinute.objects.get()
    assert minute.minute == TrafficMinute.of(now)
    assert (minute.due, minute.oldest_due_ms, minute.scheduled, minute.held) == (2, 90_000, 1, 1)


def test_is_written_once_whoever_else_writes_it(now: datetime) -> None:
    measuring.note_minute(now=now)
    builders.a_delivery(due_at=now)
    measuring.note_minute(now=now + timedelta(seconds=1))
    measuring.note_minute(now=now + timedelta(minutes=1))

    assert list(QueueMinute.objects.order_by("minute").values_list("due", flat=True)) == [0, 1]


def test_is_written_every_minute(settings: Any) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["note-queue"]

    tasks.note_queue()

    assert (entry["task"], entry["schedule"]) == (tasks.note_queue.name, 60)
    assert QueueMinute.objects.count() == 1


def test_is_between_the_first_and_the_last() -> None:
    for minute in range(4):
        builders.a_minute_of_the_queue(minute=minute)

    assert {each.minute for each in QueueMinute.objects.between(1, 3)} == {1, 2}


def test_goes_when_its_time_is_over(now: datetime) -> None:
    measuring.note_minute(now=now - timedelta(days=31))
    measuring.note_minute(now=now)
    builders.a_failure_group(last_seen_at=now - timedelta(days=31))
    kept = builders.a_failure_group()

    pruned = retention.prune(before=now - timedelta(days=30))

    assert pruned.minutes == 1
    assert QueueMinute.objects.get().minute == TrafficMinute.of(now)
    assert type(kept).objects.get() == kept
