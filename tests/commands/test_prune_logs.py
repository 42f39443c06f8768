"""manage.py prune_logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from deliveries.models import Attempt, Delivery, Event, databases
from deliveries.services import retention, webhooks
from tests import builders
from tests.commands.conftest import Run


def delivered(at: datetime) -> Delivery:
    """Return a delivery that was published, sent and delivered at a moment."""
    event = builders.an_event(created_at=at)
    delivery = builders.a_delivery(
        builders.a_webhook(event.account),
        event=event,
        status="succeeded",
        due_at=None,
        scheduled_at=None,
        next_attempt_id=None,
        created_at=at,
        finished_at=at,
    )
    builders.an_attempt(delivery, created_at=at, http_status=200)
    return delivery


def days_ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)


class TestPruneLogs:
    def test_deletes_what_is_past_the_retention(self, run: Run) -> None:
        webhook = delivered(days_ago(31)).webhook
        builders.a_minute_of_traffic(webhook)
        webhooks.toggle(webhook, by="a test", now=days_ago(31))
        kept = delivered(days_ago(29))

        said = run("prune_logs")

        assert said.stdout == (
            "Deleted 1 attempts, 1 deliveries, 1 events, 1 minutes of traffic, 1 revisions, "
            "0 logins, 0 sessions.\n"
        )
        assert list(Delivery.objects.all()) == [kept]
        assert list(Attempt.objects.all()) == list(kept.attempts.all())

    def test_takes_another_age(self, run: Run) -> None:
        delivered(days_ago(3))

        assert run("prune_logs", "--older-than", "4").stdout.startswith("Deleted 0 ")
        assert run("prune_logs", "--older-than", "2").stdout.startswith("Deleted 1 ")

    def test_only_counts_in_a_dry_run(self, run: Run) -> None:
        delivered(days_ago(31))

        said = run("prune_logs", "--dry-run")

        assert said.stdout == (
            "Would delete 1 attempts, 1 deliveries, 1 events, 0 minutes of traffic, 0 revisions, "
            "0 logins, 0 sessions.\n"
        )
        assert Event.objects.count() == Attempt.objects.count() == 1

    @pytest.mark.parametrize(("said", "longest"), [((), 1.0), (("--no-rest",), 0)])
    def test_rests_unless_told_otherwise(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, said: tuple[str, ...], longest: float
    ) -> None:
        prune, rests = retention.prune, []

        def noting(*, longest_rest: float, **options: Any) -> retention.Pruned:
            rests.append(longest_rest)
            return prune(longest_rest=longest_rest, **options)

        monkeypatch.setattr(retention, "prune", noting)

        run("prune_logs", *said)

        assert rests == [longest]

    @pytest.mark.parametrize("status", ["pending", "held"])
    def test_never_deletes_what_is_still_to_be_delivered(self, run: Run, status: str) -> None:
        event = builders.an_event(created_at=days_ago(400))
        waiting = builders.a_delivery(builders.a_webhook(event.account), event=event, status=status)

        run("prune_logs", "--older-than", "1")

        assert Delivery.objects.get() == waiting
        assert Event.objects.get() == event

    def test_fails_when_another_process_is_at_it(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        @contextmanager
        def taken(name: str) -> Iterator[bool]:
            yield False

        monkeypatch.setattr("deliveries.services.retention.exclusively", taken)

        with pytest.raises(CommandError, match="Another process is pruning"):
            run("prune_logs")

    def test_fails_when_somebody_reads_the_attempts(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def in_use(**kwargs: object) -> None:
            raise databases.InUse("Somebody reads the attempts.")

        monkeypatch.setattr("deliveries.services.retention.drop_days", in_use)

        with pytest.raises(CommandError, match="Somebody reads the attempts"):
            run("prune_logs")

    def test_takes_whole_days(self, run: Run) -> None:
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        delivered(midnight - timedelta(days=2, seconds=1))
        kept = delivered(midnight - timedelta(days=2))

        assert run("prune_logs", "--older-than", "2").stdout.startswith("Deleted 1 ")

        assert Delivery.objects.get() == kept

    @pytest.mark.parametrize("age", ["0", "-1", "a week", "", "²", "100000", "9" * 30])
    def test_says_what_an_age_is(self, run: Run, age: str) -> None:
        with pytest.raises(CommandError, match="a whole number of days, from 1 to 99999"):
            run("prune_logs", f"--older-than={age}")
