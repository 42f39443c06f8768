import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries import circuits as policy
from deliveries.models import AuditEntry, Delivery, Pause, TrafficMinute, Webhook, WebhookHealth
from deliveries.models.health import Tally
from deliveries.reasons import Reason
from deliveries.services import (
    circuits,
    composing,
    following,
    holding,
    pausing,
    publishing,
    redelivery,
    tending,
    webhooks,
)
from deliveries.services.following import News
from deliveries.services.recording import Result
from deliveries.transport import Reply, TransportError
from tests import builders
from tests.services.fakes import Steady, a_reply, record_and_follow

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
REFUSED = TransportError(Reason.CONNECTION_REFUSED)
BLOCKED = TransportError(Reason.BLOCKED_ADDRESS)
Circuit = WebhookHealth.Circuit

Outcome = Reply | TransportError


def record(deliveries: Sequence[Delivery], outcome: Outcome, *, now: datetime) -> None:
    record_and_follow(
        [
            Result(
                delivery=delivery,
                request=composing.compose(delivery, at=now),
                started_at=now,
                duration=timedelta(milliseconds=142),
                outcome=outcome,
            )
            for delivery in deliveries
        ],
        now=now,
        jitter=Steady(),
    )


def attempt(webhook: Webhook, outcome: Outcome, *, now: datetime, times: int = 1) -> None:
    """Make so many attempts of new deliveries, one after the other."""
    for _ in range(times):
        delivery = builders.a_delivery(webhook, due_at=now)
        record([each for each in builders.claim(now) if each.pk == delivery.pk], outcome, now=now)


def health_of(webhook: Webhook) -> WebhookHealth:
    return WebhookHealth.objects.get(pk=webhook.pk)


def circuit_of(webhook: Webhook) -> str:
    return health_of(webhook).circuit


def states(webhook: Webhook) -> Counter[str]:
    return Counter(webhook.deliveries.values_list("status", flat=True))


def an_open_circuit(webhook: Webhook, *, now: datetime, backlog: int = 0) -> datetime:
    """Fail often enough with a queue behind, and return when the circuit is looked at again."""
    attempt(webhook, REFUSED, now=now, times=10)
    builders.a_backlog(webhook, backlog, status=Delivery.Status.HELD, due_at=now + SECOND)
    health = health_of(webhook)
    assert health.circuit == Circuit.OPEN
    assert health.next_step_at is not None
    return health.next_step_at


def the_probe(webhook: Webhook, *, now: datetime) -> list[Delivery]:
    """Take the step and claim what it let go."""
    tending.tend(now=now)
    return [each for each in builders.claim(now) if each.webhook_id == webhook.pk]


