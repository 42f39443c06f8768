"""The network between the workers and their receivers: slow, and with connections that break."""

import time

import pytest

from tests.faults.receiver import Behaviour
from tests.faults.scene import SLOTS, Scene

pytestmark = pytest.mark.postgresql

# Seconds every piece takes on its way.
SLOW = 0.02


class TestBreakingConnections:
    @pytest.mark.long
    def test_cost_attempts_and_no_event(self, scene: Scene) -> None:
        """Every half second all of them are reset, or closed by the receiver's side alone."""
        breaks, workers = scene.size.count(short=8, long=120), 2
        proxy = scene.through_proxy("receiver")
        proxy.delay(SLOW)
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.18))
        scene.start(webhooks=4, workers=workers)
        # A kept connection that ends without an answer has its request sent once more at once.
        scene.allowed_duplicates = breaks * workers * SLOTS

        with scene.publishing(rate=scene.size.pick(short=50, long=100)) as published:
            for _ in range(breaks):
                time.sleep(0.5)
                scene.chance.choice([proxy.reset, proxy.half_close])()
                proxy.delay(SLOW)
        scene.hasten()
        scene.settle()

        (failed,) = scene.stack.rows("SELECT count(*) FROM deliveries_attempt WHERE NOT succeeded")[0]
        lost = scene.lost()
        scene.figure(
            "network",
            passed=lost == 0,
            breaks=breaks,
            events=len(published.acknowledged),
            attempts_failed=failed,
            sent_once_more=scene.duplicates(),
            lost=lost,
        )
        assert failed + scene.duplicates() > 0
