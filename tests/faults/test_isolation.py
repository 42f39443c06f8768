"""A receiver that is down or hangs costs nobody else anything, and comes back to a queue let go by and by."""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import pytest

from deliveries import circuits
from tests.faults.receiver import Behaviour
from tests.faults.scene import Scene, Subscription
from tests.measuring.controller import Published
from tests.measuring.measures import percentile
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

HURT = "/0"
# Below this the machine's own business decides, not ours, in seconds.
NOTICEABLE = 0.1
# How often a worker looks in the scenario of days, in seconds.
LOOK = 0.2
# By how much the clock of the worker that takes the steps may be ahead of the receiver's. The steps are late
# at worst: the ramp begins when the answer to the probe is written down.
SLACK = timedelta(seconds=0.2)
# Seconds a receiver that is just back takes for its first answer. Whatever is sent meanwhile shows.
SLUGGISH = 1.5


def took(scene: Scene, published: Published) -> list[float]:
    """Return the seconds each event of the webhooks that are well took to arrive."""
    events = {each.event_id: each.meant_at for each in published.acknowledged}
    return [
        each.at - events[each.event_id]
        for each in scene.receiver.arrivals()
        if each.event_id in events and each.path != HURT
    ]


def ahead_of_ramp(arrivals: Sequence[float], *, answered: float = 0.0) -> int:
    """Return by how many requests a receiver that is back was sent more than its ramp allows.

    :param arrivals: when each came, in order, the probe first.
    :param answered: seconds after its arrival the probe was answered.
    """
    probe, *rest = arrivals
    over = (
        number - circuits.allowed(timedelta(seconds=at - probe - answered) + SLACK)
        for number, at in enumerate(rest, 1)
    )
    return max(over, default=0)


class TestBackAgain:
    def test_is_met_by_a_probe_and_a_ramp(self, scene: Scene) -> None:
        scene.receiver.behave(Behaviour(status=500), path=HURT)
        scene.start(webhooks=4, workers=0)
        hurt, *well = (each.agent_id for each in scene.subscriptions)
        # What waits when the circuit opens is held by the statement that opens it; what comes later is not.
        with scene.publishing(rate=120, seconds=1, agents=[hurt]) as early:
            pass
        scene.start_worker(wait=False)
        scene.start_worker()
        wait_until(lambda: scene.logged("circuit.opened"), timeout=30, what="an open circuit")
        by_statement = scene.held()
        with scene.publishing(rate=150, seconds=scene.size.pick(short=0.4, long=133), agents=[hurt]) as later:
            pass
        for_hurt = len(early.acknowledged) + len(later.acknowledged)
        with scene.publishing(rate=20, seconds=3, agents=well) as before:
            pass
        size = scene.held()

        back = time.time()
        scene.receiver.behave(Behaviour(delay=SLUGGISH), path=HURT)
        with scene.publishing(rate=20, agents=well) as meanwhile:
            arrived = partial(self._arrived, scene, back)
            wait_until(arrived, timeout=30, what="the probe")
            time.sleep(SLUGGISH / 2)
            scene.receiver.behave(Behaviour(), path=HURT)
            # Seldom, because counting them costs the others something.
            wait_until(lambda: scene.held() == 0, timeout=180, what="nothing held", every=1)
        scene.settle()

        # Before the answer to the probe nothing else arrived, and after it no more than the ramp allows.
        arrivals = arrived()
        first = arrivals[0]
        probes = sum(at < first + SLUGGISH for at in arrivals)
        ahead = ahead_of_ramp(arrivals, answered=SLUGGISH)
        quiet, busy = (percentile(took(scene, each), 0.95) for each in (before, meanwhile))
        scene.figure(
            "held",
            baseline=quiet,
            passed=by_statement >= 0.8 * len(early.acknowledged)
            and size >= 0.95 * for_hurt
            and probes == 1
            and ahead <= 0
            and scene.lost() == 0,
            timely=busy < max(2 * quiet, quiet + NOTICEABLE),
            held=size,
            held_at_once_when_it_opened=by_statement,
            probes=probes,
            lost=scene.lost(),
            ahead_of_ramp=max(ahead, 0),
            seconds=round(arrivals[-1] - first, 1),
            others_p95=round(busy, 3),
            others_p95_before=round(quiet, 3),
        )

    @staticmethod
    def _arrived(scene: Scene, since: float) -> list[float]:
        return sorted(each.at for each in scene.receiver.arrivals(HURT) if each.at >= since)