class TestOpening:
    def test_holds_the_queue_after_ten_failures_in_a_row(
        self,
        now: datetime,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        webhook = builders.a_webhook()
        attempt(webhook, REFUSED, now=now, times=9)
        builders.a_backlog(webhook, 20, due_at=now + SECOND)
        assert circuit_of(webhook) == Circuit.CLOSED

        with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
            attempt(webhook, REFUSED, now=now)

        health = health_of(webhook)
        assert (health.circuit, health.circuit_since, health.openings) == (Circuit.OPEN, now, 1)
        assert health.next_step_at == now + 30 * SECOND
        assert states(webhook) == {"held": 30}
        (line,) = [record for record in caplog.records if getattr(record, "event", "") == "circuit.opened"]
        assert (line.__dict__["webhook_id"], line.__dict__["unavailable_in_a_row"]) == (webhook.pk, 10)

    def test_costs_no_attempt_of_what_it_holds(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        waiting = builders.a_delivery(webhook, due_at=now + SECOND, retries_left=2)

        an_open_circuit(webhook, now=now)

        waiting.refresh_from_db()
        assert (waiting.status, waiting.due_at, waiting.retries_left) == ("held", now + SECOND, 2)
        assert (waiting.attempts_made, waiting.claims) == (0, 0)

    @pytest.mark.parametrize("outcome", [a_reply(200), a_reply(404)], ids=["success", "404"])
    def test_needs_a_row_without_any_answer(self, outcome: Reply, now: datetime) -> None:
        webhook = builders.a_webhook()
        attempt(webhook, REFUSED, now=now, times=9)
        attempt(webhook, outcome, now=now)
        attempt(webhook, outcome, now=now, times=5)
        attempt(webhook, REFUSED, now=now, times=2)

        assert health_of(webhook).unavailable_in_a_row == 2

    @pytest.mark.parametrize("outcome", [a_reply(404), a_reply(302), BLOCKED], ids=["404", "302", "blocked"])
    def test_does_not_follow_from_a_receiver_that_refuses(self, outcome: Outcome, now: datetime) -> None:
        webhook = builders.a_webhook()

        attempt(webhook, outcome, now=now, times=30)

        assert circuit_of(webhook) == Circuit.CLOSED

    def test_follows_from_most_of_the_last_minutes(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        attempt(webhook, REFUSED, now=now, times=4)
        attempt(webhook, a_reply(), now=now + 60 * SECOND, times=3)
        attempt(webhook, REFUSED, now=now + 120 * SECOND, times=2)
        assert circuit_of(webhook) == Circuit.CLOSED

        attempt(webhook, REFUSED, now=now + 180 * SECOND)

        assert circuit_of(webhook) == Circuit.OPEN

    def test_does_not_follow_from_what_was_before_it_closed_last(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_minute_of_traffic(webhook, event_type="x", succeeded=0, failed=100, unavailable=100)
        WebhookHealth.objects.update(circuit_since=now)
        later = now + 60 * SECOND

        attempt(webhook, REFUSED, now=later)
        assert circuit_of(webhook) == Circuit.CLOSED
        TrafficMinute.objects.filter(failed=100).update(minute=TrafficMinute.of(later))
        attempt(webhook, REFUSED, now=later + 60 * SECOND)
        assert circuit_of(webhook) == Circuit.OPEN

    def test_is_of_no_use_to_a_disabled_webhook(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        attempt(webhook, REFUSED, now=now, times=9)
        delivery = builders.a_claimed_delivery(webhook)
        webhooks.disable(webhook.pk, reason="Maintenance.", by="a test", now=now)

        record([delivery], REFUSED, now=now)

        assert circuit_of(webhook) == Circuit.CLOSED


class TestPublishing:
    @pytest.mark.parametrize(
        ("circuit", "status"),
        [("closed", "pending"), ("open", "held"), ("probing", "pending"), ("recovering", "pending")],
    )
    def test_holds_behind_an_open_circuit(
        self,
        circuit: str,
        status: str,
        now: datetime,
        django_capture_on_commit_callbacks: Any,
        doorbell_rings: list[str],
    ) -> None:
        webhook = builders.a_webhook()
        step = None if circuit == "closed" else now
        WebhookHealth.objects.update(circuit=circuit, circuit_since=now, next_step_at=step)

        with django_capture_on_commit_callbacks(execute=True):
            publishing.publish(account=webhook.account, event_type="call.ended", payload={}, now=now)

        assert Delivery.objects.get().status == status
        assert doorbell_rings == (["ring"] if status == "pending" else [])

    @pytest.mark.parametrize(
        ("what", "held"),
        [("webhook", {"one"}), ("account", {"one", "two"}), ("type", {"one", "two"}), ("other type", set())],
    )
    def test_holds_what_is_paused(self, what: str, held: set[str], now: datetime) -> None:
        account = builders.an_account()
        one, _ = (builders.a_webhook(account, name=name) for name in ("one", "two"))
        of: dict[str, dict[str, Any]] = {
            "webhook": {"webhook": one},
            "account": {},
            "type": {"event_type": "call.ended"},
            "other type": {"event_type": "message.sent"},
        }
        pause = builders.a_pause(account, **of[what])

        publishing.publish(account=account, event_type="call.ended", payload={}, now=now)
        assert set(Delivery.objects.filter(status="held").values_list("webhook__name", flat=True)) == held

        publishing.publish(account=account, event_type="call.ended", payload={}, now=pause.until)
        assert Delivery.objects.filter(created_at=pause.until, status="pending").count() == 2


class TestProbing:
    def test_of_the_circuit_that_waits_longest_comes_first(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(circuits, "MOST", 1)
        late, *earlier = (builders.a_delivery(status=Delivery.Status.HELD) for _ in range(4))
        for seconds, held in enumerate([late, *earlier]):
            health = WebhookHealth.objects.filter(webhook=held.webhook)
            # Written once more, so that no order of the table tells it by chance.
            health.update(circuit=Circuit.OPEN, circuit_since=now, next_step_at=now - (9 - seconds) * SECOND)
        WebhookHealth.objects.filter(webhook=late.webhook).update(openings=1)

        tending.tend(now=now)

        assert Delivery.objects.get(status=Delivery.Status.PENDING) == late

    def test_waits_until_its_time(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)

        assert the_probe(webhook, now=step_at - SECOND) == []
        assert circuit_of(webhook) == Circuit.OPEN

    def test_lets_the_oldest_go_and_no_other(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        oldest = builders.a_delivery(webhook, status="held", due_at=now - SECOND)
        builders.a_delivery(webhook, due_at=now)

        assert the_probe(webhook, now=step_at) == [oldest]

        health = health_of(webhook)
        assert (health.circuit, health.circuit_since) == (Circuit.PROBING, step_at)
        assert health.next_step_at == step_at + 60 * SECOND
        assert the_probe(webhook, now=step_at + SECOND) == []
        assert states(webhook) == {"held": 14, "pending": 1}

    def test_never_hurries_a_retry(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now)
        Delivery.objects.update(due_at=step_at + 20 * SECOND)

        assert the_probe(webhook, now=step_at) == []

        health = health_of(webhook)
        assert (health.circuit, health.next_step_at) == (Circuit.PROBING, step_at + 20 * SECOND)
        assert len(the_probe(webhook, now=step_at + 20 * SECOND)) == 1

    def test_takes_what_is_published_next_where_nothing_is_due(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now)
        Delivery.objects.update(due_at=step_at + 3600 * SECOND)
        assert the_probe(webhook, now=step_at) == []

        for _ in range(3):
            publishing.publish(account=webhook.account, event_type="call.ended", payload={}, now=step_at)

        assert len(builders.claim(step_at)) == 1

    def test_that_fails_opens_for_longer(self, now: datetime) -> None:
        webhook = builders.a_webhook(max_retries=10)
        step_at = an_open_circuit(webhook, now=now, backlog=20)

        for wait in (60, 120, 240, 480, 900, 900):
            record(the_probe(webhook, now=step_at), REFUSED, now=step_at)
            health = health_of(webhook)
            assert (health.circuit, health.next_step_at) == (Circuit.OPEN, step_at + wait * SECOND)
            assert "pending" not in states(webhook)
            step_at += wait * SECOND

    @pytest.mark.parametrize("outcome", [a_reply(200), a_reply(404)], ids=["success", "404"])
    def test_that_is_answered_begins_the_ramp(self, outcome: Reply, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=40)
        probe = the_probe(webhook, now=step_at)
        builders.a_delivery(webhook, due_at=step_at)

        record(probe, outcome, now=step_at)

        health = health_of(webhook)
        assert (health.circuit, health.let_go) == (Circuit.RECOVERING, 10)
        assert states(webhook)["held"] == 10 + 40 + 1 - 1 - 10 + (outcome.http_status == 404)

    def test_that_says_nothing_is_followed_by_another(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        first = the_probe(webhook, now=step_at)
        record(first, BLOCKED, now=step_at)

        assert circuit_of(webhook) == Circuit.PROBING
        second = the_probe(webhook, now=step_at + 60 * SECOND)

        assert len(second) == 1
        assert second != first

    @pytest.mark.parametrize("outcome", [a_reply(), REFUSED], ids=["success", "refused"])
    def test_is_not_decided_by_what_began_before(self, outcome: Outcome, now: datetime) -> None:
        webhook = builders.a_webhook()
        straggler = builders.a_claimed_delivery(webhook, now=now)
        step_at = an_open_circuit(webhook, now=now + 5 * SECOND, backlog=3)
        tending.tend(now=step_at)

        record([straggler], outcome, now=now)

        assert circuit_of(webhook) == Circuit.PROBING

    def test_waits_for_the_end_of_a_pause(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        builders.a_pause(webhook.account, webhook=webhook)

        assert the_probe(webhook, now=step_at) == []
        assert "pending" not in states(webhook)

    def test_begins_at_once_where_a_webhook_points_elsewhere(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        an_open_circuit(webhook, now=now, backlog=3)

        webhooks.change(webhook, by="a test", now=now + SECOND, url="https://example.org/new")

        assert circuit_of(webhook) == Circuit.PROBING
        assert len(builders.claim(now + SECOND)) == 1

    def test_does_not_begin_with_what_a_receiver_cannot_notice(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        an_open_circuit(webhook, now=now, backlog=3)

        webhooks.change(webhook, by="a test", now=now + SECOND, name="CRM", enabled=True)

        assert circuit_of(webhook) == Circuit.OPEN

    def test_is_done_with_what_a_person_sends_again(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        an_open_circuit(webhook, now=now, backlog=3)
        builders.a_delivery(webhook, due_at=now)
        failed = builders.a_failed_delivery(webhook)

        redelivery.redeliver(failed, by="a test", now=now + SECOND)

        assert circuit_of(webhook) == Circuit.PROBING
        assert builders.claim(now + SECOND) == [failed]

    def test_is_not_done_by_many_that_are_sent_again(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        an_open_circuit(webhook, now=now)
        builders.a_failed_delivery(webhook)

        redelivery.redeliver_all(Delivery.objects.all(), selected="all", by="a test", now=now + SECOND)
        tending.sweep(now=now + SECOND)

        assert circuit_of(webhook) == Circuit.OPEN
        assert states(webhook) == {"held": 11}


class TestProbeWithoutAResult:
    """Whatever becomes of it, the circuit neither stays as it is for ever nor tries two at a time."""

    @pytest.mark.parametrize("fate", ["is cancelled", "is deleted", "dies with its worker"])
    def test_is_followed_by_another_when_its_time_is_over(self, fate: str, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        (probe,) = the_probe(webhook, now=step_at)
        if fate == "is cancelled":
            Delivery.objects.filter(pk=probe.pk).cancel(now=step_at)
        elif fate == "is deleted":
            probe.delete()

        assert the_probe(webhook, now=step_at + 59 * SECOND) == []
        assert len(the_probe(webhook, now=step_at + 60 * SECOND)) == 1
        assert circuit_of(webhook) == Circuit.PROBING

    def test_goes_again_when_it_is_handed_back(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        (probe,) = the_probe(webhook, now=step_at)

        Delivery.objects.filter(pk=probe.pk).hand_back(token=probe.lease_token, now=step_at)

        assert builders.claim(step_at + SECOND) == [probe]

    @pytest.mark.parametrize("of", ["webhook", "event type"])
    def test_waits_with_all_others_for_the_end_of_a_pause(self, of: str, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        tending.tend(now=step_at)
        subject: dict[str, Any] = {"webhook": webhook} if of == "webhook" else {"event_type": "call.ended"}
        pause = builders.a_pause(webhook.account, until=step_at + 290 * SECOND, **subject)

        for seconds in range(0, 280, 20):
            assert the_probe(webhook, now=step_at + seconds * SECOND) == []
        assert states(webhook) == {"held": 13}
        # At once: the circuit's next look may be a lease away.
        assert len(the_probe(webhook, now=pause.until)) == 1
        went = [the_probe(webhook, now=pause.until + seconds * SECOND) for seconds in range(20, 60, 20)]
        assert went == [[], []]

    def test_to_where_a_webhook_pointed_before_says_nothing(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=3)
        probe = the_probe(webhook, now=step_at)
        later = step_at + 20 * SECOND

        webhooks.change(webhook, by="a test", now=later, url="https://example.org/new")
        record(probe, REFUSED, now=step_at)

        assert circuit_of(webhook) == Circuit.PROBING
        assert len(builders.claim(later)) == 1


class TestNothingToTry:
    def test_looks_again_now_and_then_and_when_something_is_due(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        moment = an_open_circuit(webhook, now=now)
        due_at, looks = moment + 3600 * SECOND, 0
        Delivery.objects.update(due_at=due_at)

        while moment < due_at:
            assert the_probe(webhook, now=moment) == []
            next_step_at = health_of(webhook).next_step_at
            assert next_step_at is not None
            moment, looks = next_step_at, looks + 1

        assert (moment, looks) == (due_at, 60)
        assert len(the_probe(webhook, now=moment)) == 1

    @pytest.mark.parametrize("circuit", ["open", "probing", "recovering"])
    def test_ends_with_the_webhook(self, circuit: str, now: datetime) -> None:
        webhook = builders.a_webhook()
        moment = an_open_circuit(webhook, now=now, backlog=40)
        if circuit != "open":
            probe = the_probe(webhook, now=moment)
        if circuit == "recovering":
            record(probe, a_reply(), now=moment)
        assert circuit_of(webhook) == circuit

        webhooks.delete(webhook, by="a test", now=moment)

        for seconds in range(0, 70, 5):
            assert the_probe(webhook, now=moment + seconds * SECOND) == []
            tending.sweep(now=moment + seconds * SECOND)
        health = health_of(webhook)
        assert (health.circuit, health.next_step_at) == (Circuit.CLOSED, None)
        assert states(webhook).keys() <= {"cancelled", "succeeded"}


class TestRecovering:
    def test_lets_go_at_a_rate_that_grows(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 400, status=Delivery.Status.HELD)
        circuits.resume([webhook.pk], now=now)
        gone = []

        for seconds in range(30):
            tending.tend(now=now + seconds * SECOND)
            gone.append(states(webhook)["pending"])

        assert gone[:4] == [10, 20, 30, 40]
        assert gone[10:13] == [110, 130, 150]
        assert gone[20:24] == [310, 350, 390, 400]
        assert circuit_of(webhook) == Circuit.CLOSED

    def test_lets_go_the_oldest_first_and_keeps_schedules(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        for minutes in range(15):
            builders.a_delivery(webhook, status="held", due_at=now + timedelta(minutes=14 - minutes))
        before = dict(Delivery.objects.values_list("pk", "due_at"))
        circuits.resume([webhook.pk], now=now)

        tending.tend(now=now)

        newest = Delivery.objects.filter(status="pending").order_by("due_at").last()
        assert newest is not None
        assert newest.due_at == now + timedelta(minutes=9)
        assert before == dict(Delivery.objects.values_list("pk", "due_at"))

    def test_holds_all_of_a_long_queue_before_it_lets_go_of_any(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a sweep in between: more waits than is held at a time."""
        monkeypatch.setattr(holding, "BATCH", 20)
        webhook = builders.a_webhook(max_in_flight=50)
        step_at = an_open_circuit(webhook, now=now)
        builders.a_backlog(webhook, 200)
        moment, probes = step_at, 0

        while circuit_of(webhook) != Circuit.RECOVERING:
            gone = the_probe(webhook, now=moment)
            assert len(gone) == 1
            probes += 1
            record(gone, a_reply(), now=moment)
            assert probes < 20

        assert states(webhook)["pending"] == 10
        assert 2 <= probes <= 10

    def test_ends_with_a_closed_circuit_that_starts_again_from_nothing(self, now: datetime) -> None:
        webhook = builders.a_webhook(max_retries=10)
        step_at = an_open_circuit(webhook, now=now)
        record(the_probe(webhook, now=step_at), a_reply(), now=step_at)
        tending.tend(now=step_at + SECOND)

        health = health_of(webhook)
        assert (health.circuit, health.openings, health.next_step_at) == (Circuit.CLOSED, 0, None)
        assert health.unavailable_in_a_row == 0

    def test_opens_again_for_longer_when_it_trips(self, now: datetime) -> None:
        webhook = builders.a_webhook(max_in_flight=100)
        step_at = an_open_circuit(webhook, now=now, backlog=100)
        record(the_probe(webhook, now=step_at), a_reply(), now=step_at)
        gone = [each for each in builders.claim(step_at) if each.webhook_id == webhook.pk]

        record(gone, REFUSED, now=step_at)

        health = health_of(webhook)
        assert (len(gone), health.circuit, health.openings) == (10, Circuit.OPEN, 2)
        assert "pending" not in states(webhook)

    def test_leaves_out_what_is_paused(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        pause = builders.a_pause(webhook.account, event_type="call.ended")
        paused = builders.a_delivery(webhook, status="held")
        other = builders.an_event(webhook.account, type="message.sent")
        builders.a_delivery(webhook, status="held", event=other)

        circuits.resume([webhook.pk], now=now)
        tending.tend(now=now)

        assert Delivery.objects.get(status="held") == paused
        assert circuit_of(webhook) == Circuit.CLOSED
        assert circuits.resume([webhook.pk], now=now) == 0
        assert circuits.resume([webhook.pk], now=pause.until) == 1

    def test_closes_where_only_a_paused_type_is_left(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 30, status=Delivery.Status.HELD)
        circuits.resume([webhook.pk], now=now)
        tending.tend(now=now)
        pause = builders.a_pause(webhook.account, event_type="call.ended", until=now + 60 * SECOND)

        moved = []
        for seconds in range(1, 60, 4):
            tending.tend(now=now + seconds * SECOND)
            tending.sweep(now=now + seconds * SECOND)
            moved.append(health_of(webhook).circuit_since)

        # Once, and not to and fro.
        assert set(moved) == {now + SECOND}
        assert circuit_of(webhook) == Circuit.CLOSED
        assert states(webhook) == {"held": 30}
        for seconds in range(4):
            tending.tend(now=pause.until + seconds * SECOND)
        assert states(webhook) == {"pending": 30}

    def test_keeps_to_the_ramp_where_clocks_differ(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 600, status=Delivery.Status.HELD)
        circuits.resume([webhook.pk], now=now)
        begun, ahead = now, []

        for tick in range(30):
            moment = now + tick * SECOND
            # The one that is a second behind looks as well, and takes what it sees as due.
            for clock in (moment + SECOND, moment):
                tending.tend(now=clock)
            ahead.append(states(webhook)["pending"] - policy.allowed(moment + SECOND - begun))

        assert max(ahead) <= 0
        assert states(webhook) == {"pending": 600}
        assert circuit_of(webhook) == Circuit.CLOSED

    @pytest.mark.parametrize("state", ["disabled", "open", "nothing held"])
    def test_does_not_begin_without_cause(self, state: str, now: datetime) -> None:
        webhook = builders.a_webhook(enabled=state != "disabled")
        if state == "open":
            an_open_circuit(webhook, now=now)
        if state != "nothing held":
            builders.a_backlog(webhook, 3, status=Delivery.Status.HELD)

        assert circuits.resume([webhook.pk], now=now) == 0


class TestEnabling:
    def test_lets_go_ten_at_once_and_the_rest_by_and_by(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 30)
        webhooks.disable(webhook.pk, reason="Maintenance.", by="a test", now=now)

        webhooks.toggle(webhook, by="a test", now=now)

        assert states(webhook) == {"pending": 10, "held": 20}
        tending.tend(now=now + SECOND)
        assert states(webhook) == {"pending": 20, "held": 10}

    def test_begins_with_a_probe_where_nothing_arrived_before(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        an_open_circuit(webhook, now=now, backlog=3)
        webhooks.disable(webhook.pk, reason="Maintenance.", by="a test", now=now)
        assert circuit_of(webhook) == Circuit.CLOSED

        webhooks.toggle(webhook, by="a test", now=now + 2 * SECOND)

        health = health_of(webhook)
        assert (health.circuit, health.consecutive_failures, health.failing_since) == ("probing", 0, None)
        assert states(webhook) == {"pending": 1, "held": 12}


class TestDisablingTheDead:
    def fail_for(self, webhook: Webhook, days: float, *, now: datetime, times: int = 10) -> datetime:
        """Fail `times` times, the first of them so long ago and then once a day, the rest just now."""
        daily = int(days) + 1
        for day in range(daily):
            attempt(webhook, a_reply(404), now=now - timedelta(days=days - day, seconds=1))
        attempt(webhook, a_reply(404), now=now - SECOND, times=times - 1 - daily)
        return now

    def test_says_why_and_holds_what_is_queued(self, now: datetime) -> None:
        webhook = builders.a_webhook(max_retries=0)
        self.fail_for(webhook, 5, now=now)
        builders.a_delivery(webhook, due_at=now + SECOND)
        assert Webhook.objects.get().enabled

        attempt(webhook, REFUSED, now=now)

        webhook.refresh_from_db()
        assert not webhook.enabled
        assert webhook.disabled_reason == "No success for 5 days of trying: the last 10 attempts failed."
        assert states(webhook) == {"held": 1, "failed": 10}
        entry = AuditEntry.objects.get(action=AuditEntry.Action.WEBHOOK_DISABLED)
        assert entry.by == "Automatic"

    def test_happens_once(
        self, now: datetime, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
    ) -> None:
        webhook = builders.a_webhook()
        self.fail_for(webhook, 5, now=now)
        claimed = [builders.a_claimed_delivery(webhook) for _ in range(3)]

        with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
            for delivery in claimed:
                record([delivery], REFUSED, now=now)

        events = [getattr(line, "event", "") for line in caplog.records]
        assert events.count("webhook.disabled") == 1
        assert AuditEntry.objects.filter(action=AuditEntry.Action.WEBHOOK_DISABLED).count() == 1

    @pytest.mark.parametrize(("days", "times"), [(4.9, 30), (6, 9)], ids=["too soon", "too few"])
    def test_takes_days_and_attempts(self, days: float, times: int, now: datetime) -> None:
        webhook = builders.a_webhook()
        self.fail_for(webhook, days, now=now, times=times)

        attempt(webhook, a_reply(404), now=now)

        assert Webhook.objects.get().enabled

    def test_starts_anew_after_a_success(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        self.fail_for(webhook, 5, now=now)
        attempt(webhook, a_reply(), now=now)

        attempt(webhook, a_reply(404), now=now, times=20)

        assert Webhook.objects.get().enabled

    def test_starts_anew_when_somebody_enables_it(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        self.fail_for(webhook, 5, now=now)
        attempt(webhook, REFUSED, now=now)
        webhooks.toggle(webhook, by="a test", now=now)

        attempt(webhook, a_reply(404), now=now + SECOND, times=20)

        assert Webhook.objects.get().enabled

    def test_does_not_come_of_a_time_in_which_nothing_was_tried(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        attempt(webhook, REFUSED, now=now - timedelta(days=5))

        attempt(webhook, a_reply(404), now=now, times=9)

        assert Webhook.objects.get().enabled
        health = health_of(webhook)
        assert (health.consecutive_failures, health.failing_since) == (10, now)

    @pytest.mark.parametrize("of", ["webhook", "account"])
    @pytest.mark.parametrize("by", ["a person", "the clock"])
    def test_does_not_come_of_a_pause(self, of: str, by: str, now: datetime) -> None:
        webhook = builders.a_webhook()
        self.fail_for(webhook, 4, now=now)
        later = now + timedelta(days=1)
        builders.a_pause(webhook.account, webhook=webhook if of == "webhook" else None, until=later)
        if by == "a person":
            pausing.resume(Pause.objects.get(), by="grace", now=later - SECOND)
        tending.tend(now=later)

        attempt(webhook, a_reply(404), now=later + SECOND)
        assert Webhook.objects.get().enabled

        health = health_of(webhook)
        assert health.consecutive_failures == 10
        assert health.failing_since == later - (SECOND if by == "a person" else 0 * SECOND)

    def test_is_not_put_off_by_the_pause_of_an_event_type(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        self.fail_for(webhook, 5, now=now)
        builders.a_pause(webhook.account, event_type="message.sent", until=now)
        tending.tend(now=now)

        attempt(webhook, a_reply(404), now=now)

        assert not Webhook.objects.get().enabled

    def test_does_not_happen_to_one_enabled_meanwhile(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        WebhookHealth.objects.update(consecutive_failures=40, failing_since=now - timedelta(days=6))
        seen = health_of(webhook)
        webhooks.toggle(webhook, by="a test", now=now)
        webhooks.toggle(webhook, by="a test", now=now)

        inbox = following.Inbox()
        inbox.add([News(health=seen, tally=Tally(failed=1))])
        inbox.follow(now=now, jitter=Steady())

        assert Webhook.objects.get().enabled

    def test_also_counts_while_the_circuit_holds_everything(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        step_at = an_open_circuit(webhook, now=now, backlog=1000)

        while Webhook.objects.get().enabled:
            assert step_at < now + timedelta(days=6)
            record(the_probe(webhook, now=step_at), REFUSED, now=step_at)
            step_at += timedelta(minutes=15 * 4)

        assert step_at > now + timedelta(days=5)
        assert states(webhook)["held"] > 900


class TestCost:
    def statements(self, deliveries: Sequence[Delivery], outcome: Outcome, now: datetime) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            record(deliveries, outcome, now=now)
        return [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]

    @pytest.mark.parametrize("outcome", [a_reply(), a_reply(404)], ids=["success", "404"])
    def test_of_recording_is_the_same_for_many_webhooks(self, outcome: Reply, now: datetime) -> None:
        one = [builders.a_claimed_delivery()]
        for _ in range(20):
            builders.a_delivery()
        many = builders.claim(now)

        few_statements = self.statements(one, outcome, now)
        many_statements = self.statements(many, outcome, now)

        assert len(few_statements) == len(many_statements)
        # Rows, attempts, moves, the health twice, traffic; and a failure for what failed.
        assert len(few_statements) == (6 if outcome.http_status == 200 else 7)

    def test_of_publishing_is_one_question_about_pauses(self, now: datetime) -> None:
        account = builders.an_account()
        for _ in range(3):
            builders.a_webhook(account)

        with CaptureQueriesContext(connection) as queries:
            publishing.publish(account=account, event_type="call.ended", payload={}, now=now)

        assert sum("deliveries_pause" in query["sql"] for query in queries) == 1
        assert not any('FROM "deliveries_webhookhealth"' in query["sql"] for query in queries)

    def test_of_looking_is_one_question_a_second(self, now: datetime, django_assert_num_queries: Any) -> None:
        builders.a_webhook()

        with django_assert_num_queries(1):
            tending.tend(now=now)
