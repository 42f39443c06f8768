"""Workers that die or stand still."""

import time

import pytest

from deliveries.services.dispatching import RECORD_AT
from tests.faults.receiver import Behaviour
from tests.faults.scene import SLOTS, Scene

pytestmark = pytest.mark.postgresql


class TestKilledWorker:
    def test_loses_nothing_and_repeats_little(self, scene: Scene) -> None:
        kills = scene.size.count(short=4, long=50)
        seconds = scene.size.pick(short=6, long=60)
        scene.allowed_duplicates = kills * (SLOTS + RECORD_AT)
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.18))
        scene.start(webhooks=10, workers=2)

        with scene.publishing(rate=scene.size.pick(short=100, long=200), seconds=seconds) as published:
            for _ in range(kills):
                time.sleep(seconds / (kills + 1))
                scene.kill(scene.chance.choice(scene.alive()))
                scene.start_worker(wait=False)
        scene.settle()

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "worker-killed",
            passed=lost == 0 and repeated <= scene.allowed_duplicates,
            kills=kills,
            events=len(published.acknowledged),
            lost=lost,
            duplicates=repeated,
            duplicates_per_kill=round(repeated / kills, 1),
        )