class TestHanging:
    def test_costs_the_others_nothing(self, scene: Scene) -> None:
        webhooks = scene.size.count(short=20, long=100)
        rate, seconds = scene.size.pick(short=40, long=100), scene.size.pick(short=3, long=20)
        scene.start(webhooks=webhooks, workers=1)
        agents = [each.agent_id for each in scene.subscriptions]
        # As much for the one that will hang as for all the others: more than there are slots.
        agents += agents[:1] * webhooks
        # What is new is slow: connections, caches, statistics.
        with scene.publishing(rate=rate, seconds=scene.size.pick(short=1, long=10), agents=agents):
            pass
        scene.settle()

        before, meanwhile = Published(), Published()
        # By turns, so that whatever else the machine does meets both alike.
        for _ in range(scene.size.count(short=1, long=3)):
            with scene.publishing(rate=rate, seconds=seconds, agents=agents) as published:
                pass
            before.acknowledged += published.acknowledged
            scene.settle()
            scene.receiver.behave(Behaviour(manner="hang"), path=HURT)
            with scene.publishing(rate=rate, seconds=seconds, agents=agents) as published:
                pass
            meanwhile.acknowledged += published.acknowledged
            wait_until(partial(_have_arrived, scene, meanwhile), what="the others")
            scene.receiver.behave(Behaviour(), path=HURT)
            scene.settle(timeout=120)
            # Who has timed out is left alone for a minute.
            scene.hasten()
            scene.settle()
        quiet, busy = (percentile(took(scene, each), 0.99) for each in (before, meanwhile))

        scene.figure(
            "one-hangs",
            baseline=quiet,
            passed=scene.lost() == 0,
            timely=busy <= quiet * 1.1,
            others_p99=round(busy, 3),
            others_p99_before=round(quiet, 3),
            lost=scene.lost(),
        )


class TestSlowWithMuchTraffic:
    """One receiver takes long for what it answers, so that no circuit helps, and gets ten times as much."""

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("protection", "workers", "most"),
        # A quarter of the slots of the only process; and fewer than the quarters of two.
        [
            pytest.param("share", 1, 8, id="share"),
            pytest.param("max_in_flight", 2, 10, id="max_in_flight"),
        ],
    )
    def test_is_slow_for_itself_alone(self, scene: Scene, protection: str, workers: int, most: int) -> None:
        rate, delay, seconds = 60, 3.0, scene.size.pick(short=4, long=60)
        scene.receiver.behave(Behaviour(delay=delay), path=HURT)
        scene.start(webhooks=20, workers=workers)
        slow, *well = scene.subscriptions
        in_flight = 10 if protection == "max_in_flight" else 50
        scene.stack.rows(
            f"UPDATE deliveries_webhook SET max_in_flight = {in_flight} WHERE id = '{slow.webhook_id}'"
            " RETURNING id"
        )
        agents = [each.agent_id for each in well]
        with scene.publishing(rate=rate * 19 / 29, seconds=seconds, agents=agents) as before:
            pass

        with scene.publishing(rate=rate, seconds=seconds, agents=agents + [slow.agent_id] * 10) as beside:
            pass
        wait_until(partial(_have_arrived, scene, beside), what="the others")
        slowly = sorted(each.at for each in scene.receiver.arrivals(HURT))
        scene.receiver.behave(Behaviour(), path=HURT)
        scene.settle(timeout=120)

        # A little less than it takes, because it is told of the next a little after it has answered.
        at_once = max(sum(at <= each < at + delay * 0.9 for each in slowly) for at in slowly)
        quiet, busy = (percentile(took(scene, each), 0.95) for each in (before, beside))
        scene.figure(
            "one-slow",
            case=protection,
            baseline=quiet,
            passed=at_once <= most and scene.lost() == 0,
            timely=busy < max(2 * quiet, quiet + NOTICEABLE),
            at_once=at_once,
            others_p95=round(busy, 3),
            others_p95_before=round(quiet, 3),
            lost=scene.lost(),
        )


