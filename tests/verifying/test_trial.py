import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.apps import apps
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from deliveries import clock, signing
from deliveries.management.verifying.receiving import Arrival
from deliveries.management.verifying.trial import BY, Trial, remove_left_behind, throw_away_account
from deliveries.models import Account, Attempt, Delivery, Event, Webhook
from deliveries.services import removing
from tests import builders

URL = "https://example.com/verify"
BRIEFLY = timedelta(seconds=1)


class FakeReceiver:
    """Whatever was published has arrived, except for the events at some places."""

    url = URL

    def __init__(self, *losing: int) -> None:
        self.losing = losing
        self.told: set[UUID] = set()

    def news(self) -> Sequence[Arrival]:
        """Return what is new."""
        events = [event.pk for event in Event.objects.order_by("created_at", "pk")]
        new = [pk for place, pk in enumerate(events) if place not in self.losing and pk not in self.told]
        self.told.update(new)
        Delivery.objects.filter(event__in=new).finish(Delivery.Status.SUCCEEDED, now=clock.now())
        return [Arrival(event_id=str(pk), at=clock.now(), verified=True) for pk in new]


def a_trial(account: Account, receiver: FakeReceiver) -> Trial:
    return Trial(account=account, receiver=receiver, stop=threading.Event(), tell=lambda arrived: None)


def rows() -> dict[str, int]:
    """Count what is in each table."""
    return {model._meta.label: model._base_manager.count() for model in apps.get_models()}


def live_through_everything(account: Account) -> None:
    """Have a row of every kind that may come to an account."""
    webhook = Webhook.objects.get(account=account)
    delivery = builders.a_delivery(webhook)
    builders.an_attempt(delivery)
    builders.a_failure(delivery)
    builders.a_pause(account)
    builders.a_recovery(account)
    builders.a_minute_of_traffic(webhook)
    builders.a_key(account)
    builders.an_agent(account)


@pytest.mark.django_db(transaction=True)
class TestThrowAwayAccount:
    @pytest.mark.parametrize("ends", ["well", "badly"])
    def test_leaves_nothing_behind(self, ends: str) -> None:
        builders.an_attempt(builders.a_delivery())
        before = rows()

        try:
            with throw_away_account(url=URL, secret=signing.new_secret()) as account:
                live_through_everything(account)
                assert rows() != before
                if ends == "badly":
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass

        assert rows() == before

    def test_fails_once_when_the_database_goes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(wrapper: BaseDatabaseWrapper) -> None:
            raise OperationalError("still away")

        def go() -> None:
            connection.close()
            monkeypatch.setattr(BaseDatabaseWrapper, "connect", refuse)
            raise OperationalError("gone")

        with (
            pytest.raises(OperationalError, match="gone"),
            throw_away_account(url=URL, secret=signing.new_secret()),
        ):
            go()

        monkeypatch.undo()
        assert Account.objects.filter(name=BY).exists()

    @pytest.mark.postgresql
    def test_leaves_nothing_behind_when_only_the_connection_was_lost(self) -> None:
        before = rows()

        with (
            pytest.raises(OperationalError),
            throw_away_account(url=URL, secret=signing.new_secret()),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        assert rows() == before

    def test_leaves_nothing_behind_when_its_webhook_is_refused(self) -> None:
        before = rows()

        with (
            pytest.raises(ValueError, match="url"),
            throw_away_account(url="http://10.0.0.1/", secret=signing.new_secret()),
        ):
            pass

        assert rows() == before


@pytest.mark.django_db
class TestTrial:
    def test_counts_what_it_published_and_what_arrived(self) -> None:
        with throw_away_account(url=URL, secret=signing.new_secret()) as account:
            trial = a_trial(account, FakeReceiver())
            trial.publish(10, rate=1000, halfway=lambda: None)
            trial.follow(patience=BRIEFLY)
            outcome = trial.outcome(wanted=10, killed=None)

        assert (outcome.published, outcome.arrived, outcome.lost, outcome.good) == (10, 10, 0, True)

    def test_misses_what_does_not_arrive(self) -> None:
        with throw_away_account(url=URL, secret=signing.new_secret()) as account:
            trial = a_trial(account, FakeReceiver(3))
            trial.publish(10, rate=1000, halfway=lambda: None)
            trial.follow(patience=BRIEFLY)
            outcome = trial.outcome(wanted=10, killed=None)

        assert (outcome.published, outcome.arrived, outcome.lost, outcome.good) == (10, 9, 1, False)

    def test_keeps_to_its_pace(self) -> None:
        begun = clock.now()
        with throw_away_account(url=URL, secret=signing.new_secret()) as account:
            a_trial(account, FakeReceiver()).publish(11, rate=20, halfway=lambda: None)

        assert clock.now() - begun >= timedelta(seconds=0.5)

    def test_says_when_it_is_half_way(self) -> None:
        at: list[int] = []
        with throw_away_account(url=URL, secret=signing.new_secret()) as account:
            trial = a_trial(account, FakeReceiver())
            trial.publish(10, rate=1000, halfway=lambda: at.append(len(trial.published)))

        assert at == [5]

    def test_stops_when_it_is_told_to(self) -> None:
        with throw_away_account(url=URL, secret=signing.new_secret()) as account:
            trial = a_trial(account, FakeReceiver())
            trial.publish(10, rate=1000, halfway=trial.stop.set)
            trial.follow(patience=timedelta(hours=1))

        assert len(trial.published) == 6


@pytest.mark.django_db
class TestRemove:
    def test_tells_whether_there_was_one(self, account: Account) -> None:
        assert removing.remove(account.pk)
        assert not removing.remove(account.pk)

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_leaves_no_attempt_that_a_worker_records_meanwhile(self, account: Account) -> None:
        delivery = builders.a_failed_delivery(builders.a_webhook(account))
        recorded = threading.Event()

        def record() -> None:
            with transaction.atomic():
                Delivery.objects.select_for_update().get(pk=delivery.pk)
                builders.an_attempt(delivery, number=2)
                recorded.set()
                time.sleep(0.5)
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            recording = pool.submit(record)
            assert recorded.wait(10)
            assert removing.remove(account.pk)
            recording.result()

        assert not Attempt.objects.exists()


@pytest.mark.django_db
class TestLeftBehind:
    def test_is_removed_by_a_later_run(self) -> None:
        before = rows()
        long_ago = clock.now() - timedelta(hours=30)
        account = builders.an_account(name=BY, created_at=long_ago)
        builders.a_webhook(account)
        live_through_everything(account)
        Event.objects.update(created_at=long_ago)

        assert remove_left_behind() == 1

        assert rows() == before

    @pytest.mark.parametrize("other", ["still follows", "has just begun", "is somebody else's"])
    def test_is_not_what_is_in_use(self, other: str) -> None:
        with throw_away_account(url=URL, secret=signing.new_secret()) as account:
            if other != "has just begun":
                Account.objects.update(created_at=clock.now() - timedelta(hours=30))
            if other == "still follows":
                # Whoever says --patience 99999 waits for that long.
                builders.an_event(account, created_at=clock.now() - timedelta(seconds=99_999))
            if other == "is somebody else's":
                Account.objects.update(name="Verify")

            assert remove_left_behind() == 0
