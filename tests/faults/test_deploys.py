"""Workers that are asked to end, in every way a supervisor may ask."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from deliveries.services.dispatching import RECORD_AT
from tests.faults.receiver import Behaviour
from tests.faults.scene import SLOTS, Scene
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

Worker = subprocess.Popen[bytes]
DRAIN = 4


def terminate_twice(scene: Scene, worker: Worker) -> None:
    """As one does who is impatient."""
    scene.ask_to_end(worker)
    time.sleep(0.5)
    scene.ask_to_end(worker)


def terminate_group(scene: Scene, worker: Worker) -> None:
    """As a terminal does, or a supervisor that knows of no leader."""
    scene.ended.append(worker)
    os.killpg(worker.pid, signal.SIGTERM)


WAYS: dict[str, Callable[[Scene, Worker], None]] = {
    "SIGTERM twice": terminate_twice,
    "SIGQUIT": lambda scene, worker: scene.ask_to_end(worker, signal.SIGQUIT),
    "SIGTERM to the group": terminate_group,
}


class TestDeployment:
    def test_is_noticed_by_nobody(self, scene: Scene) -> None:
        rounds, workers = scene.size.count(short=1, long=10), 2
        if scene.size.long:
            # As long as it is unless somebody says otherwise.
            del scene.stack.environment["WEBHOOKS_DRAIN_TIMEOUT"]
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.18))
        scene.start(webhooks=4, workers=workers)
        exits: list[tuple[int, float]] = []

        with scene.publishing(rate=scene.size.pick(short=60, long=100)) as published:
            for _ in range(rounds):
                for worker in replaced(scene, workers):
                    began = time.monotonic()
                    scene.ask_to_end(worker)
                    exits.append((worker.wait(60), time.monotonic() - began))
                    wait_until(lambda: not any_left(worker), what="no child left behind")  # noqa: B023
        scene.settle()

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "sigterm",
            passed=lost == repeated == 0 and all(code == 0 and took <= 30 for code, took in exits),
            terminated=len(exits),
            events=len(published.acknowledged),
            lost=lost,
            duplicates=repeated,
            slowest_exit_s=round(max(took for _, took in exits), 1),
        )


class TestImpatience:
    @pytest.mark.long
    def test_never_hangs_and_loses_nothing(self, scene: Scene) -> None:
        rounds = scene.size.count(short=1, long=5)
        scene.allowed_duplicates = rounds * len(WAYS) * (SLOTS + RECORD_AT)
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.18))
        scene.start(webhooks=4, workers=len(WAYS))
        slowest = dict.fromkeys(WAYS, 0.0)

        with scene.publishing(rate=50):
            for _ in range(rounds):
                for worker, (name, end) in zip(replaced(scene, len(WAYS)), WAYS.items(), strict=True):
                    began = time.monotonic()
                    end(scene, worker)
                    worker.wait(60)
                    slowest[name] = max(slowest[name], time.monotonic() - began)
                    wait_until(lambda: not any_left(worker), what="no child left behind")  # noqa: B023
        scene.settle()

        lost = scene.lost()
        for name, took in slowest.items():
            scene.figure(
                "stop-signals",
                case=name,
                passed=took <= 35 and lost == 0,
                slowest_exit_s=round(took, 1),
                lost=lost,
                duplicates_of_all=scene.duplicates(),
            )


class TestRollingDeployment:
    @pytest.mark.long
    def test_sets_nothing_aside_that_outlives_every_worker(self, scene: Scene) -> None:
        """Five workers in a row are stopped while what they send takes longer than they may drain."""
        stops, events = 5, 3
        scene.stack.environment["WEBHOOKS_DRAIN_TIMEOUT"] = "1"
        scene.allowed_duplicates = stops * events
        scene.receiver.behave(*[Behaviour(delay=12)] * stops, Behaviour())
        scene.start(webhooks=events, workers=1, timeout=15)
        for each in scene.subscriptions:
            scene.publish(each.agent_id)

        exits = []
        for stop in range(1, stops + 1):
            under_way = stop * events
            wait_until(lambda: scene.receiver.count() >= under_way, timeout=20, what="requests")  # noqa: B023
            (worker,) = scene.alive()
            scene.ask_to_end(worker)
            exits.append(worker.wait(60))
            assert scene.leased() == 0
            scene.start_worker()
        scene.settle()

        states = scene.stack.rows("SELECT DISTINCT status FROM deliveries_delivery")
        scene.figure(
            "stop-signals",
            case="five in a row, outlived by their requests",
            passed=exits == [0] * stops and states == [("succeeded",)] and scene.lost() == 0,
            terminated=stops,
            lost=scene.lost(),
            set_aside=scene.set_aside(),
            duplicates=scene.duplicates(),
        )


class TestTrouble:
    """The worker's slots are full with receivers that do not answer, and its broker does not either."""

    @pytest.mark.long
    def test_does_not_keep_a_worker_from_ending_in_time(self, scene: Scene) -> None:
        scene.stack.environment["WEBHOOKS_DRAIN_TIMEOUT"] = str(DRAIN)
        redis = scene.through_proxy("redis")
        scene.receiver.behave(Behaviour(manner="hang"), Behaviour())
        scene.start(webhooks=5, workers=0, timeout=60)
        worker = scene.start_worker(concurrency=2)
        for each in scene.subscriptions:
            for _ in range(8):
                scene.publish(each.agent_id)
        wait_until(lambda: scene.receiver.count() >= 40, timeout=20, what="full slots")
        scene.allowed_duplicates = 40
        redis.blackhole()
        time.sleep(6)  # as long as it takes a worker to notice

        began, told_at = time.monotonic(), time.time()
        scene.ask_to_end(worker)

        assert worker.wait(60) == 0
        took = time.monotonic() - began
        assert took < DRAIN + 5
        assert [arrival for arrival in scene.receiver.arrivals() if arrival.at > told_at + 3] == []
        wait_until(lambda: not any_left(worker), what="no child left behind")
        # What it had to abandon is due at once instead of when its lease would have ended.
        wait_until(lambda: scene.leased() == 0, timeout=5, what="no leases")
        redis.forward()
        scene.start_worker()
        scene.settle()
        scene.figure(
            "stop-signals",
            case="nobody answers, nor Redis",
            passed=scene.lost() == 0,
            exit_s=round(took, 1),
            drain_s=DRAIN,
        )


def replaced(scene: Scene, workers: int) -> list[Worker]:
    """Start workers in the place of those that run, and return these, which are to end."""
    old = scene.alive()
    for _ in range(workers):
        scene.start_worker(wait=False)
    scene.wait_for_workers()
    return old


def any_left(worker: Worker) -> bool:
    """Tell whether any process of the worker's group is still there."""
    try:
        os.killpg(worker.pid, 0)
    except ProcessLookupError:
        return False
    return True
