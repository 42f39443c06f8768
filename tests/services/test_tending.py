import logging
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from deliveries.models import Delivery, Failure, Pause, WebhookHealth
from deliveries.models.failure import FailureQuerySet
from deliveries.services import auditing, holding, tending, webhooks
from tests import builders

pytestmark = pytest.mark.django_db

Circuit = WebhookHealth.Circuit


def states() -> Counter[str]:
    return Counter(Delivery.objects.values_list("status", flat=True))


class TestSweep:
    def test_makes_what_was_queued_during_a_change_follow(self, now: datetime) -> None:
        webhook, deleted = builders.a_webhook(enabled=False), builders.a_webhook()
        webhooks.delete(deleted, by="a test", now=now)
        stray, late, other = (builders.a_delivery(each) for each in (webhook, deleted, None))
        forgotten = builders.a_delivery(status=Delivery.Status.HELD)

        tending.sweep(now=now)
        tending.tend(now=now)

        for delivery, status in (
            (stray, "held"),
            (late, "cancelled"),
            (other, "pending"),
            (forgotten, "pending"),
        ):
            delivery.refresh_from_db()
            assert delivery.status == status

    def test_holds_and_cancels_batch_by_batch(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(holding, "BATCH", 2)
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 5)

        webhooks.change(webhook, by="a test", now=now, enabled=False)
        assert states() == {"held": 2, "pending": 3}
        assert tending.sweep(now=now)
        assert not tending.sweep(now=now)
        assert states() == {"held": 5}
        webhooks.delete(webhook, by="a test", now=now)
        assert states() == {"cancelled": 2, "held": 3}
        assert builders.claim(now) == []
        assert tending.sweep(now=now)
        assert not tending.sweep(now=now)
        assert states() == {"cancelled": 5}

    @pytest.mark.django_db(transaction=True)
    def test_cancels_deliveries_with_their_failures_or_not_at_all(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = builders.a_webhook()
        webhooks.delete(webhook, by="a test", now=now)
        failure = builders.a_failure(builders.a_delivery(webhook), status=Failure.Status.PENDING)

        with monkeypatch.context() as patch:
            patch.setattr(FailureQuerySet, "mark_cancelled", fail)
            tending.sweep(now=now)
        assert "cancelled" not in states()

        tending.sweep(now=now)
        failure.refresh_from_db()
        assert (states(), failure.status) == ({"cancelled": 1}, "inactive")

    @pytest.mark.parametrize("of", ["webhook", "account"])
    def test_holds_what_is_paused_and_lets_it_go_afterwards(self, of: str, now: datetime) -> None:
        webhook = builders.a_webhook()
        pause = builders.a_pause(webhook.account, webhook=webhook if of == "webhook" else None)
        builders.a_delivery(webhook)
        builders.a_delivery()

        tending.sweep(now=now)
        assert states() == {"held": 1, "pending": 1}
        tending.sweep(now=pause.until - timedelta(seconds=1))
        tending.tend(now=pause.until - timedelta(seconds=1))
        assert states() == {"held": 1, "pending": 1}
        tending.sweep(now=pause.until)
        tending.tend(now=pause.until)
        assert states() == {"pending": 2}

    def test_keeps_back_only_the_paused_event_type(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_pause(webhook.account, event_type="call.ended")
        other = builders.an_event(webhook.account, type="message.sent")
        paused = builders.a_delivery(webhook, status=Delivery.Status.HELD)
        builders.a_delivery(webhook, event=other, status=Delivery.Status.HELD)

        tending.sweep(now=now)
        tending.tend(now=now)

        assert Delivery.objects.get(status=Delivery.Status.HELD) == paused

    def test_holds_what_a_closed_door_left_pending(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        later = now + timedelta(minutes=1)
        WebhookHealth.objects.filter(webhook=webhook).update(
            circuit=Circuit.OPEN, circuit_since=now, next_step_at=later
        )
        builders.a_delivery(webhook)
        claimed = builders.a_delivery(webhook, lease_token=webhook.pk, due_at=later)

        tending.sweep(now=now)

        assert Delivery.objects.get(status=Delivery.Status.PENDING) == claimed


class TestTrouble:
    @pytest.fixture
    def work(self, now: datetime) -> dict[str, Delivery]:
        """Something for each job of a sweep."""
        disabled, deleted = builders.a_webhook(enabled=False), builders.a_webhook()
        webhooks.delete(deleted, by="a test", now=now)
        of_type = builders.a_delivery()
        builders.a_pause(of_type.account, event_type=of_type.event.type)
        return {
            "cancel": builders.a_delivery(deleted),
            "resume": builders.a_delivery(status=Delivery.Status.HELD),
            "hold_types": of_type,
            "hold": builders.a_delivery(disabled),
        }

    @staticmethod
    def done(work: dict[str, Delivery], now: datetime) -> set[str]:
        tending.tend(now=now)
        wanted = {"cancel": "cancelled", "resume": "pending", "hold_types": "held", "hold": "held"}
        for delivery in work.values():
            delivery.refresh_from_db()
        return {job for job, delivery in work.items() if delivery.status == wanted[job]}

    @pytest.mark.parametrize(
        ("job", "act"),
        [
            ("cancel", "holding.cancel"),
            ("resume", "circuits.resume"),
            ("hold_types", "pausing.hold_types"),
            ("hold", "tending.unreachable"),
        ],
    )
    def test_of_one_job_keeps_no_other_from_being_done(
        self,
        work: dict[str, Delivery],
        job: str,
        act: str,
        now: datetime,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(f"deliveries.services.{act}", fail)

        with caplog.at_level(logging.ERROR):
            tending.sweep(now=now)

        assert self.done(work, now) == set(work) - {job}
        (record,) = caplog.records
        assert (vars(record)["event"], record.exc_info is not None) == ("tending.failed", True)

    def test_with_one_webhook_keeps_no_other_where_it_is(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            builders.a_delivery(builders.a_webhook(enabled=False))
        hold, tried = holding.hold, []

        def fail_once(*args: Any, **kwargs: Any) -> int:
            tried.append(args)
            return fail() if len(tried) == 1 else hold(*args, **kwargs)

        monkeypatch.setattr(holding, "hold", fail_once)
        with caplog.at_level(logging.ERROR):
            tending.sweep(now=now)

        assert states() == {"held": 2, "pending": 1}
        assert len(caplog.records) == 1

    def test_with_one_pause_keeps_no_other_and_no_circuit(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken, other = (builders.a_pause(until=now) for _ in range(2))
        webhook = builders.a_webhook()
        WebhookHealth.objects.filter(webhook=webhook).update(
            circuit=Circuit.OPEN, circuit_since=now, next_step_at=now
        )
        note = auditing.note

        def fail_for_one(*args: Any, subject: Any, **kwargs: Any) -> None:
            if subject == broken.pk:
                fail()
            note(*args, subject=subject, **kwargs)

        monkeypatch.setattr(auditing, "note", fail_for_one)
        with caplog.at_level(logging.ERROR):
            tending.tend(now=now)

        broken.refresh_from_db()
        other.refresh_from_db()
        assert (broken.ended_at, other.ended_at) == (None, now)
        assert WebhookHealth.objects.get(webhook=webhook).circuit == Circuit.PROBING
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("act", [tending.tend, tending.sweep])
    def test_with_the_connection_ends_it(
        self, act: Any, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builders.a_pause(until=now)
        for name in ("pausing._expire", "pausing.hold_types"):
            monkeypatch.setattr(f"deliveries.services.{name}", lose_the_database)

        with pytest.raises(OperationalError):
            act(now=now)


class TestTime:
    def test_that_is_up_leaves_the_rest_for_the_next_sweep(self, now: datetime) -> None:
        for _ in range(5):
            builders.a_delivery(builders.a_webhook(enabled=False))

        assert tending.sweep(now=now, go_on=lambda: states()["held"] < 2)
        assert states() == {"held": 2, "pending": 3}

        assert not tending.sweep(now=now)
        assert states() == {"held": 5}

    def test_that_one_job_needs_is_not_always_that_of_the_same(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whichever comes first takes all there is."""
        began: list[list[bool]] = []

        def take_all(*, now: datetime, go_on: Any) -> bool:
            began[-1].append(go_on())
            return False

        monkeypatch.setattr("deliveries.services.pausing.hold_types", take_all)
        for _ in range(200):
            began.append([])
            left = iter([True])
            tending.sweep(now=now, go_on=lambda left=left: next(left, False))  # type: ignore[misc]

        assert {tuple(each) for each in began} == {(True,), (False,)}

    def test_that_is_up_leaves_the_rest_for_the_next_look(self, now: datetime) -> None:
        for _ in range(5):
            builders.a_pause(until=now)
        asked = iter([True, True, False])

        tending.tend(now=now, budget=lambda: lambda: next(asked, False))
        assert Pause.objects.run_out(now).count() == 3


def fail(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("Broken.")


def lose_the_database(*args: Any, **kwargs: Any) -> Any:
    raise OperationalError("server closed the connection unexpectedly")
