"""Another encryption key, while deliveries run whose secrets the old one has sealed."""

import pytest

from deliveries import secrets
from tests.faults.receiver import Behaviour
from tests.faults.scene import Scene

pytestmark = pytest.mark.postgresql


class TestRotation:
    def test_is_noticed_by_no_delivery(self, scene: Scene) -> None:
        old, new = scene.stack.environment["ENCRYPTION_KEYS"], secrets.new_key()
        scene.secrets += [old, new]
        turns = [(new, old), (old, new)] * scene.size.count(short=0, long=10) + [(new, old)]
        scene.receiver.behave(Behaviour(delay=0.02, spread=0.1))
        # Both are live in every process.
        scene.stack.environment["ENCRYPTION_KEYS"] = f"{old},{new}"
        scene.start(webhooks=4, workers=2, custom_headers=[{"key": "X-Token", "value": "anything"}])

        said = []
        with scene.publishing(rate=scene.size.pick(short=40, long=100)) as published:
            for keys in turns:
                scene.stack.environment["ENCRYPTION_KEYS"] = ",".join(keys)
                said.append(scene.stack.manage("rotate_encryption"))
            old_workers, scene.stack.environment["ENCRYPTION_KEYS"] = scene.alive(), new
            scene.start_worker()
            for worker in old_workers:
                scene.ask_to_end(worker)
        scene.settle()

        # A secret and a header of each; that the signatures verify is one of the invariants.
        assert [each.partition(";")[0] for each in said] == ["Rotated 8 values"] * len(turns)
        states = scene.stack.rows("SELECT DISTINCT status FROM deliveries_delivery")
        failed = scene.stack.rows("SELECT count(*) FROM deliveries_attempt WHERE NOT succeeded")[0][0]
        assert (states, failed, scene.lost(), published.given_up) == ([("succeeded",)], 0, 0, 0)
        assert {arrival.verified for arrival in scene.receiver.arrivals()} == {True}