class TestDownForDays:
    """One receiver fails, the other refuses what it is sent: it is there, so nothing holds up its retries."""

    @pytest.mark.long
    def test_is_waited_for_and_gets_everything(self, scene: Scene) -> None:
        delays = (2, 5, 10, 20) if scene.size.long else (1.0, 1.5, 2.0)
        # So often that a retry which is early by little is not made late by waiting for a look.
        scene.stack.environment["WEBHOOKS_POLL_INTERVAL"] = str(LOOK)
        scene.stack.environment["WEBHOOKS_RETRY_DELAYS"] = ",".join(map(str, delays))
        scene.stack.environment["WEBHOOKS_CIRCUIT_DELAYS"] = "2,4,8" if scene.size.long else "0.5,1"
        scene.receiver.behave(Behaviour(status=500), path=HURT)
        scene.receiver.behave(Behaviour(status=404), path="/1")
        scene.start(webhooks=2, workers=2, max_retries=len(delays))
        down, refusing = scene.subscriptions
        for _ in range(5):
            scene.publish(refusing.agent_id)
        with scene.publishing(rate=40, seconds=0.5, agents=[down.agent_id]):
            pass
        probes = scene.size.count(short=2, long=8)
        wait_until(lambda: scene.logged("circuit.opened") >= 1 + probes, timeout=120, what="failed probes")
        with scene.publishing(rate=40, seconds=scene.size.pick(short=0.7, long=30), agents=[down.agent_id]):
            pass
        wait_until(lambda: states(scene, refusing) == {"failed"}, timeout=120, what="given up")

        five_days_on = (
            "UPDATE deliveries_webhookhealth SET failing_since = failing_since - interval '5 days'"
            f" WHERE webhook_id = '{down.webhook_id}' RETURNING consecutive_failures"
        )
        assert scene.stack.rows(five_days_on)[0][0] >= circuits.DEAD_AFTER
        reason = f"SELECT disabled_reason FROM deliveries_webhook WHERE id = '{down.webhook_id}'"
        wait_until(lambda: scene.stack.rows(reason) != [("",)], timeout=60, what="disabled")
        waiting, ((why,),) = states(scene, down), scene.stack.rows(reason)

        for each in (down, refusing):
            scene.receiver.behave(Behaviour(), path=each.path)
        back = time.time()
        assert scene.stack.call("PUT", down.api, {"enabled": True}).status == 200
        scene.settle(timeout=120)
        early, late = off_schedule(scene, delays)
        scene.stack.manage("redeliver", "--webhook", refusing.webhook_id)
        scene.settle()

        missing = scene.lost()
        ahead = ahead_of_ramp([each.at for each in scene.receiver.arrivals(HURT) if each.at >= back])
        audited = scene.stack.rows("SELECT by FROM deliveries_auditentry WHERE action = 'webhook.disabled'")
        retried = scene.stack.rows("SELECT count(*) FROM deliveries_attempt WHERE number > 1")[0][0]
        scene.figure(
            "down-for-days",
            timely=late == 0,
            passed=early == missing == 0
            and waiting == {"held"}
            and audited == [("Automatic",)]
            and scene.logged("webhook.disabled") == 1
            and why.startswith("No success for 5 days")
            and ahead <= 0,
            retries=retried,
            retries_early=early,
            retries_late=late,
            disabled=scene.logged("webhook.disabled"),
            missing=missing,
            ahead_of_ramp=max(ahead, 0),
        )


def off_schedule(scene: Scene, delays: Sequence[float]) -> tuple[int, int]:
    """Return how many retries came before their time, and how many too late of a receiver that is there.

    :param delays: before the first retry, the second and so on, in seconds; each jittered by a fifth.
    """
    rows = scene.stack.rows(
        "SELECT webhook_id, number, extract(epoch FROM started_at - lag(started_at + duration)"
        " OVER (PARTITION BY delivery_id ORDER BY number)) FROM deliveries_attempt"
    )
    waits = [(str(pk), float(wait), delays[number - 2]) for pk, number, wait in rows if number > 1]
    down, refusing = (each.webhook_id for each in scene.subscriptions)
    assert {pk for pk, *_ in waits} == {down, refusing}
    # A worker looks once in a poll interval, jittered as well; a busy machine takes its time.
    grace = 1.2 * LOOK + scene.size.pick(short=1.5, long=0.5)
    early = sum(wait < 0.8 * delay - 0.05 for _, wait, delay in waits)
    late = sum(wait > 1.2 * delay + grace for pk, wait, delay in waits if pk == refusing)
    return early, late


def states(scene: Scene, webhook: Subscription) -> set[str]:
    query = f"SELECT DISTINCT status FROM deliveries_delivery WHERE webhook_id = '{webhook.webhook_id}'"
    return {status for (status,) in scene.stack.rows(query)}


def _have_arrived(scene: Scene, published: Published) -> bool:
    """Tell whether all events have that were not for the one that hangs."""
    hurt = scene.subscriptions[0].agent_id
    return len(took(scene, published)) >= sum(each.agent_id != hurt for each in published.acknowledged)
