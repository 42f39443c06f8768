"""The scheduler missing, and there three times: it does the housekeeping, and deliveries do not need it."""

import pytest

from tests.faults.scene import Scene
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql


class TestBeat:
    @pytest.mark.parametrize("beats", [0, 3])
    def test_changes_no_delivery_however_many_there_are(self, beats: int, scene: Scene) -> None:
        """Three of them ask for every job of the housekeeping three times a second."""
        scene.start(webhooks=4, workers=2)
        running = []
        for number in range(beats):
            # Each on a machine of its own, as far as it knows.
            where = {"CELERY_BEAT_SCHEDULE_FILENAME": str(scene.stack.folder / f"beat-{number}")}
            running.append(
                scene.stack.start("beat", "celery", "-A", "tests.faults.hurried", "beat", environment=where)
            )

        with scene.publishing(
            rate=scene.size.pick(short=60, long=100), seconds=scene.size.pick(short=3, long=60)
        ) as published:
            make_old_event(scene)
        scene.settle()
        if beats:
            wait_until(lambda: old_events(scene) == 0, timeout=20, what="the housekeeping")
        assert [beat.poll() for beat in running] == [None] * beats

        delivered, lost, repeated = scene.delivered_within(0.95), scene.lost(), scene.duplicates()
        scene.figure(
            "beat",
            case=f"{beats or 'no'} beat{'s' if beats > 1 else ''}",
            passed=not lost and not repeated and not published.errors,
            timely=delivered <= 2.5,
            events=len(published.acknowledged),
            lost=lost,
            duplicates=repeated,
            delivery_p95_ms=round(delivered * 1000),
        )
        assert "Traceback" not in scene.stack.log("worker")


def make_old_event(scene: Scene) -> None:
    """Have an event that is past its retention, of which nobody was told."""
    scene.unannounced += 1
    scene.stack.rows(
        "INSERT INTO deliveries_event (id, account_id, type, body, occurred_at, created_at)"
        " SELECT gen_random_uuid(), id, 'call.ended', '{}', now() - interval '60 days',"
        " now() - interval '60 days' FROM deliveries_account RETURNING id"
    )


def old_events(scene: Scene) -> int:
    """Return how many events are past their retention."""
    query = "SELECT count(*) FROM deliveries_event WHERE created_at < now() - interval '59 days'"
    return int(scene.stack.rows(query)[0][0])
