"""Workers that die or stand still."""

import os
import re
import signal
import subprocess
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from deliveries.services.dispatching import RECORD_AT
from tests.faults.fragile import POISON
from tests.faults.receiver import Behaviour
from tests.faults.scene import GRACE, SLOTS, TIMEOUT, Scene
from tests.measuring import footprint
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

# What one that is killed may have sent without writing it down.
UNRECORDED = SLOTS + RECORD_AT
# The shortest timeout a webhook may have, in seconds, where a test waits for a lease to end.
SHORT = 1
LEASE = SHORT + GRACE
LIVELY = Behaviour(delay=0.02, spread=0.18)
# Seconds within which a request of those of the paused workers is answered and written down.
ANSWERED = 1.2


class TestKilledWorker:
    def test_loses_nothing_and_repeats_little(self, scene: Scene) -> None:
        """Of those that deliver one is killed, not of those that are only starting."""
        kills, seconds = scene.size.count(short=4, long=50), scene.size.pick(short=5, long=60)
        # To start one takes more than two cores have time for from kill to kill. In the long run half of what
        # dies is replaced, and the rest was there before.
        workers, each = scene.size.count(short=2, long=30), scene.size.count(short=1, long=2)
        # What three workers in a row have died with is set aside. Where each kill meets one delivery in
        # twenty, that is two of twelve thousand by chance, or more at once: those of one worker are claimed
        # together again.
        scene.allowed_set_aside = scene.allowed_denied = kills // 5
        scene.receiver.behave(LIVELY)
        scene.start(webhooks=10, workers=2)
        while len(scene.alive()) < workers:
            scene.start_worker(wait=len(scene.alive()) % 4 == 0)

        with scene.publishing(rate=scene.size.pick(short=100, long=200)) as published:
            began = time.monotonic()
            for number in range(kills):
                time.sleep(max(0.0, began + seconds * (number + 1) / (kills + 1) - time.monotonic()))
                victim = wait_until(scene.any_that_delivers, timeout=20, what="a worker that delivers")
                # Those of workers killed before are leased as well, so no more than one can have under way.
                scene.allowed_duplicates += min(scene.leased(), SLOTS) + RECORD_AT
                scene.kill(victim)
                if number % each == 0:
                    scene.start_worker(wait=False)
            took = time.monotonic() - began
        scene.wait_for_workers()
        scene.settle()

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "worker-killed",
            passed=lost == 0 and repeated <= scene.allowed_duplicates,
            timely=took <= 1.1 * seconds,
            kills=kills,
            seconds=round(took),
            events=len(published.acknowledged),
            lost=lost,
            duplicates=repeated,
            duplicates_per_kill=round(repeated / kills, 1),
            allowed_per_kill=round(scene.allowed_duplicates / kills, 1),
            set_aside=scene.set_aside(),
        )

    def test_leaves_its_deliveries_to_others_when_its_leases_end(self, scene: Scene) -> None:
        times = scene.size.count(short=1, long=5)
        scene.allowed_duplicates = times * UNRECORDED
        scene.receiver.behave(Behaviour(delay=TIMEOUT - 1), Behaviour())
        scene.start(webhooks=4, workers=2)
        longest, left = 0.0, 0

        for _ in range(times):
            with ThreadPoolExecutor(8) as customers:
                agents = [each.agent_id for each in scene.subscriptions] * 5
                events = set(customers.map(scene.publish, agents))
            wait_until(
                lambda: events <= {each.event_id for each in scene.receiver.arrivals()},  # noqa: B023
                timeout=10,
                what="everything under way",
            )
            victim = max(scene.alive(), key=lambda worker: under_way(scene, worker))
            killed_at = time.time()
            scene.kill(victim)
            scene.start_worker()
            scene.settle()
            times_seen = Counter(each.event_id for each in scene.receiver.arrivals())
            again = [
                each.at - killed_at
                for each in scene.receiver.arrivals()
                if each.event_id in events and each.at > killed_at and times_seen[each.event_id] > 1
            ]
            assert again, "nothing was left behind, so there is nothing to measure"
            longest, left = max(longest, *again), left + len(again)

        scene.figure(
            "after-sigkill",
            passed=scene.lost() == 0,
            timely=longest <= TIMEOUT + GRACE + 2,
            deliveries=left,
            longest_s=round(longest, 1),
            lease_s=TIMEOUT + GRACE,
        )

    @pytest.mark.long
    def test_is_replaced_when_only_a_child_dies(self, scene: Scene) -> None:
        kills = scene.size.count(short=3, long=20)
        seconds = scene.size.pick(short=4, long=60)
        scene.allowed_duplicates = kills * UNRECORDED
        scene.receiver.behave(LIVELY)
        scene.start(webhooks=4, workers=0)
        worker = scene.start_worker(concurrency=2)

        with scene.publishing(rate=50, seconds=seconds):
            for _ in range(kills):
                time.sleep(seconds / (kills + 1))
                children = footprint.family(worker.pid)[1:]
                os.kill(scene.chance.choice(children), signal.SIGKILL)
        wait_until(lambda: len(footprint.family(worker.pid)) == 3, timeout=20, what="two children")
        scene.wait_for_workers()
        scene.settle()

        lost = scene.lost()
        scene.figure(
            "killing-payload",
            case="children killed",
            passed=lost == 0,
            kills=kills,
            lost=lost,
            duplicates=scene.duplicates(),
            set_aside=scene.set_aside(),
        )


