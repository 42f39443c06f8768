from datetime import datetime, timedelta
from typing import Any

import pytest

from deliveries.models import Account, AuditEntry, Delivery, Failure, Webhook
from deliveries.services import redelivery, webhooks
from deliveries.services.redelivery import Redelivered
from tests import builders

pytestmark = pytest.mark.django_db


class TestRedeliver:
    def test_queues_one_attempt_and_says_so_in_the_failure(self, now: datetime) -> None:
        later = now + timedelta(hours=1)

        delivery = redelivery.redeliver(builders.a_failed_delivery(), by="a test", now=later)

        assert (delivery.status, delivery.due_at, delivery.retries_left) == ("pending", later, 0)
        failure = Failure.objects.get()
        assert (failure.status, failure.reason, failure.reason_code) == ("pending", "", "")
        assert failure.last_attempt_at == failure.updated_at == later
        assert failure.created_at == now

    @pytest.mark.parametrize("status", ["pending", "held", "succeeded", "cancelled"])
    def test_refuses_what_has_not_failed(self, status: str, now: datetime) -> None:
        unfinished = status in Delivery.UNFINISHED
        delivery = (
            builders.a_delivery(status=status) if unfinished else builders.a_failed_delivery(status=status)
        )

        with pytest.raises(redelivery.NotRedeliverable):
            redelivery.redeliver(delivery, by="a test", now=now)

    def test_refuses_the_second_of_two(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()
        redelivery.redeliver(Delivery.objects.get(), by="a test", now=now)

        with pytest.raises(redelivery.NotRedeliverable):
            redelivery.redeliver(delivery, by="a test", now=now)

        assert Delivery.objects.get().round == 2

    def test_refuses_when_the_webhook_is_off_or_gone(self, now: datetime) -> None:
        disabled, deleted = builders.a_failed_delivery(), builders.a_failed_delivery()
        webhooks.disable(disabled.webhook_id, reason="Maintenance.", by="a test", now=now)
        webhooks.delete(deleted.webhook, by="a test", now=now)

        for delivery in (disabled, deleted):
            with pytest.raises(redelivery.NotRedeliverable):
                redelivery.redeliver(delivery, by="a test", now=now)

    def test_rings(
        self, now: datetime, doorbell_rings: list[str], django_capture_on_commit_callbacks: object
    ) -> None:
        delivery = builders.a_failed_delivery()

        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            redelivery.redeliver(delivery, by="a test", now=now)

        assert doorbell_rings == ["ring"]


class TestRedeliverAll:
    def test_takes_what_can_be_sent_and_leaves_the_rest(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redelivery, "BATCH", 2)
        webhook = builders.a_webhook()
        for _ in range(5):
            builders.a_failed_delivery(webhook)
        builders.a_failed_delivery(status=Delivery.Status.SUCCEEDED)
        off = builders.a_failed_delivery()
        Webhook.objects.filter(pk=off.webhook_id).update(enabled=False)

        came_to = redelivery.redeliver_all(Delivery.objects.all(), selected="all", by="a test", now=now)

        assert came_to == Redelivered(queued=5)
        assert Failure.objects.get(delivery=off).status == Failure.Status.INACTIVE
        assert Failure.objects.filter(status=Failure.Status.PENDING).count() == 5

    def test_leaves_one_row_that_says_what_and_whose(
        self, now: datetime, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redelivery, "BATCH", 2)
        monkeypatch.setattr(redelivery, "SAMPLE", 1)
        webhook = builders.a_webhook(account)
        first, *_ = [builders.a_failed_delivery(webhook) for _ in range(5)]

        redelivery.redeliver_all(Delivery.objects.all(), selected="all of it", by="a test", now=now)

        entry = AuditEntry.objects.get(action="deliveries.redelivered")
        assert (entry.account, entry.by, entry.created_at) == (account, "a test", now)
        assert entry.details == {"selected": "all of it", "first": [str(first.pk)], "queued": 5}

    @pytest.mark.parametrize("batch", [1, 2, 500])
    def test_gives_its_row_to_no_account_where_several_are_concerned(
        self, batch: int, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redelivery, "BATCH", batch)
        webhook = builders.a_webhook()
        for target in (webhook, webhook, None, None):
            builders.a_failed_delivery(target)

        redelivery.redeliver_all(Delivery.objects.all(), selected="all", by="a test", now=now)

        entry = AuditEntry.objects.get(action="deliveries.redelivered")
        assert (entry.account, entry.details["queued"]) == (None, 4)

    def test_holds_what_a_pause_keeps_back_and_says_so(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redelivery, "BATCH", 2)
        paused, free = builders.a_webhook(), builders.a_webhook()
        builders.a_pause(paused.account, webhook=paused)
        for target in (paused, free, paused):
            builders.a_failed_delivery(target)

        came_to = redelivery.redeliver_all(Delivery.objects.all(), selected="all", by="a test", now=now)

        assert came_to == Redelivered(queued=3, held=2)
        assert str(came_to) == "Queued 3 deliveries. Held by a pause: 2."
        assert Delivery.objects.filter(webhook=paused, status=Delivery.Status.HELD).count() == 2

    def test_leaves_no_row_of_nothing(self, now: datetime) -> None:
        came_to = redelivery.redeliver_all(Delivery.objects.all(), selected="all", by="a test", now=now)

        assert came_to == Redelivered()
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("interrupted", [1, 2, 3])
    def test_has_noted_what_was_moved_when_it_is_interrupted(
        self, interrupted: int, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redelivery, "BATCH", 2)
        webhook = builders.a_webhook()
        for _ in range(6):
            builders.a_failed_delivery(webhook)
        queue, calls = redelivery.queue, iter(range(1, 10))

        def queue_or_end(*args: Any, **kwargs: Any) -> int:
            moved = queue(*args, **kwargs)
            if next(calls) == interrupted:
                raise KeyboardInterrupt
            return moved

        monkeypatch.setattr(redelivery, "queue", queue_or_end)
        with pytest.raises(KeyboardInterrupt):
            redelivery.redeliver_all(Delivery.objects.all(), selected="all", by="a test", now=now)

        noted = AuditEntry.objects.filter(action="deliveries.redelivered")
        moved = Delivery.objects.filter(status=Delivery.Status.PENDING).count()
        assert moved == 2 * (interrupted - 1)
        assert [entry.details["queued"] for entry in noted] == ([moved] if moved else [])


class TestQueue:
    def test_says_nothing_of_what_a_webhook_disabled_meanwhile_kept_back(self, now: datetime) -> None:
        left, taken = builders.a_failed_delivery(), builders.a_failed_delivery()
        Webhook.objects.filter(pk=left.webhook_id).update(enabled=False)

        assert redelivery.queue({left.pk: now, taken.pk: now}, now=now) == 1

        states = dict(Failure.objects.values_list("delivery", "status"))
        assert states == {left.pk: Failure.Status.INACTIVE, taken.pk: Failure.Status.PENDING}
