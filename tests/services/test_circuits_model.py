"""Circuits against whatever may happen: a receiver that comes and goes, pauses, people, and time."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from deliveries.models import Attempt, Delivery, Pause, Webhook, WebhookHealth
from deliveries.reasons import Reason
from deliveries.services import circuits, composing, publishing, tending, webhooks
from deliveries.services.recording import Result
from deliveries.transport import Reply, TransportError
from tests import builders
from tests.services.fakes import a_reply, record_and_follow

pytestmark = pytest.mark.django_db

STEPS = 80
REFUSED = TransportError(Reason.CONNECTION_REFUSED)
UNFINISHED = ("pending", "held")


class _World:
    """One webhook with a receiver that is up, down, or takes some."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = builders.NOW
        self.webhook = builders.a_webhook(max_retries=2, timeout=5)
        self.up = 1.0
        self.said_due: dict[Any, datetime] = {}

    def publish(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            publishing.publish(
                account=self.webhook.account, event_type="call.ended", payload={}, now=self.now
            )

    def publish_late(self) -> None:
        """Store what a publisher made of the state a moment ago, whatever it is by now."""
        status = self.chance.choice(UNFINISHED)
        builders.a_delivery(self.webhook, status=status, due_at=self.now, retries_left=2)

    def deliver(self) -> None:
        """Claim and record, as a worker does; nothing is sent before its time."""
        for delivery in builders.claim(self.now):
            assert self.said_due.get(delivery.pk, self.now) <= self.now
            is_up = self.chance.random() < self.up
            outcome: Reply | TransportError = (
                a_reply(self.chance.choice([200, 200, 404])) if is_up else REFUSED
            )
            result = Result(
                delivery=delivery,
                request=composing.compose(delivery, at=self.now),
                started_at=self.now,
                duration=timedelta(0),
                outcome=outcome,
            )
            record_and_follow([result], now=self.now, jitter=self.chance)
            after = Delivery.objects.get(pk=delivery.pk)
            if after.due_at is not None:
                self.said_due[delivery.pk] = after.due_at

    def tend(self) -> None:
        tending.tend(now=self.now)

    def sweep(self) -> None:
        tending.sweep(now=self.now)

    def turn(self) -> None:
        self.up = self.chance.choice([0.0, 0.0, 0.5, 1.0])

    def toggle(self) -> None:
        webhooks.toggle(self.webhook, by="a test", now=self.now)

    def move(self) -> None:
        if Webhook.objects.get().enabled:
            url = f"https://example.com/{self.chance.random()}"
            webhooks.change(self.webhook, by="a test", now=self.now, url=url)

    def pause(self) -> None:
        subjects: list[dict[str, Any]] = [{"webhook": self.webhook}, {"event_type": "call.ended"}, {}]
        of = self.chance.choice(subjects)
        until = self.now + timedelta(seconds=self.chance.randint(1, 300))
        builders.a_pause(self.webhook.account, created_at=self.now, until=until, **of)

    def end_pauses(self) -> None:
        Pause.objects.in_force(self.now).update(ended_at=self.now)
        circuits.resume([self.webhook.pk], now=self.now)

    def wait(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([0.2, 1, 1, 5, 40, 400]))

    def step(self) -> None:
        act = self.chance.choice(
            [
                *[self.publish] * 3, *[self.publish_late] * 3, *[self.deliver] * 12,
                *[self.tend] * 12, *[self.wait] * 10,
                *[self.turn] * 2, self.sweep, self.toggle, self.move, self.pause, self.end_pauses,
            ]
        )  # fmt: skip
        act()

    def is_free(self) -> bool:
        """Whether nothing is a reason to hold."""
        health = WebhookHealth.objects.get()
        return (
            Webhook.objects.get().enabled
            and health.circuit == WebhookHealth.Circuit.CLOSED
            and not Pause.objects.in_force(self.now).exists()
        )


@pytest.mark.parametrize("seed", range(3))
def test_everything_arrives_or_fails_in_the_end(seed: int, settings: Any) -> None:
    settings.WEBHOOKS_RETRY_DELAYS = (timedelta(seconds=5), timedelta(seconds=60))
    world = _World(seed)
    for _ in range(STEPS):
        world.step()
        if world.is_free():
            world.sweep()
            world.tend()
            assert not (Delivery.objects.filter(status="held").exists() and world.is_free())

    world.end_pauses()
    world.up = 1.0
    if not Webhook.objects.get().enabled:
        world.toggle()
    for turn in range(400):
        if not Delivery.objects.filter(status__in=UNFINISHED).exists():
            break
        world.tend()
        if turn % 6 == 0:
            world.sweep()
        world.deliver()
        world.now += timedelta(seconds=5)

    assert not Delivery.objects.filter(status__in=UNFINISHED).exists()
    # Whatever was held, each had the attempts it was due, and none more.
    for delivery in Delivery.objects.all():
        made = Attempt.objects.filter(delivery=delivery).count()
        assert made == delivery.attempts_made <= 3
        assert delivery.status == "succeeded" or made == 3