def under_way(scene: Scene, worker: "subprocess.Popen[bytes]") -> int:
    """Return how many connections the processes of a worker have to the receiver."""
    held = [footprint.of(pid) for pid in footprint.family(worker.pid)]
    return sum(each.connections([scene.receiver.port]) for each in held if each is not None)


class TestKillingPayload:
    def test_is_set_aside_and_takes_nobody_along(self, scene: Scene) -> None:
        scene.stack.environment |= {"WEBHOOKS_LEASE_GRACE": "1", "WEBHOOKS_POLL_INTERVAL": "0.5"}
        bystanders = scene.size.count(short=8, long=60)
        scene.allowed_duplicates = 3 * UNRECORDED
        scene.allowed_set_aside = 1
        scene.receiver.behave(LIVELY)
        scene.start(webhooks=4, workers=0, timeout=SHORT)
        worker = scene.start_worker(app="tests.faults.fragile", concurrency=2)
        with ThreadPoolExecutor(8) as customers:
            agents = [scene.subscriptions[number % 4].agent_id for number in range(bystanders)]
            poisoned = customers.submit(scene.publish, text=POISON)
            deque(customers.map(scene.publish, agents))
        poison = poisoned.result()
        scene.settle(timeout=40)

        states = scene.stack.rows(
            "SELECT delivery.event_id, status, reason_code FROM deliveries_delivery AS delivery"
            " LEFT JOIN deliveries_attempt AS attempt"
            " ON attempt.delivery_id = delivery.id AND NOT attempt.succeeded"
        )
        reasons = {str(event_id): (status, reason) for event_id, status, reason in states}
        died = len(set(re.findall(r"pid:(\d+) exited with 'signal 9", scene.stack.log("worker"))))
        assert worker.poll() is None
        delivered = Counter(status for status, _ in reasons.values())["succeeded"]
        scene.figure(
            "killing-payload",
            case="payload",
            passed=reasons[poison] == ("failed", "worker_killed") and delivered == bystanders,
            state_of_it=" ".join(reasons[poison]),
            others_delivered=delivered,
            of=bystanders,
            set_aside=scene.set_aside(),
            children_killed=died,
        )
        # A claim whose lease is over before the child gets to it kills nobody, and counts.
        assert died in (2, 3)


def pause_one_that_delivers(scene: Scene) -> "tuple[subprocess.Popen[bytes], list[str]]":
    """Stop a worker in the middle of requests; return it and the deliveries it holds."""
    for _ in range(20):
        paused = scene.chance.choice(scene.alive())
        os.killpg(paused.pid, signal.SIGSTOP)
        before = scene.leases()
        # What the others held they have finished by then.
        time.sleep(ANSWERED)
        if held := before & scene.leases():
            return paused, [delivery_id for delivery_id, _ in held]
        os.killpg(paused.pid, signal.SIGCONT)
        time.sleep(0.2)
    raise AssertionError("no worker has anything under way")


class TestPausedWorker:
    def test_spoils_nothing_when_it_wakes_past_its_leases(self, scene: Scene) -> None:
        """Its receivers said 404; by then another worker has delivered what it held."""
        pauses = scene.size.count(short=1, long=3)
        scene.receiver.behave(Behaviour(status=404, delay=0.5), Behaviour(delay=0.05))
        scene.start(webhooks=8, workers=2, timeout=SHORT)
        held = Counter[str]()

        with scene.publishing(rate=20):
            for _ in range(pauses):
                time.sleep(2)
                paused, deliveries = pause_one_that_delivers(scene)
                held.update(deliveries)
                time.sleep(1.5 * LEASE - ANSWERED)
                os.killpg(paused.pid, signal.SIGCONT)
        scene.allowed_duplicates = held.total()
        scene.settle()
        wait_until(scene.fenced, timeout=40, what="the late results")

        names = scene.deliveries()
        over = scene.repeated() - Counter({names[pk]: times for pk, times in held.items()})
        lost = scene.lost()
        scene.figure(
            "worker-paused",
            passed=lost == 0 and not over,
            pauses=pauses,
            lost=lost,
            deliveries_held_by_those_paused=held.total(),
            duplicates=scene.duplicates(),
            more_than_one_for_each=over.total(),
        )
