"""Pauses under traffic, without beat: nothing goes out meanwhile, and everything arrives afterwards, once."""

import time

import pytest

from tests.faults.receiver import Behaviour
from tests.faults.scene import Scene
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

SECONDS = 6


class TestPause:
    @pytest.mark.long
    @pytest.mark.parametrize(
        ("of", "ends"),
        [
            ("webhook", "by the clock"),
            ("event type", "by a person"),
            ("account", "by a person"),
        ],
    )
    def test_keeps_everything_back_and_loses_nothing(self, scene: Scene, of: str, ends: str) -> None:
        scene.receiver.behave(Behaviour(delay=0.02))
        scene.start(webhooks=1, workers=2)
        (webhook,) = scene.subscriptions
        named = {"webhook": {"webhook_id": webhook.webhook_id}, "event type": {"event": "call.ended"}}
        seconds = SECONDS if ends == "by the clock" else 3600

        with scene.publishing(rate=20):
            time.sleep(2)
            body = {**named.get(of, {}), "seconds": seconds, "why": "A move."}
            made = scene.stack.call("POST", "/api/v1/pauses", body)
            assert made.status == 201, made
            committed = time.time()
            time.sleep(SECONDS / 2)
            worker = scene.workers[0]
            scene.kill(worker)
            time.sleep(max(0.0, committed + SECONDS - 0.3 - time.time()))
            ended = time.time()
            if ends == "by a person":
                assert scene.stack.call("POST", f"{made.headers['location']}/end").status == 200
        waiting = "SELECT count(*) FROM deliveries_delivery WHERE status IN ('pending', 'held')"
        wait_until(lambda: scene.stack.rows(waiting) == [(0,)], timeout=60, what="everything delivered")

        arrivals = [arrival.at for arrival in scene.receiver.arrivals()]
        # What was claimed a moment before is under way; the receiver answers within milliseconds.
        assert [at for at in arrivals if committed + 2 < at < ended] == []
        assert [at for at in arrivals if at < committed]
        assert [at for at in arrivals if at > ended]
        assert (scene.lost(), scene.duplicates()) == (0, 0)
