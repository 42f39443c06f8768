from collections import Counter
from datetime import datetime, timedelta

import pytest

from deliveries.models import Delivery, WebhookHealth
from deliveries.services import holding, tending, webhooks
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
