"""A receiver that is down or hangs costs nobody else anything, and comes back to a queue let go by and by."""

import time
from datetime import timedelta

import pytest

from deliveries import circuits
from tests.faults.controller import Published
from tests.faults.measures import percentile
from tests.faults.receiver import Behaviour
from tests.faults.scene import Scene
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

HURT = "/0"
# A step is taken once a second, jittered, by a process that may be busy: so much ahead of its ramp, in
# seconds, a receiver may see one.
SLACK = timedelta(seconds=2)


def took(scene: Scene, published: Published) -> list[float]:
    """Return the seconds each event of the webhooks that are well took to arrive."""
    events = {each.event_id: each.meant_at for each in published.acknowledged}
    return [
        each.at - events[each.event_id]
        for each in scene.receiver.arrivals()
        if each.event_id in events and each.path != HURT
    ]


def held(scene: Scene) -> int:
    return int(scene.stack.rows("SELECT count(*) FROM deliveries_delivery WHERE status = 'held'")[0][0])


class TestBackAgain:
    def test_is_met_by_a_probe_and_a_ramp(self, scene: Scene) -> None:
        scene.stack.environment["WEBHOOKS_CIRCUIT_DELAYS"] = "2"
        scene.receiver.behave(Behaviour(status=500), path=HURT)
        scene.start(webhooks=4, workers=2)
        hurt, *well = (each.agent_id for each in scene.subscriptions)
        seconds = scene.size.pick(short=1, long=134)
        with scene.publishing(rate=150, seconds=seconds, agents=[hurt]):
            pass
        with scene.publishing(rate=20, seconds=3, agents=well) as before:
            pass
        size = held(scene)

        back = time.time()
        scene.receiver.behave(Behaviour(), path=HURT)
        with scene.publishing(rate=20, agents=well) as meanwhile:
            wait_until(lambda: held(scene) == 0, timeout=180, what="nothing held")
        scene.settle()

        # Before the answer to the probe nothing else arrived, and after it no more than the ramp allows.
        arrivals = sorted(each.at for each in scene.receiver.arrivals(HURT) if each.at >= back)
        first = arrivals[0]
        ahead = max(
            number - circuits.allowed(timedelta(seconds=at - first) + SLACK)
            for number, at in enumerate(arrivals)
        )
        # Short runs share their machine with other tests, which costs more than the ramp does.
        noise = scene.size.pick(short=1.0, long=0.1)
        quiet, busy = (percentile(took(scene, each), 0.95) for each in (before, meanwhile))
        scene.figure(
            "held",
            passed=size >= 100 and ahead <= 0 and scene.lost() == 0 and busy < max(2 * quiet, noise),
            held=size,
            lost=scene.lost(),
            ahead_of_ramp=max(ahead, 0),
            seconds=round(arrivals[-1] - first, 1),
            others_p95=round(busy, 3),
            others_p95_before=round(quiet, 3),
        )


class TestHanging:
    def test_costs_the_others_nothing(self, scene: Scene) -> None:
        webhooks = scene.size.count(short=20, long=100)
        rate, seconds = scene.size.pick(short=40, long=100), scene.size.pick(short=3, long=60)
        scene.start(webhooks=webhooks, workers=1)
        with scene.publishing(rate=rate, seconds=seconds) as before:
            pass
        scene.settle()

        scene.receiver.behave(Behaviour(manner="hang"), path=HURT)
        agents = [each.agent_id for each in scene.subscriptions]
        # As much for the one that hangs as for all the others: more than there are slots.
        with scene.publishing(rate=rate, seconds=seconds, agents=agents + agents[:1] * webhooks) as meanwhile:
            pass
        wait_until(lambda: len(took(scene, meanwhile)) >= _of_the_well(scene, meanwhile), what="the others")
        quiet, busy = (percentile(took(scene, each), 0.99) for each in (before, meanwhile))
        scene.receiver.behave(Behaviour(), path=HURT)
        wait_until(lambda: held(scene) == 0, timeout=120, what="nothing held")
        scene.settle()

        bound = scene.size.pick(short=quiet + 1.0, long=quiet * 1.1)
        scene.figure(
            "one-hangs",
            passed=busy <= bound and scene.lost() == 0,
            others_p99=round(busy, 3),
            others_p99_before=round(quiet, 3),
            lost=scene.lost(),
        )


def _of_the_well(scene: Scene, published: Published) -> int:
    hurt = scene.subscriptions[0].agent_id
    return sum(each.agent_id != hurt for each in published.acknowledged)
